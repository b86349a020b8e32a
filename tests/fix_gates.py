"""The gates of a literal record, and records in which something went otherwise."""

from __future__ import annotations

from typing import Any

from harness.core.builtin_gates import BUILT_IN
from harness.core.events import Event
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.operations import OperationKind
from harness.core.record import FinalRead, Record, Total
from harness.core.samples import SampleTable
from harness.core.schema_state import IndexState
from harness.core.verdict import GateResult
from tests.fix_record import a_plan, events
from tests.fix_samples import joined, steady, without
from tests.fix_several import SHOP, episode
from tests.fix_trace import statement_records, trace_of

CREATE = OperationKind.CREATE
ALTER = "ALTER TABLE documents ADD COLUMN flag boolean"
EXCLUSIVE = ("public.documents", "AccessExclusiveLock")


def results(record: Record) -> list[GateResult]:
    facts = facts_of(record)
    return [gate.result(facts) for gate in check_gates(record.plan)]


def result(record: Record, name: str) -> GateResult:
    gate = next(gate for gate in check_gates(record.plan) if gate.name == name)
    return gate.result(facts_of(record))


def in_place_of(start: float, end: float, **changes: Any) -> SampleTable:
    """The steady load, of which one stretch went otherwise."""
    return joined(without(steady(), start, end), steady(start, end, **changes))


def shown(*records: Any, error: str | None = None) -> tuple[FinalRead, ...]:
    return (FinalRead("ada", 54.0, records, error, None, "w1", (Total("wallets", "30000", 3),)),)


def phases_of(name: str, seen: list[GateResult]) -> list[str]:
    """The phases in which the gate was judged, by its expressions."""
    return [r.expression.partition("phase=")[2].partition("}")[0] for r in seen if r.name == name]


INVALID = IndexState("i", "documents", "CREATE INDEX i", valid=False)


def long_hold() -> tuple[Event, ...]:
    """A migration whose statement keeps its lock from 27 to 29.5."""
    trace = trace_of(statement_records(ALTER, 27.0, 28.0, k=1, locks=[EXCLUSIVE], commit_at=29.5), end=29.6)
    return events(trace=trace, ended_at=29.7)


ASKED_FOR = {"drills", "replica_lag"}
"""Gates of which the plan of the demo has nothing, unless it is asked for."""

NAMES = [
    name
    for name in dict.fromkeys(gate.name for row in BUILT_IN for gate in row.make(a_plan()))
    if name != "replica_lag"
]
"""Those of a plan that asks for nothing besides: a rollback's, replicas' and invariants have tests of their
own."""

SHOP_RAN = episode(1, SHOP, begin=25.0, start=27.0)
