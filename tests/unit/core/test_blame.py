"""Which statement made whom wait, and which requests suffered."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.affected import Requests
from harness.core.blame import Blame, blame, normalised
from harness.core.error_classes import ErrorClass
from harness.core.facts import Facts, facts_of
from harness.core.samples import Outcome, SampleTable
from harness.core.waits import Blocker, Wait
from tests.fix_record import a_record, a_wait, events, tied_query, watched
from tests.fix_samples import ENDPOINT, joined, samples, steady
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, several
from tests.fix_trace import MIGRATION_PID, statement_records, trace_of

ALTER = "ALTER TABLE documents ADD COLUMN flag boolean"
EXCLUSIVE = ("public.documents", "AccessExclusiveLock")
TRACE = trace_of(statement_records(ALTER, 27.0, 28.0, k=1, locks=[EXCLUSIVE], commit_at=31.0))


def facts(*waits: Wait, table: SampleTable | None = None, trace: list[dict[str, Any]] = TRACE) -> Facts:
    return facts_of(a_record(table=table, waits=waits, events=events(trace=trace, ended_at=36.1)))


def the_blame(*waits: Wait, **changes: Any) -> Blame:
    (found,) = facts(*waits, **changes).blame
    return found


def test_nobody_waited_is_nobody_blamed() -> None:
    assert facts().blame == ()


def test_sessions_seconds_and_the_lock_are_told() -> None:
    found = the_blame(a_wait(28.0, 31.0), a_wait(29.0, 31.0, pid=601), a_wait(27.2, 27.7))
    assert (found.statement, found.revision, found.phase) == (1, "0002", "migrate")
    assert (found.relation, found.mode, found.lock_type) == (*EXCLUSIVE, "relation")
    assert (found.sessions, found.longest_s) == (2, 3.0)
    assert found.session_seconds == pytest.approx(5.5)
    assert found.root == ""


def test_the_worst_comes_first() -> None:
    two = trace_of(
        statement_records(ALTER, 27.0, 28.0, k=1, locks=[EXCLUSIVE], commit_at=28.0),
        statement_records(ALTER, 29.0, 31.0, k=2, locks=[EXCLUSIVE], commit_at=31.0),
    )
    found = facts(a_wait(27.5, 28.0), a_wait(29.0, 31.0), trace=two).blame
    assert [blamed.statement for blamed in found] == [2, 1]


def test_several_attempts_at_a_statement_are_blamed_together_each_told() -> None:
    """It gave up twice, and then had its lock."""
    tries = trace_of(
        statement_records(ALTER, 27.0, 27.5, k=1, sqlstate="55P03"),
        statement_records(ALTER, 28.0, 28.5, k=2, sqlstate="55P03"),
        statement_records(ALTER, 29.0, 29.1, k=3, locks=[EXCLUSIVE], commit_at=29.8),
    )
    waits = [a_wait(27.1, 27.5), a_wait(28.1, 28.5, pid=601), a_wait(28.2, 28.5), a_wait(29.1, 29.8, pid=602)]
    found = the_blame(*waits, trace=tries)
    assert (found.statement, found.sessions) == (3, 3)
    assert (found.session_seconds, found.longest_s) == pytest.approx((1.8, 0.7))
    assert [(one.statement, one.sessions) for one in found.attempts] == [(1, 1), (2, 2), (3, 1)]
    assert [one.session_seconds for one in found.attempts] == pytest.approx([0.4, 0.7, 0.7])
    assert [one.longest_s for one in found.attempts] == pytest.approx([0.4, 0.4, 0.7])
    assert [one.start_at for one in found.attempts] == [27.1, 28.1, 29.1]


def untraced(*waits: Wait) -> Blame:
    log = events(trace=[], ended_at=36.1)
    observed = watched(backends=(MIGRATION_PID,))
    (found,) = facts_of(a_record(waits=waits, events=log, observed=observed)).blame
    return found


def test_of_an_untraced_migration_it_is_told_what_its_session_was_seen_running() -> None:
    running = Blocker(MIGRATION_PID, "psql", "client backend", "active", "CREATE INDEX i ON documents (id)")
    found = untraced(a_wait(28.0, 31.0, root=running, chain=(MIGRATION_PID,)), a_wait(29.0, 31.0, pid=601))
    assert (found.statement, found.running) == (None, "CREATE INDEX i ON documents (id)")
    reader = Blocker(700, "billing", "client backend", "idle in transaction", "SELECT 1", 42.0)
    head = a_wait(27.0, 29.0, pid=MIGRATION_PID, mode="AccessExclusiveLock", root=reader, query=ALTER)
    behind = a_wait(27.5, 29.0, root=reader, chain=(MIGRATION_PID, 700))
    assert untraced(head, behind).running == ALTER
    assert the_blame(a_wait(28.0, 31.0)).running == ""


# requests


def blocked_requests() -> SampleTable:
    """Three documents' requests stand still from 28.5, one of transfers fails, all else goes on."""
    still = samples([(28.5, 2.5), (28.6, 2.4), (28.7, 2.3), (29.0, 0.3, Outcome.ERROR, "POST /transfers")])
    return joined(steady(), steady(endpoint="POST /transfers"), still)


