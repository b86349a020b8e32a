"""The drill `rollback`: graded by what came back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.contents import Contents, Difference
from harness.core.drill_grades import drill_results
from harness.core.drills import DrillResult
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.plan_check import check_plan
from harness.core.schema_state import TableState
from harness.errors import UsageError
from tests.fix_record import KEPT, a_plan, a_record, a_schema, events

PLAN = a_plan(upgrade="0002", downgrade="0001", drills=("rollback",))
BEGUN = Event(52.0, Kind.DRILL_BEGIN, {"drill": 1, "name": "rollback"})
OVER = Event(80.1, Kind.DRILL_END, {"drill": 1, "done": True})
LOST = replace(KEPT, changed={"title": Difference(900, 0, ("7",))})


def graded(*, end: dict[str, Any] | None = None, **changes: Any) -> DrillResult:
    """The result of a run that rolled back, whose rollback ended otherwise if `end` says so."""
    log = [
        replace(event, data={**event.data, **(end or {})})
        if event.kind == Kind.MIGRATION_END and event.data["episode"] == 2
        else event
        for event in events(PLAN, more=[BEGUN, OVER])
    ]
    [result] = drill_results(facts_of(a_record(PLAN, events=tuple(log), **changes)))
    return result


def test_everything_came_back() -> None:
    found = graded()
    assert (found.grade, found.at, found.end_at) == ("A", 52.0, 55.1)
    assert found.why == "1,000 rows of 1 table and the schema came back"
    assert found.evidence["rows_compared"] == 1000


def test_something_harmless_was_left() -> None:
    tables = {**a_schema().tables, "labels": TableState("labels", "r", "shop")}
    found = graded(schema_after_rollback=a_schema(tables=tables))
    assert (found.grade, found.why) == ("B", "left behind: The table labels was left behind")


def test_what_did_not_come_back_is_listed() -> None:
    contents = {"": Contents(25.0, 80.0, (LOST,))}
    found = graded(schema_after_rollback=a_schema(tables={}, indexes={}), contents=contents)
    assert (found.grade, found.end_at) == ("D", None)
    assert found.evidence["not_brought_back"] == [
        "The table documents is gone.",
        "900 of 1,000 rows of documents have another title, such as 7",
    ]


def test_a_rollback_that_failed_is_no_way_back() -> None:
    found = graded(end={"status": "failed", "message": "it exists already"})
    assert (found.grade, found.why) == ("D", "it exists already")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"contents": {}}, "it was not read"),
        ({"schema_after_rollback": None}, "the catalog after the rollback was not read"),
        ({"end": {"revisions_after": ["0000"]}}, "the rollback ends at 0000, and the upgrade began at 0001"),
    ],
)
def test_what_is_not_known_is_not_graded(changes: dict[str, Any], why: str) -> None:
    found = graded(**changes)
    assert (found.grade, found.why) == (None, why)


def test_it_needs_to_know_where_to() -> None:
    with pytest.raises(UsageError, match="--drill rollback is given, but not where to"):
        check_plan(a_plan(drills=("rollback",)))
    check_plan(PLAN)
    assert "rollback_data" in {gate.name for gate in check_gates(PLAN)}
