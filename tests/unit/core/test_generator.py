"""The generator's fitness is of all workers' points."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.generator import Late, fitness, late_stretches, users
from harness.core.judge import judge
from harness.core.record import HealthPoint
from harness.core.timeline import Window
from tests.fix_record import a_record, healthy


def test_nothing_recorded_is_unknown() -> None:
    found = fitness((), None)
    assert (found.ticks, found.late_p99_s, found.busy_ratio) == (0, None, None)
    assert users(()) is None


def test_lateness_is_in_seconds() -> None:
    assert fitness(healthy(late_ms=80.0), None).late_p99_s == pytest.approx(0.08)


def test_only_the_window_counts() -> None:
    assert fitness(healthy(), Window("w", 10.0, 12.0)).ticks == 20


def test_the_busiest_worker_is_told() -> None:
    busy = tuple(replace(point, worker="w2") for point in healthy(cpu_ratio=0.95))
    assert fitness((*healthy(), *busy), None).busy_ratio == 1.0
    assert fitness(healthy(cpu_ratio=None), None).busy_ratio is None


def test_users_are_summed_over_workers() -> None:
    other = tuple(replace(point, worker="w2", users=12) for point in healthy())
    assert users((*healthy(), *other)) == 42


def late_at(*seconds: int) -> tuple[HealthPoint, ...]:
    """A worker one of whose ticks in each of these seconds came 80 ms late."""
    return tuple(
        replace(point, late_ms=(*point.late_ms[1:], 80.0)) if point.at in seconds else point
        for point in healthy()
    )


def test_ticks_during_a_wait_and_right_after_it_do_not_count() -> None:
    points = late_at(30, 31, 32, 33)
    assert fitness(points, None).late_max_s == 0.08
    assert fitness(points, None, [(30.0, 32.7)]).late_max_s == 0.001
    assert fitness(points, None, [(20.0, 21.0)]).late_max_s == 0.08


def test_where_all_was_a_wait_all_ticks_count() -> None:
    assert fitness(late_at(30), None, [(0.0, 99.0)]).late_max_s == 0.08


def test_late_seconds_are_marked_for_each_worker() -> None:
    other = tuple(replace(point, worker="w2", at=point.at + 0.5) for point in late_at(20))
    found = late_stretches((*late_at(10, 20), *other), Window("w", 12.0, 52.0))
    assert found == (Late(19.0, 20.0, 0.08), Late(19.5, 20.5, 0.08))


def test_late_seconds_are_in_the_verdict_and_none_is_left_out() -> None:
    verdict = judge(a_record(health=late_at(20, 40)))
    assert [late["end_at"] for late in verdict.details["load"]["late"]] == [20.0, 40.0]
    assert [limit for limit in verdict.limits if "late in 2 seconds of the load (until 20 s, 40 s)" in limit]
    assert not [limit for limit in judge(a_record()).limits if "generator itself" in limit]
