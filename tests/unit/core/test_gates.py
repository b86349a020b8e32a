"""Every gate can say no, yes and don't know; and a plan's gates are checked before any load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.builtin_gates import BUILT_IN
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gate import Gate
from harness.core.gates import METRICS, check_gates, explain
from harness.core.observation import LogEntry, Observed
from harness.core.operations import Operation, OperationKind
from harness.core.record import FinalRead, Part, Probe, Record, Total
from harness.core.samples import Outcome, SampleTable
from harness.core.schema_state import IndexState, SchemaState
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import (
    MIGRATION_PID,
    PHASES,
    a_deadlock,
    a_key,
    a_plan,
    a_read,
    a_record,
    a_schema,
    a_total,
    a_wait,
    an_operation,
    events,
    forged_tokens,
    found,
    healthy,
    joined,
    messages,
    old_shape,
    operations_of,
    points,
    samples,
    sessions,
    statement_records,
    steady,
    trace_of,
    watched,
    without,
)
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode, several, several_plan

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


def blocked() -> SampleTable:
    """Everybody waits from 28 to 31 and is then answered."""
    waiting = samples((28.0 + n / 100, 3.0 - n / 100) for n in range(300))
    return joined(without(steady(), 28.0, 31.0), waiting)


def shown(*records: Any, error: str | None = None) -> tuple[FinalRead, ...]:
    return (FinalRead("ada", 54.0, records, error, None, "w1", (Total("wallets", "30000", 3),)),)


def phases_of(name: str, seen: list[GateResult]) -> list[str]:
    """The phases in which the gate was judged, by its expressions."""
    return [r.expression.partition("phase=")[2].partition("}")[0] for r in seen if r.name == name]


HELD_LONG = statement_records(ALTER, 30.0, 30.5, k=1, locks=[EXCLUSIVE], commit_at=33.0)
INVALID = IndexState("i", "documents", "CREATE INDEX i", valid=False)


def long_hold() -> tuple[Event, ...]:
    """A migration whose statement keeps its lock from 27 to 29.5."""
    trace = trace_of(statement_records(ALTER, 27.0, 28.0, k=1, locks=[EXCLUSIVE], commit_at=29.5), end=29.6)
    return events(trace=trace, ended_at=29.7)


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

ASKED_FOR = {"drills", "replica_lag"}
"""Gates of which the plan of the demo has nothing, unless it is asked for."""

NAMES = [
    name
    for name in dict.fromkeys(gate.name for row in BUILT_IN for gate in row.make(a_plan()))
    if name != "replica_lag"
]
"""Those of a plan that asks for nothing besides: a rollback's, replicas' and invariants have tests of their
own."""


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


@pytest.mark.parametrize("name", ["errors", "throughput", "latency", "stall", "recovery"])
def test_without_an_answer_in_the_baseline_no_client_gate_decides(name: str) -> None:
    seen = result(a_record(table=steady(outcome=Outcome.ERROR)), name)
    assert seen.status == "inconclusive"
    assert "baseline" in seen.why


# what the database is the witness of


def test_a_short_wait_is_green_and_counted() -> None:
    seen = result(a_record(waits=(a_wait(27.1, 28.0), a_wait(27.1, 27.5))), "lock_wait")
    assert (seen.status, seen.samples) == ("pass", 2)
    assert seen.observed == pytest.approx(0.9)


def test_a_long_wait_is_red_however_badly_it_was_watched() -> None:
    seen = result(
        a_record(waits=(a_wait(27.0, 29.0),), events=long_hold(), observed=watched(ended_at=None)),
        "lock_wait",
    )
    assert (seen.status, seen.observed) == ("fail", 2.0)
    assert seen.why == (
        f"statement 1 of 0002 ({ALTER}) made 1 session wait; the longest waited 2.00 s for AccessShareLock"
        " on public.documents"
    )


def test_a_wait_of_the_migration_itself_is_nobodys_harm() -> None:
    assert (
        result(a_record(waits=(a_wait(27.0, 29.0, pid=MIGRATION_PID, root=700),)), "lock_wait").status
        == "pass"
    )


def test_who_waits_for_another_migrators_turn_is_no_client_of_the_service() -> None:
    """Deployers take an advisory lock so that one migrates at a time."""
    turn = a_wait(27.0, 34.0, lock_type="advisory", mode="ExclusiveLock", relation=None, relation_oid=None)
    assert result(a_record(waits=(turn,), events=long_hold()), "lock_wait").status == "pass"
    both = a_record(waits=(turn, a_wait(27.0, 28.1, pid=601)), events=long_hold())
    red = result(both, "lock_wait")
    assert (red.status, red.samples) == ("fail", 1)


def test_attempts_at_one_statement_are_told_with_their_sum() -> None:
    sql = "ALTER TABLE documents ADD COLUMN flag boolean"
    tries = trace_of(
        statement_records(sql, 27.0, 28.2, k=1, sqlstate="55P03"),
        statement_records(sql, 29.0, 30.5, k=2, sqlstate="55P03"),
    )
    waits = (a_wait(27.0, 28.2, pid=600), a_wait(29.0, 30.4, pid=601))
    red = result(a_record(waits=waits, events=events(trace=tries, ended_at=36.1)), "lock_wait")
    assert red.status == "fail"
    assert red.observed == pytest.approx(1.4)
    assert red.why.endswith(
        "made 2 sessions wait; the longest waited 1.40 s for AccessShareLock on public.documents,"
        " 2.60 s in all over 2 attempts"
    )


def test_the_rollbacks_waits_are_the_rollbacks() -> None:
    seen = results(a_record(a_plan(downgrade="0001"), waits=(a_wait(53.0, 55.0),)))
    assert [r.status for r in seen if r.name == "lock_wait"] == ["pass", "pass"]  # 1 s of it while it held
    assert phases_of("lock_wait", seen) == ["migrate", "rollback"]


LOGGED_WAIT = LogEntry(31.0, "lock_acquired", 612, pids=(612,), wait_s=3.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"observed": Observed()}, "nobody watched"),
        ({"observed": watched(polls=0)}, "nobody watched"),
        ({"missing": ("line 3 of locks.ndjson is unreadable",)}, "line 3 of locks.ndjson"),
        ({"observed": watched(ended_at=None)}, "died"),
        ({"observed": watched(30.0)}, "did not watch the whole phase"),
        ({"observed": watched(began_at=30.0)}, "did not watch the whole phase"),
        ({"observed": watched(gaps=((28.0, 31.0),))}, "no connection to the database for 3.00 s"),
        ({"observed": watched(log_read=False, blind=((28.0, 29.5),))}, "blind for 1.50 s"),
        ({"observed": watched(waits_logged=False, blind=((28.0, 29.5),))}, "blind for 1.50 s"),
        ({"missing": ("1 of 9 lines of database.ndjson are not there",)}, "lines of database.ndjson"),
        ({"database": (LOGGED_WAIT,)}, "wait of 3.00 s by session 612 that was not seen"),
        (
            {"database": (LOGGED_WAIT,), "waits": (a_wait(28.0, 28.8, pid=612, root=700),)},
            "wait of 3.00 s by session 612 that was not seen",
        ),
        ({"observed": watched(backends=()), "events": events(trace=[])}, "sessions is known"),
        ({"events": events(trace=[], end={"status": "nothing"})}, "phase migrate"),
    ],
)
def test_silence_of_who_did_not_watch_is_no_evidence(changes: Mapping[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "lock_wait")
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_late_polls_are_no_matter_where_the_log_tells_every_long_wait() -> None:
    blind = watched(waits_logged=True, late_max_s=1.5, blind=((28.0, 29.5),))
    assert result(a_record(observed=blind), "lock_wait").status == "pass"
    seen = a_wait(28.0, 31.0, pid=612, root=700)
    record = a_record(observed=blind, database=(LOGGED_WAIT,), waits=(seen,))
    assert result(record, "lock_wait").status == "pass"


@pytest.mark.parametrize("blind", [(3.0, 9.0), (28.0, 28.4)])
def test_blindness_elsewhere_or_for_a_moment_hides_no_long_wait(blind: tuple[float, float]) -> None:
    unread = watched(log_read=False, late_max_s=blind[1] - blind[0], blind=(blind,))
    assert result(a_record(observed=unread), "lock_wait").status == "pass"


def test_both_sides_of_a_deadlock_are_named() -> None:
    why = result(a_record(database=(a_deadlock(27.5),)), "deadlocks").why
    assert why == (
        "1 with the migration: session 600 (UPDATE documents SET version = ?) was the victim, against session"
        " 500 (UPDATE documents SET version = ?)"
    )


def test_deadlocks_of_others_are_told_but_not_red() -> None:
    seen = result(a_record(database=(a_deadlock(27.5, (600, 601)), a_deadlock(10.0))), "deadlocks")
    assert (seen.status, seen.why) == ("pass", "1 of other sessions, none with the migration")


def test_a_migration_that_was_the_victim_is_red_without_any_log() -> None:
    victim = trace_of(statement_records(ALTER, 27.0, 28.0, k=1, sqlstate="40P01"), ok=False, end=28.0)
    record = a_record(events=events(trace=victim), observed=Observed())
    seen = result(record, "deadlocks")
    assert (seen.status, seen.observed) == ("fail", 1.0)


def test_a_deadlock_that_the_server_counted_and_its_log_does_not_tell_of_is_not_denied() -> None:
    seen = result(a_record(database=points(deadlocks=[0] * 30 + [1])), "deadlocks")
    assert (seen.status, seen.why) == ("inconclusive", "the server counted 1, and its log tells of 0")
    logged = (*points(deadlocks=[0] * 30 + [1]), a_deadlock(27.5, (600, 601)))
    assert result(a_record(database=logged), "deadlocks").status == "pass"


def test_no_deadlock_is_denied_by_half_a_file() -> None:
    torn = a_record(missing=("line 9 of database.ndjson is unreadable",))
    assert result(torn, "deadlocks").status == "inconclusive"


def told_of_deadlocks(*at: float) -> SampleTable:
    failed = samples([(start, 0.5, Outcome.ERROR) for start in at])
    table = joined(steady(), failed)
    return replace(table, cause=(table.outcome == Outcome.ERROR).astype(np.int64), causes=("", "40P01"))


def test_clients_evidence_of_a_deadlock_counts_where_no_log_was_read() -> None:
    unread: Any = {"observed": watched(log_read=False), "database": points(deadlocks=[0])}
    assert result(a_record(table=told_of_deadlocks(28.0), **unread), "deadlocks").status == "fail"
    assert result(a_record(table=told_of_deadlocks(10.0), **unread), "deadlocks").status == "pass"
    assert result(a_record(table=told_of_deadlocks(10.0, 28.0), **unread), "deadlocks").status != "fail"


def test_without_a_log_the_servers_count_decides_only_when_it_did_not_rise() -> None:
    unread = watched(log_read=False, why_no_log="grant it")
    still = a_record(observed=unread, database=points(deadlocks=[3]))
    assert result(still, "deadlocks").status == "pass"
    risen = result(a_record(observed=unread, database=points(deadlocks=[3] * 28 + [5])), "deadlocks")
    assert (risen.status, risen.samples) == ("inconclusive", 2)
    assert "grant it" in risen.why
    late = a_record(observed=unread, database=points(deadlocks=[3] * 44 + [4]))  # its victim then did nothing
    assert result(late, "deadlocks").status == "inconclusive"
    assert result(a_record(observed=unread), "deadlocks").status == "inconclusive"


def test_an_index_that_was_invalid_before_is_not_the_migrations() -> None:
    before = a_schema(indexes={"i": INVALID})
    assert result(a_record(schema_before=before, schema_after=before), "catalog").status == "pass"


def test_a_catalog_that_could_not_be_read_decides_nothing() -> None:
    seen = result(a_record(schema_after=SchemaState(30.0, error="permission denied")), "catalog")
    assert (seen.status, seen.why) == (
        "inconclusive",
        "the catalog after the upgrade was not read: permission denied",
    )


CONCURRENTLY = statement_records(
    "CREATE INDEX CONCURRENTLY i ON documents (a)", 27.0, 28.0, k=1, autocommit=True
)
FAILING = statement_records(ALTER, 28.0, 28.5, k=2, sqlstate="42701")


def failed(*statements: list[dict[str, Any]], **end: Any) -> Record:
    log = events(
        trace=trace_of(*statements, ok=False, end=28.6), ended_at=28.7, end={"status": "failed", **end}
    )
    return a_record(events=log)


def test_a_revision_half_applied_is_red() -> None:
    seen = result(failed(CONCURRENTLY, FAILING, revisions_after=["0001"]), "catalog")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith("1 statement of revision 0002 stayed committed though it is not applied")


@pytest.mark.parametrize(
    "record",
    [
        failed(FAILING, revisions_after=["0001"]),  # nothing was committed
        failed(CONCURRENTLY, revisions_after=["0002"]),  # it failed later
        failed(
            statement_records("SET lock_timeout = '1s'", 27.0, 27.1, k=1, autocommit=True),
            revisions_after=["0001"],
        ),
    ],
)
def test_a_revision_that_left_nothing_behind_is_not_half_applied(record: Record) -> None:
    assert result(record, "catalog").status == "pass"


# single gates


def test_one_endpoint_alone_can_be_red() -> None:
    failing = steady(28.0, 29.0, rate=6, outcome=Outcome.ERROR, endpoint="POST /transfers")
    seen = result(a_record(table=joined(steady(), failing)), "errors")
    assert (seen.status, seen.observed, seen.limit, seen.samples) == ("fail", 1.0, 0.05, 6)
    assert seen.why.startswith("POST /transfers: 6 of 6 requests failed")


def test_four_failures_of_one_endpoint_are_not_enough() -> None:
    failing = steady(28.0, 29.0, rate=4, outcome=Outcome.ERROR, endpoint="POST /transfers")
    assert result(a_record(table=joined(steady(), failing)), "errors").status == "pass"


def test_errors_are_judged_by_what_exceeds_the_baseline() -> None:
    always = steady(rate=10, outcome=Outcome.ERROR, endpoint="GET /broken")
    seen = results(a_record(table=joined(steady(), always)))
    assert {r.status for r in seen if r.name not in ASKED_FOR} == {"pass"}


def test_few_answers_are_what_throughput_finds() -> None:
    seen = result(a_record(table=without(steady(), 27.5, 37.0)), "throughput")
    assert seen.status == "fail"
    assert (seen.samples or 0) < 300


def test_a_recovery_within_noise_is_not_red() -> None:
    tail = samples((37.0 + n / 20, 0.7 if n % 18 == 0 else 0.02) for n in range(300))
    seen = result(a_record(table=joined(steady(end=37.0), tail)), "recovery")
    assert (seen.observed or 0.0) > (seen.limit or 0.0)
    assert (seen.status, seen.why) == ("pass", "above the limit, but not clearly so: within noise")


def test_a_clear_recovery_failure_says_by_how_much() -> None:
    assert "with 95 % confidence" in result(RED["recovery"](), "recovery").why


@pytest.mark.parametrize(
    ("end", "status", "why"),
    [
        ({"status": "ok"}, "pass", ""),
        ({"status": "ok", "reached": False}, "fail", "the database is at 0002, not at head"),
        ({"status": "failed"}, "fail", "ended as failed"),
        ({"status": "failed", "message": "42P07 in statement 3"}, "fail", "42P07 in statement 3"),
        ({"status": "deadline"}, "fail", "deadline"),
        ({"status": "wrong_database", "message": "oid 5, not 4"}, "fail", "oid 5"),
        ({"status": "stopped"}, "inconclusive", "while it was running"),
        ({"status": "nothing"}, "inconclusive", "--prepare"),
        ({"status": None}, "inconclusive", "not recorded"),
        ({"status": "ok", "unreadable": 1}, "pass", "not traced: 1 lines of the trace are unreadable"),
        ({"status": "ok", "reached": None}, "inconclusive", "the version table could not be read"),
    ],
)
def test_the_ending_of_a_migration(end: dict[str, Any], status: str, why: str) -> None:
    seen = result(a_record(events=events(end=end)), "migration")
    assert seen.status == status
    assert why in seen.why


def test_a_migration_that_never_began_is_undecided() -> None:
    log = tuple(event for event in events() if event.data.get("episode") is None)
    assert result(a_record(events=log), "migration").why == "it never began"


def test_hidden_writes_are_lost_to_whoever_made_them() -> None:
    hidden = (FinalRead("ada", 54.0, (), None, (found(1),), "w1"),)
    assert result(a_record(final_reads=hidden), "lost_writes").status == "fail"


@pytest.mark.parametrize(
    ("gate", "operation"),
    [
        ("unexpected_writes", a_read(7)),
        ("duplicates", a_read(1, 2)),
        ("stale_reads", a_read(0, 0)),
    ],
)
def test_what_a_read_showed_is_red_even_if_no_account_was_read_back(gate: str, operation: Operation) -> None:
    operations = operations_of(an_operation(CREATE, 1), operation)
    seen = result(a_record(operations=operations, final_reads=()), gate)
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith(f"{a_key('k1')} of ada: a read from 30.00 s to 30.10 s showed ")


def test_a_lost_transfer_is_red_even_if_nothing_else_was_written() -> None:
    gone = replace(shown()[0], stored=(), stored_transfers=())
    operations = operations_of(an_operation(OperationKind.TRANSFER, 0))
    assert result(a_record(operations=operations, final_reads=(gone,)), "lost_writes").status == "fail"


def test_a_loss_is_red_even_if_other_accounts_were_not_read() -> None:
    operations = operations_of(an_operation(CREATE, 1), an_operation(CREATE, 1, key="k2", account="bob"))
    seen = result(a_record(operations=operations, final_reads=shown()), "lost_writes")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why == (
        f"{a_key('k1')} of ada: version 1 was acknowledged, nothing is there;"
        " 1 of 2 accounts were not read back"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"incomplete_workers": ("w1",)}, "the operations of 1 accounts are not all known"),
        (
            {"events": tuple(e for e in events() if e.kind != "worker_final"), "operations": operations_of()},
            "no write",
        ),
    ],
)
def test_no_loss_is_not_told_where_writes_are_unknown(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "lost_writes")
    assert seen.status == "inconclusive"
    assert why in seen.why


@pytest.mark.parametrize(("start", "red"), [(28.0, ["migrate"]), (40.0, ["recover"])])
def test_errors_are_judged_during_the_migration_and_after_it(start: float, red: list[str]) -> None:
    failing = steady(start, start + 8.0, rate=6, outcome=Outcome.ERROR, endpoint="POST /documents")
    seen = results(a_record(table=joined(steady(), failing)))
    assert phases_of("errors", [r for r in seen if r.status == "fail"]) == red


@pytest.mark.parametrize("kind", ["old_token", "fresh_login", "first_use"])
def test_continuity_is_red_when_what_had_worked_does_not_any_more(kind: str) -> None:
    seen = result(a_record(probes=sessions(**{kind: "failed"})), "continuity")
    assert (seen.status, seen.observed, seen.samples) == ("fail", 3, 9)
    assert seen.why.startswith("3 of 9; ada: ")
    assert seen.why.endswith(": HTTP 401")


@pytest.mark.parametrize(
    ("probes", "why"),
    [
        (sessions()[:2], "needs 3 accounts that were logged in before the migration, has 0"),
        (sessions()[:8], "needs 3 accounts that were logged in before the migration, has 2"),
        (
            sessions(first_use="failed")[2:],
            "first_use failed, but had not worked before the migration either: ada: it logged in, but what it"
            " got was not taken: HTTP 401",
        ),
        (
            sessions(fresh_login="unclear"),
            "fresh_login says nothing: every one was limited by rate, or not answered in time",
        ),
        (
            sessions(old_token="not_tried", fresh_login="not_tried", first_use="not_tried"),
            "nothing was tried: HTTP 401",
        ),
    ],
)
def test_continuity_does_not_decide_by_too_little(probes: tuple[Probe, ...], why: str) -> None:
    seen = result(a_record(probes=probes), "continuity")
    assert (seen.status, seen.why) == ("inconclusive", why)


def without_old_tokens(why: str) -> tuple[Probe, ...]:
    """What was tried where no old token could be."""
    probes = sessions(old_token="not_tried")
    return tuple(replace(p, detail=why) if p.probe == "old_token" else p for p in probes)


@pytest.mark.parametrize("why", ["it had ended", "it was renewed since"])
def test_old_tokens_that_nobody_holds_any_more_are_no_failure(why: str) -> None:
    assert result(a_record(probes=without_old_tokens(why)), "continuity").status == "pass"


@pytest.mark.parametrize(
    "why", ["no path is known that the account may read", "it had not worked before either"]
)
def test_old_tokens_that_could_not_be_tried_decide_nothing(why: str) -> None:
    seen = result(a_record(probes=without_old_tokens(why)), "continuity")
    assert (seen.status, seen.observed, seen.why) == (
        "inconclusive",
        None,
        f"no old token was tried: {why}",
    )


def test_one_user_is_enough_when_there_is_but_one() -> None:
    assert result(a_record(a_plan(users=1), probes=sessions()[:5]), "continuity").status == "pass"


def test_isolation_without_a_refusal_was_not_probed() -> None:
    seen = result(a_record(probes=()), "leaks")
    assert (seen.status, seen.why) == (
        "inconclusive",
        "no probe of a record was refused: isolation was not probed",
    )


@pytest.mark.parametrize(
    ("probes", "status", "why"),
    [
        (forged_tokens(before="accepted"), "fail", "ada: alg none, alg none: HTTP 200"),
        ((), "inconclusive", "none was tried: no account was probed"),
        (
            (Probe(10.0, "ada", "forged_signature", "not_tried", "the account holds no token"),),
            "inconclusive",
            "none was tried: the account holds no token",
        ),
        (
            forged_tokens(before="error", after="error"),
            "inconclusive",
            "all 2 that were tried say nothing: alg none: HTTP 200",
        ),
        (forged_tokens()[:1], "inconclusive", "none was tried after the migration"),
        (forged_tokens(before="error"), "pass", ""),
    ],
)
def test_forged_tokens_are_judged_by_what_was_tried(probes: tuple[Probe, ...], status: str, why: str) -> None:
    seen = result(a_record(probes=probes), "forged_tokens")
    assert (seen.status, seen.why) == (status, why)


def test_unexpected_writes_are_not_denied_where_an_account_was_not_read() -> None:
    unread = FinalRead("bob", 54.0, (), "timed out", None, "w1")
    seen = result(a_record(final_reads=(*shown(found(1)), unread)), "unexpected_writes")
    assert (seen.status, seen.why) == ("inconclusive", "1 of 2 accounts were not read back")
    strange = (*shown(found(1), found(1, "stranger")), unread)
    assert result(a_record(final_reads=strange), "unexpected_writes").status == "fail"


def test_foreign_reads_that_all_fail_prove_nothing() -> None:
    record = a_record(probes=(Probe(30.0, "ada", "foreign_read", "error"),))
    assert result(record, "leaks").status == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"health": healthy(cpu_ratio=0.99)}, "CPU was above 90%"),
        ({"health": healthy(late_ms=80.0)}, "p99 80 ms"),
    ],
)
def test_an_unfit_generator_says_why(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "generator")
    assert seen.status == "fail"
    assert why in seen.why


NO_FINAL = {"events": tuple(e for e in events() if e.kind != "worker_final")}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (NO_FINAL, "workers lost: w1, and 2.1% of the load with them"),
        ({"events": events(more=[Event(30.0, Kind.WORKER_LATE, {"worker": "w2"})])}, "took users away: w2"),
    ],
)
def test_a_generator_with_less_load_than_asked_for_decides_nothing(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "generator")
    assert (seen.status, why in seen.why) == ("inconclusive", True), seen
    assert result(a_record(**changes, health=healthy(late_ms=80.0)), "generator").status == "fail"


def test_lateness_in_the_warm_up_is_none() -> None:
    late = healthy(5.0, late_ms=500.0)
    assert result(a_record(health=late + healthy()[5:]), "generator").status == "pass"


def test_a_rollback_is_judged_by_gates_of_its_own() -> None:
    seen = results(a_record(a_plan(downgrade="0001")))
    assert {r.status for r in seen if r.name not in ASKED_FOR} == {"pass"}
    for name in ("throughput", "latency", "stall", "migration"):
        assert phases_of(name, seen) == ["migrate", "rollback"]
    assert phases_of("errors", seen) == ["migrate", "recover", "rollback", "rollback_recover"]
    assert sum(r.name == "leaks" for r in seen) == 1


def test_a_rollback_that_never_began_is_undecided() -> None:
    record = a_record(a_plan(downgrade="0001"), events=events(a_plan()))
    back = [r for r in results(record) if "rollback" in r.expression and r.name not in ASKED_FOR]
    assert {r.status for r in back} == {"inconclusive"}


# gates of the plan


def test_a_gate_for_some_seconds_needs_all_of_them_to_be_bad() -> None:
    bad = in_place_of(30.0, 32.0, outcome=Outcome.ERROR)
    for seconds, status in ((2, "fail"), (4, "pass")):
        record = a_record(a_plan(gates=(f"e: error_ratio < 1% for {seconds}s",)), bad)
        assert result(record, "e").status == status


def test_a_floor_for_some_seconds() -> None:
    gap = without(steady(), 30.0, 33.0)
    for seconds, status in ((2, "fail"), (5, "pass")):
        record = a_record(a_plan(gates=(f"t: throughput > 50/s for {seconds}s",)), gap)
        assert result(record, "t").status == status


def test_a_stretch_longer_than_the_phase_decides_nothing() -> None:
    record = a_record(a_plan(gates=("e: error_ratio < 1% for 11s",)))
    assert result(record, "e").why == "no 11 s in a row have requests in every second"


def test_what_the_limit_lacks_is_told() -> None:
    record = a_record(a_plan(gates=("g: p95 < 2 * p95{phase=rollback}",), downgrade="0001"), events=events())
    assert result(record, "g").why == "p95 of rollback: the run never came to phase rollback"


def spread(low: float, high: float) -> SampleTable:
    """Latencies that rise evenly from `low` to `high` within the impact window, in no order of time."""
    own = 100 * 10
    rows = ((27 + n / 100, low + (high - low) * (n * 7 % own) / own) for n in range(own))
    return joined(without(steady(), 27.0, 37.0), samples(rows))


def test_a_quantile_gate_tells_where_the_true_one_lies() -> None:
    found = result(a_record(a_plan(gates=("g: p95 < 1s",)), spread(0.1, 0.2)), "g")
    assert found.confidence is not None
    assert found.observed is not None
    low, high = found.confidence
    assert 0.19 < low < found.observed < high < 0.2
    assert (found.status, found.why) == ("pass", "")


@pytest.mark.parametrize(("limit", "status"), [("194ms", "fail"), ("196ms", "pass")])
def test_what_lies_near_its_limit_says_so_on_either_side(limit: str, status: str) -> None:
    found = result(a_record(a_plan(gates=(f"g: p95 < {limit}",)), spread(0.1, 0.2)), "g")
    assert (found.status, found.why) == (
        status,
        "the limit lies within the confidence interval: chance may have decided it",
    )


def test_what_is_clear_of_its_limit_does_not() -> None:
    for limit, status in (("150ms", "fail"), ("210ms", "pass")):
        found = result(a_record(a_plan(gates=(f"g: p95 < {limit}",)), spread(0.1, 0.2)), "g")
        assert (found.status, found.why) == (status, "")


@pytest.mark.parametrize("gate", ["error_ratio < 1%", "max < 1s", "p95 < 1s for 1s"])
def test_what_is_no_quantile_of_the_window_has_no_interval(gate: str) -> None:
    found = result(a_record(a_plan(gates=(f"g: {gate}",))), "g")
    assert (found.status, found.confidence) == ("pass", None)


def test_too_few_samples_have_no_interval_and_decide_nothing() -> None:
    few = joined(without(steady(), 27.0, 37.0), steady(27.0, 37.0, rate=19.0))
    found = result(a_record(a_plan(gates=("g: p95 < 1s",)), few), "g")
    assert (found.status, found.observed, found.confidence) == ("inconclusive", None, None)


def test_a_gate_under_a_builtin_name_replaces_it() -> None:
    gates = check_gates(a_plan(gates=("stall: stall < 9s",)))
    (stall,) = [gate for gate in gates if gate.name == "stall"]
    assert stall.expression == "stall < 9s"
    assert "replaces the built-in" in stall.note


def test_a_gate_without_a_name_is_called_by_its_expression_and_replaces_nothing() -> None:
    names = [gate.name for gate in check_gates(a_plan(gates=("stall{phase=baseline} < 9s",)))]
    assert "stall" in names
    assert names[-1] == "stall{phase=baseline} < 9s"


def test_a_gate_can_be_switched_off() -> None:
    assert "stall" not in [gate.name for gate in check_gates(a_plan(no_gates=("stall",)))]


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        ({"no_gates": ("stal",)}, "--no-gate stal: there is no such gate", "Known gates: errors, throughput"),
        ({"required": ("nope",)}, "--require nope: there is no such gate", "Known gates: errors"),
        ({"gates": ("p96 < 1s",)}, "no metric 'p96'", "Known metrics"),
        ({"gates": ("a: p95 < 1s", "a: p99 < 1s")}, "Two gates are called 'a'", "different names"),
        ({"ignore": ("no-such-rule: why",)}, "no-such-rule: there is no such rule", "Known rules"),
        ({"placebo": True, "required": ("migration",)}, "a placebo migrates nothing", "drop --require"),
        ({"ledger": False, "required": ("lost_writes",)}, "keep no ledger", "drop --require"),
    ],
)
def test_wrong_gates_are_refused_before_load(changes: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_gates(a_plan(**changes))
    assert message in refused.value.message
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "gates"),
    [
        ({"placebo": True}, {"stale_cache", "migration", "lock_wait", "deadlocks", "catalog", "ws_status"}),
        ({"ledger": False}, {"lost_writes", "unexpected_writes", "duplicates", "stale_reads", "stale_cache"}),
        ({"totals": False}, {"totals"}),
        ({"isolation": False}, {"leaks"}),
        ({"websocket": False}, {"ws_delivery", "ws_missed", "ws_status"}),
        ({"host": "http://127.0.0.1:1", "database_url": "postgresql://shop"}, {"ws_status"}),
        ({"authentication": False}, {"continuity"}),
        ({"tokens": False}, {"forged_tokens"}),
        ({"probe_s": 0.0}, {"continuity", "forged_tokens"}),
        ({"gates": ("back: stall{phase=rollback} < 1s",)}, {"back"}),
    ],
)
def test_what_the_plan_gives_nothing_to_judge(changes: dict[str, Any], gates: set[str]) -> None:
    apart = {gate.name for gate in check_gates(a_plan(**changes)) if gate.not_applicable}
    seen_by_its_primary = {"replica_lag"} if "host" in changes else set()
    assert apart == gates | ASKED_FOR - seen_by_its_primary


def test_a_gate_that_cannot_be_computed_is_inconclusive() -> None:
    def broken(_facts: object) -> GateResult:
        raise ZeroDivisionError("division by zero")

    seen = Gate("g", "p95 < 1s", "client", broken).result(facts_of(a_record()))
    assert seen.status == "inconclusive"
    assert seen.why == "it could not be computed: ZeroDivisionError: division by zero"


def test_the_explanation_names_every_gate_and_metric() -> None:
    text = explain()
    for name in (*NAMES, *METRICS):
        assert f"| `{name}` |" in text


def test_every_row_of_the_explanation_has_the_columns_of_its_head() -> None:
    widths = [line.count(" | ") for line in explain().splitlines() if line.startswith("| `")]
    assert widths == [1] * len(BUILT_IN) + [4] * len(METRICS)


def test_one_stall_of_the_machine_is_one_observation_to_the_recovery_gate() -> None:
    tail = samples((37.0 + n / 80, 0.4 if 49.0 <= 37.0 + n / 80 < 49.4 else 0.02) for n in range(1200))
    seen = result(a_record(table=joined(steady(end=37.0), tail)), "recovery")
    assert (seen.observed or 0.0) > (seen.limit or 0.0)
    assert seen.status == "pass"


# several migrations


SHOP_RAN = episode(1, SHOP, begin=25.0, start=27.0)
BILLING_FAILED = episode(
    2, BILLING, begin=28.2, start=30.0, status="failed", message="Its process ended with exit code 1."
)
SHOP_FAILED = episode(1, SHOP, begin=25.0, start=27.0, status="failed", message="It went wrong.")


def test_all_migrations_of_a_phase_pass_together() -> None:
    seen = {r.name: r for r in results(several(rollback=True)) if "rollback" in r.expression}
    own = ("migration", "lock_wait", "deadlocks", "catalog")
    assert [(name, seen[name].status) for name in own] == [(name, "pass") for name in own]
    assert seen["catalog"].samples == 2
    assert seen["migration"].expression == (
        "migration{phase=rollback} each ends ok, at its target, within 1800 s"
    )


def test_the_migration_that_failed_is_named() -> None:
    seen = result(several(SHOP_RAN, BILLING_FAILED), "migration")
    assert (seen.status, seen.why) == ("fail", "billing: Its process ended with exit code 1.")


def test_one_that_was_not_started_after_a_failure_is_named_too() -> None:
    seen = result(several(SHOP_FAILED), "migration")
    assert (seen.status, seen.why) == ("fail", "shop: It went wrong.; billing never began")


def test_one_that_the_run_did_not_come_to_is_no_pass() -> None:
    seen = result(several(SHOP_RAN), "migration")
    assert (seen.status, seen.why) == ("inconclusive", "billing never began")


def test_each_migration_has_its_own_deadline() -> None:
    record = several()
    shop, billing = record.plan.migrations
    plan = replace(record.plan, migrations=(shop, replace(billing, deadline_s=5.0)))
    seen = result(replace(record, plan=plan), "migration")
    assert seen.expression == "migration{phase=migrate} each ends ok, at its target, within its deadline"
    assert seen.observed == pytest.approx(2.9)
    assert seen.limit == 5.0  # the one that came nearest to it


def test_a_long_wait_is_laid_to_the_migration_that_made_it() -> None:
    long = episode(2, BILLING, begin=28.2, start=30.0, trace=trace_of(HELD_LONG))
    waits = (a_wait(30.5, 33.0, root=BILLING_PID),)
    seen = result(several(SHOP_RAN, long, elsewhere={BILLING: a_watch(waits=waits)}), "lock_wait")
    assert seen.status == "fail"
    assert seen.why.startswith(f"statement 1 of 0002 in billing ({ALTER}) made 1 session wait")


def test_an_unwatched_database_of_several_leaves_silence_unproven() -> None:
    for name in ("lock_wait", "deadlocks"):
        seen = result(several(elsewhere={}), name)
        assert (seen.status, "billing" in seen.why) == ("inconclusive", True)


def test_a_deadlock_is_looked_for_in_the_log_of_its_own_server() -> None:
    deadlock = a_deadlock(30.5, (600, BILLING_PID))
    seen = result(several(elsewhere={BILLING: a_watch(database=(deadlock,))}), "deadlocks")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith("billing: 1 with the migration: session 600")
    assert result(several(database=(deadlock,)), "deadlocks").status == "pass"


def test_the_migration_that_left_the_schema_red_is_named() -> None:
    after = Part(a_schema(), a_schema(indexes={"i": INVALID}))
    seen = result(several(parts={SHOP: Part(a_schema(), a_schema()), BILLING: after}), "catalog")
    assert (seen.status, seen.why.partition(":")[0]) == ("fail", "billing")


def test_a_schema_of_several_that_was_not_read_decides_nothing() -> None:
    seen = result(several(parts={SHOP: Part(a_schema(), a_schema()), BILLING: Part(a_schema())}), "catalog")
    assert (seen.status, seen.why) == ("inconclusive", "billing: the catalog after the upgrade was not read")


def test_a_rollback_of_one_of_several_is_judged() -> None:
    plan = several_plan()
    back = replace(plan, migrations=(replace(plan.migrations[0], downgrade="0001"), plan.migrations[1]))
    names = [gate.name for gate in check_gates(back) if "phase=rollback" in gate.expression]
    assert {"migration", "lock_wait", "deadlocks", "catalog", "stall"} <= set(names)


SLOWER = "slower: p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}"


def beside(baseline: Record | None, gate: str = SLOWER, **changes: Any) -> Record:
    """A run with a gate that compares it with `baseline`."""
    return a_record(plan=a_plan(baseline_run="runs/main", gates=(gate,)), baseline=baseline, **changes)


def test_a_gate_against_another_run_passes_what_is_as_quick() -> None:
    seen = result(beside(a_record()), "slower")
    assert seen.status == "pass"
    assert seen.limit == pytest.approx(0.022)


def test_a_gate_against_another_run_is_red_for_what_is_slower() -> None:
    slow = in_place_of(27.0, 37.0, latency=0.03)
    assert result(beside(a_record(), table=slow), "slower").status == "fail"
    assert result(beside(a_record(table=slow), table=slow), "slower").status == "pass"


def test_a_migration_may_be_held_to_the_time_of_another() -> None:
    gate = "longer: migration_duration < 2 * migration_duration{run=baseline}"
    long = events(trace=trace_of(statement_records(ALTER, 27.0, 33.0, k=1, commit_at=33.0)), ended_at=34.0)
    assert result(beside(a_record(), gate, events=long), "longer").status == "fail"
    assert result(beside(a_record(events=long), gate, events=long), "longer").status == "pass"


@pytest.mark.parametrize(
    ("baseline", "why"),
    [
        (None, "the record of the baseline run is not there"),
        (a_record(missing=("samples.blocks: torn",)), "its record is not whole: samples.blocks: torn"),
        (a_record(table=steady(rate=10)), "p95 of migrate in the baseline run: needs 200 samples"),
    ],
)
def test_another_run_that_says_nothing_decides_nothing(baseline: Record | None, why: str) -> None:
    seen = result(beside(baseline), "slower")
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_asking_another_run_for_a_time_is_asking_it_for_its_own_window() -> None:
    late = replace(a_record(), events=events(phases={**PHASES, "recover": 40.0}))
    gate = "p95{run=baseline,phase=recover} < 100ms for 2s"
    assert result(beside(late, gate), gate).status == "pass"


def test_the_label_run_without_a_run_is_refused() -> None:
    with pytest.raises(UsageError, match="needs another run") as refused:
        check_gates(a_plan(gates=(SLOWER,)))
    assert "--baseline-run" in refused.value.remedy
