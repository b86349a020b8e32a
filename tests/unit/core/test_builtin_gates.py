"""Every built-in gate can say no, yes and don't know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.record import Probe, Record
from harness.core.samples import Outcome, SampleTable
from tests.fix_gates import ALTER, CREATE, INVALID, NAMES, in_place_of, long_hold, result, results, shown
from tests.fix_ledger import a_read, a_total, an_operation, found, operations_of
from tests.fix_record import (
    a_deadlock,
    a_plan,
    a_record,
    a_schema,
    a_wait,
    events,
    forged_tokens,
    healthy,
    messages,
    old_shape,
    points,
    sessions,
    watched,
)
from tests.fix_samples import joined, samples, steady, without
from tests.fix_trace import statement_records, trace_of


def blocked() -> SampleTable:
    """Everybody waits from 28 to 31 and is then answered."""
    waiting = samples((28.0 + n / 100, 3.0 - n / 100) for n in range(300))
    return joined(without(steady(), 28.0, 31.0), waiting)


Examples = Mapping[str, Callable[[], Record]]


def drilled(done: bool = True, **end: Any) -> Record:
    """A run whose migration is killed at its first statement, with the end of its re-run."""
    plan = a_plan(drills=("kill-migrator@statement=1",))
    seen = {"drill": 1, "done": done, "why": "", "gone_s": 0.1, "revisions": ["0001"]}
    more = [Event(27.4, Kind.DRILL_BEGIN, {"drill": 1}), Event(27.6, Kind.DRILL_END, {**seen, **end})]
    trace = trace_of(statement_records(ALTER, 27.7, 27.9, k=1))
    return a_record(plan, events=events(plan, trace=trace, more=more), schema_killed=a_schema())


def raced_twice() -> Record:
    """Two that migrate at once, each of which commits the same revision."""
    plan = a_plan(drills=("race-migrators=2",))
    told = [statement_records(ALTER, 27.0 + n, 27.1 + n, k=1, commit_at=27.2 + n) for n in range(2)]
    told[1] = [{**record, "process": 78} for record in told[1]]
    racers = [{"exit_code": 0, "processes": [process]} for process in (77, 78)]
    more = [
        Event(26.0, Kind.DRILL_BEGIN, {"drill": 1}),
        Event(28.0, Kind.DRILL_END, {"drill": 1, "done": True, "racers": racers, "guard": []}),
    ]
    return a_record(plan, events=events(plan, trace=trace_of(*told), more=more))


RED: Examples = {
    "errors": lambda: a_record(table=in_place_of(28.0, 29.0, outcome=Outcome.ERROR)),
    "throughput": lambda: a_record(table=without(steady(), 28.0, 29.0)),
    "latency": lambda: a_record(table=blocked()),
    "stall": lambda: a_record(table=joined(steady(), samples([(30.0, 1.2)]))),
    "recovery": lambda: a_record(table=in_place_of(40.0, 52.0, latency=0.2)),
    "migration": lambda: a_record(events=events(end={"status": "failed", "message": "DuplicateTable"})),
    "lock_wait": lambda: a_record(waits=(a_wait(27.0, 28.1, pid=600),), events=long_hold()),
    "deadlocks": lambda: a_record(database=(a_deadlock(27.5),)),
    "catalog": lambda: a_record(schema_after=a_schema(indexes={"i": INVALID})),
    "lost_writes": lambda: a_record(final_reads=shown()),
    "unexpected_writes": lambda: a_record(final_reads=shown(found(1), found(1, "stranger"))),
    "duplicates": lambda: a_record(final_reads=shown(found(1), found(1))),
    "stale_reads": lambda: a_record(
        operations=operations_of(an_operation(CREATE, 1), a_read(0, 0, at=20.0), a_read(1))
    ),
    "stale_cache": lambda: a_record(shapes=old_shape()),
    "totals": lambda: a_record(totals=(a_total("29990", at=10.0), a_total())),
    "leaks": lambda: a_record(probes=(Probe(30.0, "ada", "foreign_read", "leaked", "saw bob's"),)),
    "forged_tokens": lambda: a_record(probes=forged_tokens(after="accepted")),
    "continuity": lambda: a_record(probes=sessions(first_use="failed")),
    "ws_delivery": lambda: a_record(websocket=messages(delay_s=2.5)),
    "ws_missed": lambda: a_record(websocket=messages(missed=1)),
    "ws_status": lambda: a_record(websocket=messages(statuses=())),
    "drills": raced_twice,
    "generator": lambda: a_record(health=healthy(late_ms=80.0)),
}
"""One run per gate in which it is red."""

UNDECIDED: Examples = {
    "errors": lambda: a_record(table=steady(rate=10)),
    "throughput": lambda: a_record(table=steady(rate=10)),
    "latency": lambda: a_record(table=steady(rate=10)),
    "stall": lambda: a_record(table=steady(end=26.0)),
    "recovery": lambda: a_record(table=steady(rate=10)),
    "migration": lambda: a_record(events=events(end={"status": "nothing"})),
    "lock_wait": lambda: a_record(observed=watched(why_blind="GRANT pg_monitor TO shop;")),
    "deadlocks": lambda: a_record(
        observed=watched(log_read=False), database=points(deadlocks=[0] * 28 + [1])
    ),
    "catalog": lambda: a_record(schema_before=None),
    "lost_writes": lambda: a_record(operations=operations_of()),
    "unexpected_writes": lambda: a_record(final_reads=shown(error="timed out")),
    "duplicates": lambda: a_record(final_reads=shown(error="timed out")),
    "stale_reads": lambda: a_record(operations=operations_of(an_operation(CREATE, 1))),
    "stale_cache": lambda: a_record(shapes=()),
    "totals": lambda: a_record(totals=(), final_reads=shown(found(1))),
    "leaks": lambda: a_record(reads_checked=0, probes=()),
    "forged_tokens": lambda: a_record(probes=()),
    "continuity": lambda: a_record(probes=()),
    "ws_delivery": lambda: a_record(websocket=messages(999)),
    "ws_missed": lambda: a_record(websocket=()),
    "ws_status": lambda: a_record(sockets=()),
    "drills": lambda: drilled(done=False),
    "generator": lambda: a_record(health=()),
}
"""One run per gate in which it cannot decide."""


def test_every_gate_has_its_examples() -> None:
    assert set(RED) == set(UNDECIDED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_is_green_when_all_went_well(name: str) -> None:
    seen = result(drilled(), name)
    assert (seen.status, seen.why) == ("pass", "kill-migrator@statement=1 A" if name == "drills" else "")
    assert seen.observed is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_is_red(name: str) -> None:
    seen = result(RED[name](), name)
    assert seen.status == "fail"
    assert seen.observed is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_does_not_decide_without_facts(name: str) -> None:
    seen = result(UNDECIDED[name](), name)
    assert seen.status == "inconclusive"
    assert seen.why


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("latency", "errors", "migration")])
def test_no_other_gate_is_red_with_it(name: str) -> None:
    assert [seen.name for seen in results(RED[name]()) if seen.status == "fail"] == [name]
