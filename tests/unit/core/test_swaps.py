"""When a migration may put a table in the place of another: from the statement's end to its commit."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.facts import migrations_in
from harness.core.plan import Plan
from harness.core.swaps import swaps_of
from tests.fix_record import a_plan, a_record, events
from tests.fix_trace import statement_records, trace_of

EXCLUSIVE = ("public.documents", "AccessExclusiveLock")
SHARED = ("public.documents", "ShareUpdateExclusiveLock")


def windows(plan: Plan | None = None, **log: Any) -> list[tuple[float, float]]:
    record = a_record(plan, events=events(plan, **log))
    found = swaps_of(migrations_in(record), end_at=60.0)
    return [(round(one.start, 6), round(one.end, 6)) for one in found]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"locks": [EXCLUSIVE], "commit_at": 33.0}, [(30.5, 33.0)]),
        ({"locks": [SHARED], "commit_at": 33.0}, []),
        ({"locks": [EXCLUSIVE]}, []),  # never committed
        ({"autocommit": True}, [(30.5, 30.5)]),  # its locks are not known
    ],
)
def test_a_statement_that_took_the_table_for_itself(
    statement: dict[str, Any], expected: list[tuple[float, float]]
) -> None:
    trace = trace_of(statement_records("ALTER TABLE documents ADD x int", 30.0, 30.5, k=1, **statement))
    assert windows(trace=trace) == expected


def test_a_migration_that_was_not_traced_may_do_it_at_any_time() -> None:
    assert windows(trace=[], ended_at=40.0) == [(25.0, 40.0)]


def test_one_that_never_ended_may_go_on() -> None:
    assert windows(trace=[], end={"status": None}) == [(25.0, 60.0)]


def test_a_placebo_does_not() -> None:
    assert windows(a_plan(placebo=True)) == []


def test_one_that_had_nothing_to_do_does_not() -> None:
    assert windows(trace=[], end={"status": "nothing"}) == []
