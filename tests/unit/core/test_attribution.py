"""Which wait is the migration's, and which statement it is charged to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core.attribution import Charge, attribute
from harness.core.facts import facts_of
from harness.core.migrations import migrations_of
from harness.core.observation import BackendSeen, Held
from harness.core.waits import Blocker, Wait
from tests.fix_record import a_wait, events
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, several
from tests.fix_trace import MIGRATION_PID, TABLE_OID, statement_records, trace_of

ALTER = "ALTER TABLE documents ADD COLUMN flag boolean"
BACKFILL = "UPDATE documents SET flag = false"
EXCLUSIVE = ("public.documents", "AccessExclusiveLock")

CHEAP_THEN_LONG = trace_of(
    statement_records(ALTER, 27.0, 27.01, k=1, locks=[EXCLUSIVE]),
    statement_records(BACKFILL, 27.01, 35.0, k=2, locks=[EXCLUSIVE], commit_at=35.1),
)
"""A cheap ALTER that keeps its lock while the backfill after it runs."""


def charged(waits: Sequence[Wait], trace: list[dict[str, Any]] = CHEAP_THEN_LONG) -> tuple[Charge, ...]:
    log = events(trace=trace, ended_at=36.1)
    return attribute(waits, migrations_of(log)).service


def of(charge: Charge) -> int | None:
    return None if charge.statement is None else charge.statement.n


def test_the_statement_that_took_the_lock_is_charged_for_all_the_time_it_was_kept() -> None:
    (late,) = charged([a_wait(33.0, 35.1)])
    assert (of(late), late.phase, late.inferred) == (1, "migrate", False)
    assert late.lock is not None
    assert (late.lock.relation, late.lock.mode) == EXCLUSIVE
    assert late.seconds == pytest.approx(2.1)


def test_a_lock_that_does_not_conflict_is_not_the_cause() -> None:
    share = trace_of(
        statement_records(
            "CREATE INDEX i ON documents (a)", 27.0, 28.0, k=1, locks=[("documents", "ShareLock")]
        ),
        statement_records(
            ALTER, 28.0, 28.5, k=2, locks=[("documents", "ShareLock"), EXCLUSIVE], commit_at=30.0
        ),
    )
    waits = [a_wait(28.2, 30.0, pid=600), a_wait(27.5, 30.0, pid=601, mode="RowExclusiveLock")]
    assert {charge.wait.pid: of(charge) for charge in charged(waits, share)} == {600: 2, 601: 1}


def test_of_two_locks_of_a_statement_on_one_table_the_stronger_is_named() -> None:
    rewrite = statement_records(ALTER, 27.0, 29.0, k=1, locks=[("documents", "ShareLock"), EXCLUSIVE])
    (charge,) = charged([a_wait(27.5, 29.0, mode="RowExclusiveLock")], trace_of(rewrite))
    assert charge.lock is not None
    assert charge.lock.mode == "AccessExclusiveLock"


def test_a_wait_is_not_charged_beyond_the_release() -> None:
    (charge,) = charged([a_wait(34.1, 40.0)])
    assert charge.seconds == pytest.approx(1.0 + 0.01)  # and half a polling interval


def test_a_wait_that_a_failed_attempt_made_is_not_the_next_attempts_whose_lock_its_end_touches() -> None:
    again = statement_records(ALTER, 29.005, 29.01, k=2, locks=[EXCLUSIVE], commit_at=29.02)
    retried = trace_of(statement_records(ALTER, 27.0, 29.0, k=1, sqlstate="55P03"), again)
    (charge,) = charged([a_wait(27.5, 29.012)], retried)
    assert (of(charge), charge.inferred) == (1, False)
    assert charge.seconds == pytest.approx(1.51)


def test_a_wait_before_a_statement_whose_locks_are_not_known_is_not_cut_to_a_later_hold() -> None:
    blind = trace_of(
        statement_records("ALTER TABLE documents ADD a int", 27.0, 31.9, k=1),
        statement_records(ALTER, 31.9, 31.95, k=2, locks=[EXCLUSIVE], commit_at=32.0),
    )
    (charge,) = charged([a_wait(27.5, 32.0)], blind)
    assert (of(charge), charge.inferred) == (1, True)
    assert charge.seconds > 4.0


def test_the_oid_goes_before_the_name() -> None:
    waits = [a_wait(28.0, 30.0, relation="other.documents", relation_oid=TABLE_OID)]
    assert charged(waits)[0].lock is not None
    waits = [a_wait(28.0, 30.0, relation="public.documents", relation_oid=99)]
    assert charged(waits)[0].inferred  # by the time alone


def test_the_migration_at_the_head_of_the_queue_is_charged_for_those_behind_it() -> None:
    """It waits for a reader until its lock_timeout, and never has the lock."""
    failing = trace_of(
        statement_records(ALTER, 27.0, 29.0, k=1, sqlstate="55P03"),
        ok=False,
    )
    reader = Blocker(700, "billing", "client backend", "idle in transaction", "SELECT 1", 42.0)
    behind = a_wait(27.5, 29.0, root=reader, chain=(MIGRATION_PID, 700))
    head = a_wait(27.0, 29.0, pid=MIGRATION_PID, mode="AccessExclusiveLock", root=reader)
    found = attribute([behind, head], migrations_of(events(trace=failing, ended_at=29.1)))
    (charge,), (own,) = found.service, found.own
    assert (of(charge), charge.inferred, charge.seconds) == (1, False, 1.5)
    assert (of(own), own.wait.root) == (1, reader)


def test_row_locks_are_charged_to_the_statement_that_changes_rows() -> None:
    (charge,) = charged([a_wait(29.0, 35.1, lock_type="transactionid", mode="ShareLock", relation=None)])
    assert (of(charge), charge.lock, charge.inferred) == (2, None, False)


def test_of_several_that_change_rows_the_last_before_the_wait_is_the_likeliest() -> None:
    two = trace_of(
        statement_records(BACKFILL, 27.0, 28.0, k=1),
        statement_records("UPDATE documents SET a = 1", 28.0, 29.0, k=2),
        statement_records("UPDATE documents SET b = 1", 33.0, 34.0, k=3, commit_at=35.0),
    )
    wait = a_wait(29.5, 35.0, lock_type="tuple", mode="ExclusiveLock")
    assert [of(charge) for charge in charged([wait], two)] == [2]


def test_where_the_trace_knows_no_lock_the_time_decides() -> None:
    (running,) = charged([a_wait(30.0, 32.0, relation="secrets")])
    assert (of(running), running.inferred) == (2, True)


def test_a_wait_for_somebody_else_is_not_the_migrations() -> None:
    assert charged([a_wait(28.0, 30.0, root=700)]) == ()


def test_who_only_queues_for_a_row_that_another_session_locked_is_not_the_cause() -> None:
    row: dict[str, Any] = {"lock_type": "tuple", "mode": "ExclusiveLock"}
    assert charged([a_wait(28.0, 30.0, root=700, chain=(MIGRATION_PID, 700), **row)]) == ()
    assert len(charged([a_wait(28.0, 30.0, **row)])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"lock_type": "advisory"},
        {"backend_type": "autovacuum worker"},
        {"application": "mul-catalog"},
    ],
)
def test_who_is_no_client_of_the_service_is_left_out(changes: dict[str, Any]) -> None:
    assert charged([a_wait(28.0, 30.0, **changes)]) == ()


def test_an_untraced_migration_is_charged_without_a_statement() -> None:
    log = events(trace=[])
    found = attribute([a_wait(27.0, 28.0)], migrations_of(log, seen_backends=[MIGRATION_PID]))
    assert [(charge.statement, charge.inferred, charge.seconds) for charge in found.service] == [
        (None, False, 1.0)
    ]


def test_the_lock_of_an_untraced_migration_is_the_one_it_was_seen_with() -> None:
    def lock(*locks: tuple[str, str | None, str, bool]) -> str | None:
        held = [Held(26.9, MIGRATION_PID, locks), Held(28.5, MIGRATION_PID, ())]
        migrations = migrations_of(events(trace=[]), [MIGRATION_PID], held)
        (charge,) = attribute([a_wait(27.0, 28.0)], migrations).service
        return None if charge.lock is None else charge.lock.mode

    exclusive = ("documents", "r", "AccessExclusiveLock", True)
    assert lock(("documents", "r", "RowExclusiveLock", True), exclusive) == "AccessExclusiveLock"
    assert lock(("orders", "r", "AccessExclusiveLock", True)) is None
    assert lock((*exclusive[:3], False)) is None


@pytest.mark.parametrize(("by", "inferred"), [("name", False), ("port", False), ("time", True)])
def test_a_wait_behind_a_session_that_only_time_tells_is_inferred(by: str, inferred: bool) -> None:
    seen = [BackendSeen(26.5, MIGRATION_PID, by)]
    migrations = migrations_of(events(trace=[]), [MIGRATION_PID], found=seen)
    (charge,) = attribute([a_wait(27.0, 28.0)], migrations).service
    assert (charge.statement, charge.inferred) == (None, inferred)


def test_a_pid_that_is_given_out_again_later_is_not_the_migrations() -> None:
    assert charged([a_wait(45.0, 47.0)]) == ()


def test_a_statement_outside_a_transaction_is_charged_while_it_ran() -> None:
    concurrently = trace_of(
        statement_records("CREATE INDEX CONCURRENTLY i ON documents (a)", 27.0, 33.0, k=1, autocommit=True)
    )
    (charge,) = charged([a_wait(28.0, 33.0, mode="ShareUpdateExclusiveLock")], concurrently)
    assert (of(charge), charge.inferred) == (1, True)


def test_a_lock_that_was_only_seen_now_and_then_counts_for_as_long_as_its_statement_ran() -> None:
    trace = trace_of(statement_records(ALTER, 27.0, 30.0, k=1, autocommit=True))
    held = [Held(29.9, MIGRATION_PID, (("documents", "r", "AccessExclusiveLock", True),))]
    migrations = migrations_of(events(trace=trace, ended_at=30.1), held=held)
    (charge,) = attribute([a_wait(27.5, 30.0)], migrations).service
    assert (of(charge), charge.inferred, charge.seconds) == (1, False, 2.5)
    assert charge.lock is not None


def test_a_hundred_thousand_waits_are_charged_each_to_its_own() -> None:
    many = trace_of(
        *(
            statement_records(ALTER, 27.0 + n, 27.5 + n, k=1 + n, locks=[EXCLUSIVE], commit_at=27.6 + n)
            for n in range(8)
        )
    )
    waits = [a_wait(27.0 + n % 8 + 0.1, 27.0 + n % 8 + 0.5, pid=600 + n) for n in range(2000)]
    assert [of(charge) for charge in charged(waits, many)] == [1 + n // 250 for n in range(2000)]


def test_a_wait_is_charged_only_to_a_migration_on_its_own_database() -> None:
    shop, billing = (a_wait(start, start + 0.5) for start in (27.2, 30.2))
    elsewhere = {BILLING: a_watch(waits=(replace(billing, root=Blocker(BILLING_PID), chain=(BILLING_PID,)),))}
    found = facts_of(several(waits=(shop,), elsewhere=elsewhere)).attribution.service
    assert [(charge.migration.name, of(charge)) for charge in found] == [(SHOP, 1), (BILLING, 1)]
    strange = {BILLING: a_watch(waits=(shop,))}  # a session of another server has the same number
    assert facts_of(several(elsewhere=strange)).attribution.service == ()
