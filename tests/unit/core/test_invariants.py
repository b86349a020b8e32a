"""Invariants: read from the plan, judged by what they returned, red, green or neither."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.invariants import Answer, invariants_json, named_invariants
from harness.core.plan import Plan
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import a_plan, a_record, events

QUERY = "SELECT id FROM notes WHERE slug <> title"
PLAN = a_plan(invariants=(f"slugs: {QUERY}",))
BACK = a_plan(invariants=(f"slugs: {QUERY}",), downgrade="0001")

NONE = Answer(0)
SOME = Answer(2, ('{"id":7}', '{"id":8}'))
GONE = Answer(None, error='column "slug" does not exist', missing=True)
SLOW = Answer(None, error="canceling statement due to statement timeout")


def answered(plan: Plan, **told: Answer) -> tuple[Event, ...]:
    """The events of a run in which this was returned, by instant."""
    more = [
        Event(40.0, Kind.INVARIANT, {"name": "slugs", "when": when, **asdict(answer)})
        for when, answer in told.items()
    ]
    return events(plan, more=more)


def judged(plan: Plan, **told: Answer) -> GateResult:
    [gate] = (gate for gate in check_gates(plan) if gate.name == "invariant:slugs")
    return gate.result(facts_of(a_record(plan, events=answered(plan, **told))))


def test_a_query_with_a_name_is_an_invariant() -> None:
    plan = a_plan(invariants=("slugs: SELECT 1;", "b-2:\n WITH a AS (SELECT 1) TABLE a ; "))
    assert named_invariants(plan) == {"slugs": "SELECT 1", "b-2": "WITH a AS (SELECT 1) TABLE a"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM notes",
        "slugs",
        "slugs:",
        ": SELECT 1",
        "a b: SELECT 1",
        "slugs: DELETE FROM notes",
        "slugs: SELECT 1 FROM a WHERE url = 'postgresql://app:hunter2@db/shop'",
    ],
)
def test_what_is_no_name_and_query_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--invariant"):
        check_gates(a_plan(invariants=(text,)))


def test_a_name_is_given_once() -> None:
    with pytest.raises(UsageError, match="Two invariants are called 'a'"):
        check_gates(a_plan(invariants=("a: SELECT 1", "a: SELECT 2")))


def test_no_row_after_the_upgrade_is_green() -> None:
    found = judged(PLAN, before=GONE, end=NONE)
    assert (found.status, found.observed, found.why) == ("pass", 0.0, "")
    assert found.expression == "slugs returns no row after the upgrade"


def test_a_row_at_the_end_is_red() -> None:
    found = judged(PLAN, before=NONE, end=SOME)
    assert (found.status, found.observed) == ("fail", 2.0)
    assert found.why == '2 rows at the end, such as {"id":7}, {"id":8}'


@pytest.mark.parametrize(
    ("told", "status", "why"),
    [
        ({"before": GONE, "upgraded": NONE, "end": GONE}, "pass", ""),
        ({"before": NONE, "upgraded": NONE, "end": NONE}, "pass", ""),
        ({"before": GONE, "upgraded": SOME, "end": GONE}, "fail", "2 rows after the upgrade"),
        ({"before": NONE, "upgraded": NONE, "end": SOME}, "fail", "2 rows after the rollback"),
        (
            {"before": NONE, "upgraded": NONE, "end": GONE},
            "inconclusive",
            "it was not answered after the roll",
        ),
        ({"before": NONE, "upgraded": NONE}, "inconclusive", "it was not asked after the rollback"),
        ({"before": GONE, "end": GONE}, "inconclusive", "it was not asked after the upgrade"),
        ({"before": GONE, "upgraded": GONE, "end": GONE}, "inconclusive", "it was not answered after the up"),
    ],
)
def test_a_rollback_may_take_away_what_the_upgrade_brought(
    told: dict[str, Answer], status: str, why: str
) -> None:
    found = judged(BACK, **told)
    assert found.status == status
    assert found.why.startswith(why)


@pytest.mark.parametrize("answer", [SLOW, GONE])
def test_what_was_not_answered_decides_nothing(answer: Answer) -> None:
    found = judged(PLAN, before=GONE, end=answer)
    assert (found.status, found.why) == ("inconclusive", f"it was not answered at the end: {answer.error}")


def test_an_upgrade_that_failed_is_not_judged_by_its_promise() -> None:
    failed = events(PLAN, end={"status": "failed"}, more=[an_answer(NONE)])
    [gate] = (gate for gate in check_gates(PLAN) if gate.name == "invariant:slugs")
    found = gate.result(facts_of(a_record(PLAN, events=failed)))
    assert (found.status, found.why) == ("inconclusive", "the upgrade did not end ok")


def an_answer(answer: Answer) -> Event:
    return Event(53.5, Kind.INVARIANT, {"name": "slugs", "when": "end", **asdict(answer)})


def test_a_placebo_promises_nothing() -> None:
    plan = a_plan(invariants=PLAN.invariants, placebo=True)
    [gate] = (gate for gate in check_gates(plan) if gate.name == "invariant:slugs")
    assert gate.not_applicable == "a placebo migrates nothing"


def test_the_verdict_tells_every_answer() -> None:
    told: Any = invariants_json(facts_of(a_record(PLAN, events=answered(PLAN, before=GONE, end=SOME))))
    assert [(one["name"], one["sql"]) for one in told] == [("slugs", QUERY)]
    assert [(answer["when"], answer["rows"]) for answer in told[0]["answers"]] == [
        ("before", None),
        ("end", 2),
    ]
