"""What a killed migration left, and whether the re-run completed it: graded from the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core.drill_events import told_of
from harness.core.drill_kill import Aftermath, grade_kill, graded
from harness.core.drills import DrillResult
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.schema_state import ConstraintState, IndexState, SchemaState
from tests.fix_record import a_plan, a_record, a_schema, events
from tests.fix_trace import statement_records, trace_of

DRILL = "kill-migrator@statement=2"
SEEN: dict[str, Any] = {
    "point": "before",
    "statement": 2,
    "revision": "0002",
    "sql": "CREATE INDEX half ON documents (id)",
    "answered": False,
    "sent_later": 0,
    "sessions": [500],
    "gone_s": 0.02,
    "revisions": ["0001"],
}
HALF = IndexState("half", "documents", "CREATE INDEX half ON documents (id)", valid=False)
WITH_HALF = a_schema(indexes={**a_schema().indexes, "half": HALF})


def _graded(
    seen: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
    killed: SchemaState | None = None,
    after: SchemaState | None = None,
    trace: list[dict[str, Any]] | None = None,
    remedy: Sequence[str] = (),
) -> DrillResult:
    plan = a_plan(drills=(DRILL,))
    more = [
        Event(27.4, Kind.DRILL_BEGIN, {"drill": 1, "name": "kill-migrator"}),
        Event(27.6, Kind.DRILL_END, {"drill": 1, "done": True, "why": "", **SEEN, **(seen or {})}),
    ]
    if remedy:
        more.append(Event(27.9, Kind.DRILL_REMEDY, {"drill": 1, "statements": list(remedy), "failed": ""}))
    told = (
        trace_of(statement_records("ALTER TABLE documents ADD a int", 27.0, 27.1, k=1))
        if trace is None
        else trace
    )
    record = a_record(
        plan,
        events=events(plan, end=end, trace=told, more=more),
        schema_killed=a_schema() if killed is None else killed,
        schema_after=a_schema() if after is None else after,
    )
    facts = facts_of(record)
    [one] = told_of(plan.planned_drills, record.events)
    return grade_kill(one, facts)


def test_nothing_left_and_completed_is_a() -> None:
    result = _graded()
    assert (result.grade, result.at, result.end_at) == ("A", 27.4, 28.1)
    assert result.evidence["left"] == []
    assert result.evidence["revisions_left"] == ["0001"]


def test_an_invalid_index_that_the_re_run_replaced_is_b() -> None:
    result = _graded(killed=WITH_HALF)
    assert result.grade == "B"
    assert "the index half is INVALID" in result.why


def test_an_index_that_had_to_be_dropped_first_is_c() -> None:
    result = _graded(killed=WITH_HALF, remedy=["DROP INDEX CONCURRENTLY half"])
    assert result.grade == "C"
    assert result.evidence["remedy"] == ["DROP INDEX CONCURRENTLY half"]


def test_an_invalid_index_that_stays_is_d() -> None:
    result = _graded(killed=WITH_HALF, after=WITH_HALF)
    assert result.grade == "D"
    assert result.evidence["left_after"] == ["the index half is INVALID"]


def test_a_committed_statement_of_a_revision_that_is_not_applied_is_left() -> None:
    autocommit = statement_records("UPDATE documents SET a = 1", 27.0, 27.1, k=1, autocommit=True)
    result = _graded(trace=trace_of(autocommit))
    assert result.grade == "B"
    assert "1 statement of 0002, which is not applied, stayed committed" in result.why


def test_what_the_re_run_committed_is_not_taken_for_left() -> None:
    later = statement_records("UPDATE documents SET a = 1", 27.7, 27.8, k=1, autocommit=True)
    assert _graded(trace=trace_of(later)).grade == "A"


def test_any_other_difference_at_the_same_revision_is_left() -> None:
    check = ConstraintState("c", "documents", "c", "CHECK (true)")
    result = _graded(killed=a_schema(constraints={"documents.c": check}))
    assert (result.grade, result.evidence["left"]) == ("B", ["constraint c of documents is there"])


def test_at_a_further_revision_its_own_schema_is_not_left_over() -> None:
    check = ConstraintState("c", "documents", "c", "CHECK (true)")
    result = _graded({"revisions": ["0001b"]}, killed=a_schema(constraints={"documents.c": check}))
    assert result.grade == "A"


def test_sessions_that_live_on_are_b_and_those_that_had_to_be_ended_c() -> None:
    assert _graded({"gone_s": 4.0}).grade == "B"
    assert _graded({"gone_s": None}).grade == "C"


@pytest.mark.parametrize(
    ("end", "grade"),
    [
        ({"status": "failed", "message": "relation half already exists"}, "D"),
        ({"reached": False}, "D"),
        ({"status": "nothing"}, "A"),
        ({"status": "stopped"}, None),
        ({"status": None}, None),
        ({"reached": None}, None),
    ],
)
def test_how_the_re_run_ends_decides(end: dict[str, Any], grade: str | None) -> None:
    result = _graded(end=end)
    assert result.grade == grade
    assert (result.end_at is None) == (grade in (None, "D"))


def test_a_schema_that_was_not_read_is_no_clean_one() -> None:
    assert _graded(killed=replace(a_schema(), error="no answer")).grade == "B"


def test_after_the_remedy_it_is_c_whatever_was_left() -> None:
    found = Aftermath(0.1, ("index half is there, INVALID",), True, remedy=("DROP INDEX half",))
    assert graded(found) == (
        "C",
        "left: index half is there, INVALID; the re-run completed it after DROP INDEX half",
    )