def test_requests_are_tied_exactly_by_traceparent() -> None:
    waits = [a_wait(28.5, 31.0, pid=600 + n, query=tied_query(28.5 + n / 10)) for n in range(3)]
    quiet = joined(steady(), samples([(28.5 + n / 10, 2.5 - n / 10) for n in range(3)]))
    found = the_blame(*waits, a_wait(29.0, 29.1, pid=700), table=quiet)
    assert (found.tie, found.requests, found.tied, found.endpoints) == ("traceparent", 3, 3, (ENDPOINT,))


def test_those_who_waited_behind_them_count_too() -> None:
    wait = a_wait(28.5, 31.0, query=tied_query(28.5))
    found = the_blame(wait, table=blocked_requests())
    assert (found.tie, found.requests, found.tied) == ("traceparent overlap", 4, 1)


def test_without_it_they_are_tied_by_time_and_only_where_they_suffered() -> None:
    found = the_blame(a_wait(28.5, 31.0), table=blocked_requests())
    assert (found.tie, found.requests) == ("overlap", 4)
    assert found.endpoints == (ENDPOINT, "POST /transfers")


def test_a_query_of_another_run_is_tied_to_nothing() -> None:
    strange = tied_query(28.5, worker="w9")
    assert the_blame(a_wait(28.5, 31.0, query=strange), table=blocked_requests()).tie == "overlap"


def test_no_evidence_is_no_number() -> None:
    found = the_blame(a_wait(28.5, 31.0))
    assert (found.requests, found.endpoints, found.tie) == (None, (), "")


# queries


def test_queries_are_grouped_by_their_id() -> None:
    same = [a_wait(28.0, 29.0, pid=600 + n, query=f"SELECT {n}", query_id=-5) for n in range(3)]
    (query,) = the_blame(*same).queries
    assert (query.query_id, query.sessions, query.session_seconds, query.longest_s) == (-5, 3, 3.0, 1.0)


def test_without_an_id_by_their_shape() -> None:
    waits = [
        a_wait(28.0, 29.0, query=tied_query(28.0 + n, f"SELECT * FROM t WHERE id = {n}")) for n in range(3)
    ]
    other = a_wait(28.0, 28.5, pid=601, query="DELETE FROM t")
    assert [query.query for query in the_blame(*waits, other).queries] == [
        "SELECT * FROM t WHERE id = ?",
        "DELETE FROM t",
    ]


def test_of_thousands_of_shapes_the_worst_are_told() -> None:
    waits = [a_wait(28.0, 28.1, query=f"SELECT a{n} FROM t") for n in range(60)]
    found = the_blame(*waits, a_wait(28.0, 29.0, pid=601, query="DELETE FROM t"))
    assert (len(found.queries), found.queries[0].query) == (50, "DELETE FROM t")


@pytest.mark.parametrize(
    ("query", "shape"),
    [
        ("SELECT 'it''s', 1.5, -2, t1.c2 -- why\nFROM t1", "SELECT ?, ?, -?, t1.c2 FROM t1"),
        ("SELECT $1, '--', /* 'x */ 2", "SELECT $1, ?, ?"),
        ("SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (?, …)"),
        ("INSERT INTO t VALUES ($1, $2)", "INSERT INTO t VALUES (?, …)"),
        ("DO $body$ it's 5 $body$", "DO ?"),
        ("SELECT E'it\\'s secret', name'x'", "SELECT ?, name?"),
        ("SELECT 'cut off", "SELECT ?"),
        ("SELECT 1 /* cut off", "SELECT ?"),
    ],
)
def test_a_shape_has_no_literals_and_no_comments(query: str, shape: str) -> None:
    assert normalised(query) == shape


