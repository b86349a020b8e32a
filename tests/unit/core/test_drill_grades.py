"""The gate over the drills of a run, and what is not graded."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.drill_grades import drill_results
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.record import Record
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import a_plan, a_record, a_schema, events

BEGIN = Event(27.4, Kind.DRILL_BEGIN, {"drill": 1, "name": "kill-migrator"})
END = Event(27.6, Kind.DRILL_END, {"drill": 1, "done": True, "revisions": ["0002"], "gone_s": 0.1})


def _record(*more: Event, end: dict[str, Any] | None = None) -> Record:
    plan = a_plan(drills=("kill-migrator@statement=1",))
    return a_record(plan, events=events(plan, end=end, more=more), schema_killed=a_schema())


def _gate(record: Record) -> GateResult:
    [gate] = [gate for gate in check_gates(record.plan) if gate.name == "drills"]
    return gate.result(facts_of(record))


def test_it_is_green_when_everything_came_back() -> None:
    result = _gate(_record(BEGIN, END))
    assert (result.status, result.observed, result.samples) == ("pass", 0.0, 1)
    assert result.why == "kill-migrator@statement=1 A"


def test_it_is_red_when_something_did_not_come_back() -> None:
    result = _gate(_record(BEGIN, END, end={"status": "failed", "message": "it exists already"}))
    assert (result.status, result.observed) == ("fail", 1.0)
    assert "it exists already" in result.why


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "it never began"),
        ((BEGIN,), "the run ended while it was going on"),
        (
            (Event(28.0, Kind.DRILL_END, {"drill": 1, "done": False, "why": "it has 1 statement"}),),
            "1 statement",
        ),
    ],
)
def test_it_decides_nothing_where_the_drill_was_not_done(more: tuple[Event, ...], why: str) -> None:
    result = _gate(_record(*more))
    assert result.status == "inconclusive"
    assert why in result.why


def test_it_does_not_apply_without_drills() -> None:
    [gate] = [gate for gate in check_gates(a_plan()) if gate.name == "drills"]
    assert gate.result(facts_of(a_record())).status == "not_applicable"
    with pytest.raises(UsageError, match="--drill is not given"):
        check_gates(a_plan(required=("drills",)))


def test_an_odd_record_of_one_is_no_crash() -> None:
    odd = Event(27.6, Kind.DRILL_END, {"drill": 1, "done": True, "gone_s": "soon"})
    [result] = drill_results(facts_of(_record(BEGIN, odd)))
    assert result.grade is None
    assert "could not be judged: TypeError" in result.why
