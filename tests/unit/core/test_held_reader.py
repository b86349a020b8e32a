"""A forgotten reader: what became of the migration, and of the traffic behind it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.drill_grades import drill_results
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.held_reader import graded
from tests.fix_record import a_plan, a_record, a_wait, events
from tests.fix_samples import steady
from tests.fix_trace import MIGRATION_PID, trace_records


@pytest.mark.parametrize(
    ("status", "sqlstate", "stalled_s", "grade"),
    [
        ("ok", None, 0.3, "A"),
        ("ok", None, 8.0, "B"),
        ("failed", "55P03", 0.3, "C"),
        ("failed", "57014", 0.3, "C"),
        ("failed", "42P01", 0.3, "D"),
        ("deadline", None, 30.0, "D"),
        (None, None, 0.3, "D"),
        ("ok", None, None, None),
    ],
)
def test_the_end_and_the_stall_give_the_grade(
    status: str | None, sqlstate: str | None, stalled_s: float | None, grade: str | None
) -> None:
    assert graded(status, sqlstate, stalled_s)[0] == grade


def _result(latency: float = 0.02, **changes: Any) -> Any:
    plan = a_plan(drills=("hold-reader=4s",))
    told = [
        Event(25.0, Kind.DRILL_BEGIN, {"drill": 1, "name": "hold-reader"}),
        Event(31.0, Kind.DRILL_END, {"drill": 1, "name": "", "done": True, "tables": 8, "pid": 700}),
    ]
    log = events(plan, more=told, trace=trace_records(27.0, 30.6), ended_at=30.7)
    record = a_record(plan, steady(latency=latency), events=log, **changes)
    [result] = drill_results(facts_of(record))
    return result


def test_the_record_tells_who_waited() -> None:
    waits = (a_wait(27.0, 30.5, pid=MIGRATION_PID, root=700), a_wait(27.5, 30.6, pid=601, chain=(500, 700)))
    result = _result(latency=3.0, waits=waits)
    assert result.grade == "B"
    assert result.evidence["waited_s"] == pytest.approx(3.5, abs=0.1)
    assert result.evidence["sessions_behind"] == 1
    assert result.evidence["held_s"] == 4.0
    assert result.evidence["tables"] == 8
    assert "lock_timeout" in result.why


def test_a_reader_that_was_in_nobodys_way_is_an_a() -> None:
    result = _result()
    assert (result.grade, result.evidence["waited_s"]) == ("A", 0.0)
    assert "was not seen to wait" in result.why
