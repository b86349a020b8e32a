"""Lost workers, and how much of the load went with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.events import Event, Kind
from harness.core.timeline import Window
from harness.core.workers import lost_ratio, lost_workers, why_less
from tests.fix_record import healthy

WINDOW = Window("judged", 0.0, 20.0)


def said(at: float, kind: str, worker: str) -> Event:
    return Event(at, kind, {"worker": worker})


@pytest.mark.parametrize(
    ("later", "lost"),
    [
        ([], {"a"}),
        ([(Kind.WORKER_FINAL, 9.0)], set()),
        ([(Kind.WORKER_LOST, 4.0)], {"a"}),
        ([(Kind.WORKER_LOST, 4.0), (Kind.WORKER_BACK, 6.0)], {"a"}),
        ([(Kind.WORKER_LOST, 4.0), (Kind.WORKER_BACK, 6.0), (Kind.WORKER_FINAL, 9.0)], set()),
        ([(Kind.WORKER_LOST, 4.0), (Kind.WORKER_FINAL, 9.0)], {"a"}),
        ([(Kind.WORKER_FINAL, 3.0), (Kind.WORKER_LOST, 4.0)], {"a"}),
        ([(Kind.WORKER_LOST, 1.0), (Kind.WORKER_BACK, 2.0), (Kind.WORKER_LOST, 4.0)], {"a"}),
    ],
)
def test_a_worker_is_lost_unless_it_stayed_or_came_back_and_delivered(
    later: list[tuple[str, float]], lost: set[str]
) -> None:
    log = [said(0.0, Kind.WORKER_JOINED, "a"), said(0.0, Kind.WORKER_JOINED, "b")]
    log += [said(at, kind, "a") for kind, at in later] + [said(9.0, Kind.WORKER_FINAL, "b")]
    assert lost_workers(log) == lost


def test_the_share_of_the_load_is_users_times_seconds() -> None:
    """Of 30 + 10 users the 10 stop at half time."""
    points = tuple(replace(point, worker="a", users=30, at=float(at)) for at, point in enumerate(healthy()))
    fewer = tuple(replace(point, worker="b", users=10) for point in points if point.at <= 10.0)
    both = (*points, *fewer)
    assert lost_ratio(both, {"b"}, WINDOW) == pytest.approx(0.25 * 0.5)
    assert lost_ratio(both, set(), WINDOW) == 0.0
    assert lost_ratio(fewer, {"b"}, Window("after", 10.0, 20.0)) == 1.0
    assert lost_ratio(fewer, {"b"}, Window("before", 0.0, 10.0)) == 0.0


@pytest.mark.parametrize(("lost", "window"), [({"never heard"}, WINDOW), ({"w1"}, None)])
def test_a_share_that_is_not_known_is_none(lost: set[str], window: Window | None) -> None:
    assert lost_ratio(healthy(), lost, window) is None


def test_why_there_was_less_load() -> None:
    late = [said(3.0, Kind.WORKER_LATE, "c")]
    assert why_less((), (), 0.0) == ""
    assert why_less((), {"b", "a"}, None) == "workers lost: a, b"
    assert why_less((), {"a"}, 0.125) == "workers lost: a, and 12.5% of the load with them"
    assert "came after the run had begun" in why_less(late, (), 0.0)
    assert why_less(late, (), 0.0).endswith(": c")
