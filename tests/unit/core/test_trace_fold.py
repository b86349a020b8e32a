"""Records as the tracer writes them, and the statements and transactions that are made of them."""

from __future__ import annotations

import pytest

from harness.core.trace import Lock, Now, Record
from harness.core.trace_fold import TraceFold, build
from tests.fix_trace import EXCLUSIVE, TABLE, altered, begin, end, head, record, revision, row, snapshot, txn


def test_a_statement_its_transaction_and_its_commit() -> None:
    trace = build(
        [
            *head(lock_timeout=3.0),
            revision("r1", 1.0),
            begin(1, 1.1, "ALTER TABLE notes ADD COLUMN x int"),
            txn("begin", 1.1, 1.15, "in"),
            end(1, 1.4, 0.3, rows=None),
            snapshot(1, 1.41, EXCLUSIVE, lock_timeout=5.0),
            begin(2, 1.5, "UPDATE alembic_version SET version_num = 'r1'", step="version"),
            end(2, 1.6, 0.1, rows=1),
            txn("commit", 1.7, 1.9, "idle"),
            record("rev_end", 1.95, run=1, revision="r1", ok=True),
            record("bye", 2.0),
        ]
    )

    assert trace.complete
    own, version = trace.statements
    assert (own.n, own.kind, own.revision, own.transaction) == (1, "migration", "r1", 1)
    assert (own.started_mono, own.ended_mono, own.duration_s) == (1.1, 1.4, 0.3)
    assert own.lock_timeout_s == 5.0
    assert own.locks == (Lock("notes", "r", "AccessExclusiveLock", 1.1, 1.9, of=None, oid=TABLE),)
    assert own.locks[0].hold_s == pytest.approx(0.8)
    assert own.committed_mono == 1.9
    assert (version.n, version.kind) == (None, "version")
    assert (trace.first_statement_mono, trace.last_commit_mono) == (1.1, 1.9)
    (found,) = trace.transactions
    assert (found.started_mono, found.ended_mono, found.outcome) == (1.1, 1.9, "commit")
    (run,) = trace.revisions
    assert (run.revision, run.started_mono, run.ended_mono, run.ok) == ("r1", 1.0, 1.95, True)


def test_outside_a_transaction_a_statement_commits_itself() -> None:
    trace = build([*head(), begin(1, 1.0, "CREATE INDEX CONCURRENTLY i ON t (x)"), end(1, 3.0, 2.0, "idle")])

    (statement,) = trace.statements
    assert statement.transaction is None
    assert statement.committed_mono == 3.0
    assert trace.last_commit_mono == 3.0


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (txn("rollback", 2.0, 2.1, "idle"), "rollback"),
        (txn("commit", 2.0, 2.1, "idle", ok=False), "rollback"),  # a deferred constraint fails at COMMIT
        (txn("commit", 2.0, 2.1, "idle"), "commit"),
    ],
)
def test_how_a_transaction_ends(ending: Record, outcome: str) -> None:
    trace = build([*head(), begin(1, 1.0, "UPDATE t SET x = 1"), end(1, 1.1, 0.1), ending])

    assert trace.transactions[0].outcome == outcome
    assert (trace.statements[0].committed_mono is not None) == (outcome == "commit")


def test_a_transaction_whose_end_was_not_seen_is_over_when_the_connection_is_idle() -> None:
    trace = build(
        [
            *head(),
            begin(1, 1.0, "SELECT 1"),
            end(1, 1.1, 0.1),
            begin(2, 2.0, "CREATE INDEX CONCURRENTLY i ON t (x)", status="idle"),
            end(2, 3.0, 1.0, "idle"),
        ]
    )

    assert trace.transactions[0].outcome == "rollback"
    assert trace.statements[1].transaction is None


def test_a_failed_statement_is_never_committed() -> None:
    trace = build(
        [
            *head(),
            begin(1, 1.0, "SELECT * FROM nowhere"),
            end(1, 1.1, 0.1, "error", sqlstate="42P01", error='relation "nowhere" does not exist'),
            txn("rollback_to", 1.2, 1.3, "in"),
            begin(2, 1.4, "SELECT 1"),
            end(2, 1.5, 0.1),
            txn("commit", 1.6, 1.7, "idle"),
        ]
    )

    failed, after = trace.statements
    assert (failed.sqlstate, failed.committed_mono) == ("42P01", None)
    assert after.committed_mono == 1.7
    assert failed.transaction == after.transaction == 1


