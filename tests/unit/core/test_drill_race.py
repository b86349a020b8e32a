"""Several migrations at once: who did the work, and how the others left it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.drill_events import told_of
from harness.core.drill_race import Racer, grade_race, graded, racers_of
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.trace_fold import build
from tests.fix_record import a_plan, a_record, events
from tests.fix_trace import statement_records, trace_of

DID_ALL = Racer(0, ("r1", "r2"), "")
WAITED = Racer(0, (), "")
FAILED = Racer(1, (), "42P07 relation exists")


@pytest.mark.parametrize(
    ("racers", "grade", "said"),
    [
        ([DID_ALL, WAITED, WAITED], "A", "the other 2 waited"),
        ([FAILED, DID_ALL, FAILED], "B", "2 of 3 failed: 42P07 relation exists"),
        ([Racer(1, ("r1",), "42P07 x"), Racer(0, ("r2",), "")], "B", "2 of them shared the work"),
        ([FAILED, Racer(1, ("r1",), "40P01 deadlock")], "C", "one more run did it"),
        ([DID_ALL, Racer(0, ("r2",), "")], "D", "r2 was worked on by more than one of 2"),
        ([DID_ALL, Racer(1, (), "")], "D", "nothing tells why"),
    ],
)
def test_the_grade_is_by_who_worked_and_how_the_others_ended(
    racers: list[Racer], grade: str, said: str
) -> None:
    found, why = graded(racers, True, "", [])
    assert found == grade
    assert said in why


def test_what_did_not_reach_its_target_is_d_whoever_worked() -> None:
    assert graded([DID_ALL, WAITED], False, "it is at r1", [])[0] == "D"
    assert graded([DID_ALL, WAITED], True, "", ["the index i is INVALID"])[0] == "D"
    assert graded([DID_ALL, WAITED], None, "", [])[0] is None


def test_what_alembic_itself_ends_with_is_a_reason_too() -> None:
    """Whose version nobody else has changed meanwhile finds no row of it to update."""
    own = statement_records("UPDATE documents SET a = 1", 27.0, 27.1, k=1, autocommit=True)
    told = trace_of(own, ok=False)
    context = {"mono": 1026.9, "process": 77, "run": 1, "version_table": None, "version_table_schema": None}
    told.insert(3, {"kind": "context", **context})
    lost = "Online migration expected to match one row when updating '0001' to '0002'; 0 found"
    told = [
        {**record, "run": 1, **({"error": lost} if record["kind"] == "rev_end" else {})} for record in told
    ]
    [racer] = racers_of({"racers": [{"exit_code": 255, "processes": [77]}]}, build(told))
    assert (racer.revisions, racer.reason) == (("0002",), lost)


def test_each_racer_is_told_by_its_own_processes() -> None:
    plan = a_plan(drills=("race-migrators=2",))
    own = statement_records("ALTER TABLE documents ADD a int", 27.0, 27.1, k=1, commit_at=27.2)
    other: list[dict[str, Any]] = [
        {**record, "process": 78, "backend": 501}
        for record in statement_records("ALTER TABLE documents ADD a int", 27.0, 27.3, k=1, sqlstate="42701")
    ]
    racers = [{"exit_code": 0, "processes": [77]}, {"exit_code": 1, "processes": [78]}]
    guard = ["Another run is using the database mul."]
    more = [
        Event(26.0, Kind.DRILL_BEGIN, {"drill": 1}),
        Event(28.0, Kind.DRILL_END, {"drill": 1, "done": True, "racers": racers, "guard": guard}),
    ]
    record = a_record(plan, events=events(plan, trace=trace_of(own, other), more=more))
    [told] = told_of(plan.planned_drills, record.events)
    result = grade_race(told, facts_of(record))
    assert (result.grade, result.evidence["further_runs_refused"]) == ("B", 1)
    assert result.evidence["racers"] == [
        {"exit_code": 0, "revisions": ["0002"], "reason": ""},
        {"exit_code": 1, "revisions": [], "reason": "42701 42701"},
    ]
