"""The lane of waits."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.wait_lane import MOST_ROWS, wait_lane


def wait(start: float, end: float, **changes: Any) -> dict[str, Any]:
    plain = {"start_at": start, "end_at": end, "pid": 7, "relation": "documents", "mode": "AccessShareLock"}
    return plain | changes


def test_a_wait_tells_who_waited_for_what_and_for_whom() -> None:
    (bar,) = wait_lane([wait(30.0, 37.4, root_pid=4321, statement=3)]).bars
    assert bar.label == "pid 7 waited for AccessShareLock on documents, 7.4 s, root pid 4321, statement 3"
    assert (bar.row, bar.start, bar.end, bar.style) == ("0", 30.0, 37.4, "read")


def test_a_wait_of_the_migration_itself_says_so() -> None:
    (bar,) = wait_lane([wait(30.0, 31.0, own=True, mode="AccessExclusiveLock")]).bars
    assert bar.label.startswith("the migration, pid 7 waited for AccessExclusiveLock")
    assert bar.style == "strong"


def test_waits_share_a_row_unless_they_overlap() -> None:
    lane = wait_lane([wait(30.0, 34.0), wait(31.0, 33.0), wait(34.0, 35.0)])
    assert [(bar.start, bar.row) for bar in lane.bars] == [(30.0, "0"), (31.0, "1"), (34.0, "0")]
    assert (lane.rows, lane.left_out) == (2, 0)


def test_of_too_many_at_once_the_longest_stay() -> None:
    lane = wait_lane([wait(30.0, 31.0 + n) for n in range(MOST_ROWS + 3)])
    assert (lane.rows, lane.left_out) == (MOST_ROWS, 3)
    assert min(bar.end for bar in lane.bars) == 34.0


@pytest.mark.parametrize(
    ("mode", "relation", "style"),
    [
        ("AccessShareLock", "documents", "read"),
        ("RowShareLock", "documents", "write"),
        ("RowExclusiveLock", "documents", "write"),
        ("ShareLock", None, "row"),
        ("ShareUpdateExclusiveLock", "documents", "strong"),
        (None, None, "row"),
    ],
)
def test_a_bar_is_coloured_by_what_was_wanted(mode: str | None, relation: str | None, style: str) -> None:
    (bar,) = wait_lane([wait(30.0, 31.0, mode=mode, relation=relation)]).bars
    assert bar.style == style


def test_a_wait_without_times_is_not_drawn() -> None:
    assert wait_lane([{"pid": 1}, wait(30.0, 31.0) | {"end_at": None}]).bars == ()