def test_repeats_are_one_statement_of_each_transaction() -> None:
    def more(mono: float, ended: float) -> Record:
        given = {"revision": "r1", "step": "migration", "prepare": False, "status": "in"}
        return record(
            "more",
            mono,
            sql="UPDATE t SET x = 1",
            key="k",
            count=10,
            rows=20,
            duration_s=0.5,
            ended=ended,
            **given,
        )

    trace = build([*head(), more(1.0, 1.5), more(1.5, 2.0), txn("commit", 2.1, 2.2, "idle"), more(3.0, 3.5)])

    first, second = trace.statements
    assert (first.executions, first.rows, first.duration_s, first.ended_mono) == (20, 40, 1.0, 2.0)
    assert (first.committed_mono, second.committed_mono) == (2.2, None)
    assert (first.n, second.n, second.executions) == (1, 2, 10)


def test_a_prepared_statement_is_counted_when_it_is_executed() -> None:
    prepared = [begin(1, 1.0, "SELECT 1", prepare=True), end(1, 1.1, 0.1)]
    failed = [
        begin(2, 2.0, "SELECT nothing", prepare=True),
        end(2, 2.1, 0.1, "error", sqlstate="42703", error="no such column"),
    ]

    trace = build([*head(), *prepared, *failed])

    assert [(found.sql, found.sqlstate) for found in trace.statements] == [("SELECT nothing", "42703")]


def test_the_timeout_in_effect_is_the_last_one_known() -> None:
    unknown = {"lock_timeout_s": None, "statement_timeout_s": None}
    trace = build(
        [
            *head(lock_timeout=3.0),
            begin(1, 1.0, "SET lock_timeout = '9s'"),
            end(1, 1.1, 0.1, "idle"),
            record("settings", 1.1, lock_timeout_s=9.0, statement_timeout_s=0.0),
            begin(2, 1.2, "CREATE INDEX CONCURRENTLY i ON t (x)"),
            end(2, 1.3, 0.1, "idle"),
            record("settings", 1.4, **unknown),
            begin(3, 1.5, "CREATE INDEX CONCURRENTLY j ON t (y)"),
            end(3, 1.6, 0.1, "idle"),
        ]
    )

    assert [found.lock_timeout_s for found in trace.statements] == [3.0, 9.0, None]


def test_what_is_not_the_migrations_own() -> None:
    probe = begin(1, 1.0, "show transaction isolation level")
    env = begin(2, 2.0, "CREATE SCHEMA app", revision=None, step=None)

    trace = build([*head(), probe, end(1, 1.1, 0.1), env, end(2, 2.1, 0.1)])

    assert [(found.n, found.kind) for found in trace.statements] == [(None, "driver"), (None, "driver")]
    assert trace.first_statement_mono is None
    assert trace.last_commit_mono is None


def test_what_it_is_doing_now() -> None:
    fold = TraceFold()
    seen: list[Now | None] = [fold.now()]
    for found in [*head(), revision("r1", 1.0)]:
        fold.add(found)
    seen.append(fold.now())
    fold.add(begin(1, 2.0, "SELECT pg_sleep(1)"))
    seen.append(fold.now())
    fold.add(end(1, 3.0, 1.0))
    fold.add(record("rev_end", 4.0, run=1, revision="r1", ok=True))
    seen.append(fold.now())

    assert seen == [None, Now("r1", None, None, 1.0), Now("r1", 1, "SELECT pg_sleep(1)", 2.0), None]
    assert fold.started


def test_a_connection_that_was_lost_ended_its_transaction() -> None:
    trace = build(
        [
            *head(),
            *altered(1, 1.0, row("notes")),
            begin(2, 2.0, "SELECT 1"),
            end(2, 2.5, 0.5, "closed", sqlstate="25P03", error="terminating connection"),
        ]
    )

    assert trace.transactions[0].outcome == "rollback"
    assert trace.statements[0].locks[0].released_mono == 2.5


def test_what_a_statement_wrote_and_what_looking_cost() -> None:
    records = [*head(), *altered(1, 1.0, row("notes"), wal=[100, 700], cost_s=0.003)]
    records += [*altered(2, 2.0, row("notes"), wal=[None, 900], idle_in_transaction_session_timeout_s=30.0)]
    records += [record("slow", 2.2, cost_s=0.008)]

    trace = build(records)

    first, second = trace.statements
    assert (first.wal_bytes, first.tracer_s, first.idle_timeout_s) == (600, 0.003, None)
    assert (second.wal_bytes, second.idle_timeout_s) == (None, 30.0)
    assert trace.blind == ()
    assert "8 ms" in trace.slow[0]