def test_no_secret_of_a_query_is_told() -> None:
    found = the_blame(a_wait(28.0, 29.0, query="ALTER ROLE app PASSWORD 's3cr3t'"))
    assert "s3cr3t" not in str(found)


# the root


READER = Blocker(700, "billing", "client backend", "idle in transaction", "SELECT * FROM documents", 42.0)


def test_a_reader_before_whom_the_migration_queued_is_named() -> None:
    head = a_wait(27.0, 30.0, pid=MIGRATION_PID, mode="AccessExclusiveLock", root=READER)
    late = trace_of(
        statement_records(ALTER, 27.0, 30.1, k=1, locks=[EXCLUSIVE], commit_at=30.2, lock_timeout_s=0.0)
    )
    found = the_blame(head, a_wait(27.5, 30.2), trace=late)
    assert found.root.startswith("session 700, billing, idle in transaction, its transaction 42.00 s old")
    assert "the statement waited 3.00 s for it" in found.root
    assert found.root.endswith("it should have had a lock_timeout")


def test_a_lock_timeout_that_there_was_is_told() -> None:
    head = a_wait(27.0, 29.0, pid=MIGRATION_PID, mode="AccessExclusiveLock", root=READER)
    behind = a_wait(27.5, 29.0, root=READER, chain=(MIGRATION_PID, 700))
    failed = trace_of(statement_records(ALTER, 27.0, 29.0, k=1, sqlstate="55P03"), ok=False)
    found = the_blame(head, behind, trace=failed)
    assert found.mode == "AccessExclusiveLock"  # what it queued for
    assert found.root.endswith("its lock_timeout was 2.00 s")


def test_a_short_queue_before_a_long_hold_is_not_the_root() -> None:
    head = a_wait(27.0, 27.1, pid=MIGRATION_PID, mode="AccessExclusiveLock", root=READER)
    assert the_blame(head, a_wait(27.05, 31.0)).root == ""


def test_the_migrations_own_sessions_are_no_root() -> None:
    other = Blocker(MIGRATION_PID, "alembic", "client backend", "active")
    assert the_blame(a_wait(27.0, 30.0, pid=MIGRATION_PID, root=other), a_wait(27.5, 31.0)).root == ""


# how it is known


@pytest.mark.parametrize(
    ("waits", "provenance"),
    [
        ([a_wait(28.0, 29.0, provenance="exact")], "exact"),
        (
            [a_wait(28.0, 29.0, provenance="exact"), a_wait(28.0, 29.0, interval_s=0.05)],
            "observed (every 50 ms)",
        ),
        ([a_wait(28.0, 29.0, interval_s=None)], "observed"),
        ([a_wait(28.0, 29.0), a_wait(27.2, 27.4, relation="elsewhere")], "inferred"),
    ],
)
def test_the_provenance_is_the_weakest(waits: list[Wait], provenance: str) -> None:
    assert the_blame(*waits).provenance == provenance


def test_errors_are_those_that_began_with_the_statement() -> None:
    ours = ErrorClass("undefined column", "42703", "migrate", 3, (), "server log", ("0002", 1), "")
    of_rollback = ErrorClass("undefined column", "42703", "rollback", 9, (), "server log", ("0002", 1), "")
    attribution = facts(a_wait(28.0, 31.0)).attribution
    (found,) = blame(attribution, [ours, ours, of_rollback], Requests(samples([]), None))
    assert found.errors == {"undefined column": 6}


def test_equal_statements_of_several_migrations_are_blamed_each_for_its_own() -> None:
    mine = a_wait(27.2, 27.5), a_wait(27.2, 27.9, pid=601)
    theirs = a_wait(30.1, 31.0, root=Blocker(BILLING_PID, "alembic", "client backend", "active"))
    record = several(waits=mine, elsewhere={BILLING: a_watch(waits=(theirs,))})
    told = [(b.migration, b.statement, b.revision, b.sessions) for b in facts_of(record).blame]
    assert told == [(SHOP, 1, "0002", 2), (BILLING, 1, "0002", 1)]
