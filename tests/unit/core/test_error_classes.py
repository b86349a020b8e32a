"""What went wrong for clients that no lock explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.error_classes import POOL_EXHAUSTED, ErrorClass
from harness.core.facts import facts_of
from harness.core.observation import LogEntry
from harness.core.samples import Outcome, SampleTable
from harness.core.waits import Wait
from tests.fix_record import PHASES, a_deadlock, a_record, a_wait, events, tied_query
from tests.fix_samples import ENDPOINT, joined, samples, steady
from tests.fix_several import BILLING, SHOP, a_watch, several
from tests.fix_trace import MIGRATION_PID, statement_records, trace_of

EXCLUSIVE = ("public.documents", "AccessExclusiveLock")
DROP = "ALTER TABLE documents DROP COLUMN title"
WIDEN = "ALTER TABLE documents ALTER COLUMN id TYPE bigint"
TRACE = trace_of(
    statement_records(DROP, 27.0, 27.1, k=1, locks=[EXCLUSIVE]),
    statement_records("CREATE TABLE tags (id bigint)", 27.1, 27.2, k=2, commit_at=28.0),
    statement_records(WIDEN, 29.0, 31.0, k=3, locks=[EXCLUSIVE], commit_at=31.0),
)


def classes(
    *log: LogEntry, table: SampleTable | None = None, waits: Sequence[Wait] = ()
) -> tuple[ErrorClass, ...]:
    record = a_record(
        table=table, events=events(trace=TRACE, ended_at=36.1), database=log, waits=tuple(waits)
    )
    return facts_of(record).errors


def the_class(*log: LogEntry, **changes: Any) -> ErrorClass:
    (found,) = classes(*log, **changes)
    return found


def logged(at: float, sqlstate: str | None, message: str = "", **changes: Any) -> LogEntry:
    whole = LogEntry(at, "error", 600, sqlstate, message, "SELECT title FROM documents", "shop")
    return replace(whole, **changes)


def told(cause: str, at: float = 32.0, count: int = 3) -> SampleTable:
    """The steady load, of which some requests failed with this cause."""
    return told_at(cause, *(at + n / 1000 for n in range(count)))


def told_at(cause: str, *instants: float) -> SampleTable:
    failed = samples((at, 0.001, Outcome.ERROR, "POST /documents") for at in instants)
    table = joined(steady(), failed)
    causes = np.where(table.outcome == Outcome.ERROR, 1, 0)
    return replace(table, cause=causes, causes=("", cause))


def test_no_errors_are_no_classes() -> None:
    assert classes() == ()


@pytest.mark.parametrize(
    ("entry", "statement"),
    [
        (logged(29.5, "42703", "column documents.title does not exist"), ("0002", 1)),
        (
            logged(32.0, "42703", 'column "title" does not exist'),
            ("0002", 1),
        ),  # though another committed since
        (logged(32.0, "0A000", "cached plan must not change result type"), ("0002", 3)),
        (logged(27.97, "42703", 'column "title" does not exist'), ("0002", 1)),  # before the client was told
        (logged(27.5, "42703", 'column "title" does not exist'), None),
        (logged(29.0, "23514", 'violates check constraint "other"', query="INSERT INTO notes"), None),
    ],
)
def test_errors_of_old_code_begin_with_a_commit(entry: LogEntry, statement: tuple[str, int] | None) -> None:
    found = the_class(entry)
    assert (found.phase, found.source, found.statement) == ("migrate", "server log", statement)
    assert found.why


def test_the_only_statement_of_the_last_commit_is_named_though_the_error_names_nothing_of_it() -> None:
    assert the_class(logged(32.0, "22001", "value too long", query="")).statement == ("0002", 3)


def test_an_invalid_index_that_still_enforces_uniqueness_is_its_statements() -> None:
    sql = "CREATE UNIQUE INDEX CONCURRENTLY uq_title ON documents (title)"
    failing = trace_of(
        statement_records(sql, 27.0, 28.0, k=1, sqlstate="57014", autocommit=True),
        statement_records("CREATE TABLE tags (id bigint)", 28.0, 28.1, k=2, commit_at=28.2),
    )
    entry = logged(29.0, "23505", 'duplicate key value violates unique constraint "uq_title"')
    record = a_record(events=events(trace=failing, ended_at=28.3), database=(entry,))
    assert [error.statement for error in facts_of(record).errors] == [("0002", 1)]


def test_errors_that_were_there_before_are_nobodys() -> None:
    before, after = classes(logged(10.0, "23505", "unique"), logged(32.0, "23505", "unique"))
    assert (before.phase, before.statement) == ("baseline", None)
    assert (after.phase, after.statement) == ("migrate", None)
    assert "before the upgrade too" in after.why


def test_each_phase_has_its_own_count() -> None:
    found = classes(logged(32.0, "42P01"), logged(33.0, "42P01", count=4), logged(40.0, "42P01"))
    assert [(error.phase, error.count) for error in found] == [("migrate", 5), ("recover", 1)]


def test_what_the_log_ties_to_a_request_has_its_endpoint() -> None:
    entry = logged(32.0, "42703", query=tied_query(32.0))
    assert the_class(entry).endpoints == (ENDPOINT,)


def test_the_migrations_own_errors_are_no_clients() -> None:
    own = logged(28.0, "55P03", pid=MIGRATION_PID)
    harness = logged(28.0, "55P03", application="mul-catalog")
    victim = a_deadlock(28.0, (MIGRATION_PID, 600))
    assert classes(own, harness, victim) == ()


def test_a_deadlock_is_an_error_of_its_victim_and_of_whom_it_waited_for() -> None:
    found = the_class(a_deadlock(30.5), waits=[a_wait(29.5, 30.5)])
    assert (found.name, found.sqlstate, found.statement) == ("deadlock", "40P01", ("0002", 3))


def test_a_timeout_while_nobody_waited_is_not_the_migrations() -> None:
    found = the_class(logged(30.0, "57014", "canceling statement due to statement timeout"))
    assert (found.statement, found.why) == (None, "no session waited for the migration then")


def test_an_aborted_transaction_is_a_consequence() -> None:
    found = the_class(logged(30.0, "25P02"))
    assert (found.statement, found.why.split()[:2]) == (None, ["a", "consequence"])


def test_other_codes_are_called_by_their_number() -> None:
    assert the_class(logged(30.0, "22012", "division by zero")).name == "SQLSTATE 22012"
    assert the_class(logged(30.0, "0A000", "cannot alter type")).name == "SQLSTATE 0A000"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (
            logged(30.0, "40001", "canceling statement due to conflict with recovery"),
            "conflict with recovery",
        ),
        (
            logged(30.0, "40P01", "canceling statement due to conflict with recovery"),
            "conflict with recovery",
        ),
        (logged(30.0, "40001", "could not serialize access"), "SQLSTATE 40001"),
        (logged(30.0, "26000", 'prepared statement "_pg3_0" does not exist'), "prepared statement lost"),
        (logged(30.0, "42P05", 'prepared statement "a" already exists'), "prepared statement of another"),
        (logged(30.0, "53100", 'could not extend file "base/5/1249": No space left on device'), "disk full"),
    ],
)
def test_what_replicas_poolers_and_disks_do_is_no_statements(entry: LogEntry, name: str) -> None:
    found = the_class(entry, waits=[a_wait(29.5, 30.5)])
    assert found.name == name
    assert (found.statement is None) == (name != "SQLSTATE 40001")
    assert found.why


def test_a_refused_connection_has_no_code_but_says_so() -> None:
    refused = logged(30.0, None, "sorry, too many clients already", kind="fatal", query="")
    assert the_class(refused).name == "too many clients"


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        ("HTTP 500: SQLSTATE 42703", "undefined column"),
        (
            "InvalidCachedStatementError: cached statement plan is invalid",
            "cached plan must not change result type",
        ),
        ("psycopg.errors.DeadlockDetected", "deadlock"),
        ("SerializationFailure: canceling statement due to conflict with recovery", "conflict with recovery"),
        ('InvalidSqlStatementName: prepared statement "_pg3_0" does not exist', "prepared statement lost"),
        ("HTTP 500: SQLSTATE 42P05", "prepared statement of another"),
        ("HTTP 503 (53100)", "disk full"),
        ("QueuePool limit of size 5 overflow 0 reached", POOL_EXHAUSTED),
    ],
)
def test_clients_may_tell_the_class(cause: str, name: str) -> None:
    found = the_class(table=told(cause))
    assert (found.name, found.count, found.source) == (name, 3, "clients")
    assert found.endpoints == ("POST /documents",)


def test_what_clients_told_before_the_first_statement_acquits_it_within_the_same_phase() -> None:
    phases = {**PHASES, "migrate": 26.0}
    for instants, why in (
        ((26.9, 27.15, 29.0), "there were 1 of them before the upgrade too"),
        ((28.05, 29.0), "they began after the commit of 2 statements"),
    ):
        record = a_record(
            table=told_at("HTTP 500: UniqueViolation", *instants),
            events=events(trace=TRACE, ended_at=36.1, phases=phases),
        )
        (found,) = facts_of(record).errors
        assert (found.phase, found.count, found.why) == ("migrate", len(instants), why)


def test_errors_that_clients_told_are_counted_by_phase() -> None:
    table = told_at("HTTP 500: UniqueViolation", 32.0, 33.0, 36.9995, 40.0)
    assert [(one.phase, one.count) for one in classes(table=table)] == [("migrate", 2), ("recover", 2)]


def test_a_cause_that_tells_nothing_is_no_class() -> None:
    assert classes(table=told("HTTP 500")) == ()


def test_what_the_log_told_is_not_counted_again() -> None:
    found = the_class(logged(32.0, "42703", 'column "title" does not exist'), table=told("HTTP 500: 42703"))
    assert (found.count, found.source, found.endpoints) == (1, "server log", ("POST /documents",))


# the pool


def crowd(sessions: int) -> list[Wait]:
    return [a_wait(29.0, 31.0, pid=600 + n, query=tied_query(29.0 + n / 100)) for n in range(sessions)]


def starving(count: int = 6) -> SampleTable:
    """Requests of an endpoint that waits for nothing time out while the crowd waits."""
    failed = samples((29.5 + n / 100, 1.0, Outcome.ERROR, "GET /health") for n in range(count))
    return joined(steady(), failed)


def slow(count: int = 6) -> SampleTable:
    """The same requests, answered ok after long."""
    return joined(steady(), samples((29.055 + n / 100, 1.9, Outcome.OK, "GET /health") for n in range(count)))


def test_requests_that_are_slow_while_the_crowd_waits_starve_too() -> None:
    found = the_class(table=slow(), waits=crowd(5))
    assert (found.name, found.count, found.statement) == (POOL_EXHAUSTED, 6, ("0002", 3))


def test_requests_that_wait_for_no_lock_starve_when_the_pool_is_empty() -> None:
    found = the_class(table=starving(), waits=crowd(5))
    assert (found.name, found.sqlstate, found.source) == (POOL_EXHAUSTED, None, "clients and waits")
    assert (found.count, found.endpoints, found.statement) == (6, ("GET /health",), ("0002", 3))


@pytest.mark.parametrize(
    ("table", "waits"),
    [
        (starving(), crowd(4)),  # the pool has sessions left
        (starving(4), crowd(5)),  # too few to be sure
        (starving(), [replace(wait, query="SELECT 1") for wait in crowd(5)]),  # nobody knows who waited
        (joined(steady(), samples([(29.5, 1.2)] * 6)), crowd(5)),  # the endpoint waited itself
        (slow(), [replace(wait, ended_at=29.7) for wait in crowd(5)]),  # slow long before and after
    ],
)
def test_without_the_evidence_there_is_no_exhausted_pool(table: SampleTable, waits: list[Wait]) -> None:
    assert classes(table=table, waits=waits) == ()


def test_an_error_is_laid_to_the_migration_of_the_database_whose_server_logged_it() -> None:
    missing = LogEntry(
        31.5, "error", 700, "42703", 'column "id" does not exist', query="SELECT id FROM documents"
    )
    told = [(e.migration, e.statement) for e in facts_of(several(database=(missing,))).errors]
    assert told == [(SHOP, ("0002", 1))]
    elsewhere = {BILLING: a_watch(database=(missing,))}
    told = [(e.migration, e.statement) for e in facts_of(several(elsewhere=elsewhere)).errors]
    assert told == [(BILLING, ("0002", 1))]
