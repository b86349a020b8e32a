"""A migration and a service's driver through a real PgBouncer in transaction mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from harness.clock import wait_until
from harness.core.error_kinds import kind_of
from harness.core.session_settings import LostSetting
from harness.core.trace import Statement, Trace
from harness.db.guard import RunLock, connect
from harness.db.observer_reads import Server
from harness.db.pooling import set_if_direct
from harness.db.remedies import mend
from harness.db.row_counts import count_rows
from harness.db.server import EmbeddedServer
from harness.db.server_log import open_log
from harness.db.url import DatabaseUrl
from harness.errors import SetupError, UsageError
from tests.fix_pooler import Pooled
from tests.fix_target import PASSWORD, running_service, seed
from tests.integration.test_migration import DRIVERS, order_for, run
from tests.integration.test_target_websocket import connected

pytestmark = [pytest.mark.integration, pytest.mark.pooler]

REVISIONS = ("b2", "c3", "d4")


def truth(database: str) -> dict[str, str]:
    """Under which lock_timeout each revision says that it ran."""
    with psycopg.connect(database) as connection:
        found = {}
        for name in REVISIONS:
            table = sql.Identifier(f"truth_{name}")
            row = connection.execute(sql.SQL("SELECT timeout FROM {}").format(table)).fetchone()
            assert row is not None
            found[name] = str(row[0])
    return found


def altering(trace: Trace) -> dict[str, Statement]:
    found = trace.migration_statements
    return {str(s.revision): s for s in found if s.sql.startswith("ALTER TABLE notes")}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_timeout_lost_in_the_pooler_is_seen_where_it_was_lost(
    database: str, pooled: Pooled, tmp_path: Path, driver: str
) -> None:
    url = pooled(database, server_lifetime="0")  # each transaction by a process of its own
    code, trace = run(order_for(url, tmp_path, "session_setting", driver))

    assert code == 0
    assert trace.why_incomplete is None
    assert len(trace.pooled_by) > 2
    assert truth(database) == dict.fromkeys(REVISIONS, "0")
    lost = LostSetting("lock_timeout", meant_s=2.0, found_s=0.0, set_by=1)
    assert {revision: (s.lock_timeout_s, s.lost) for revision, s in altering(trace).items()} == dict.fromkeys(
        REVISIONS, (0.0, (lost,))
    )


@pytest.mark.parametrize("settings", [{"pool_mode": "session"}, {"default_pool_size": "1"}])
def test_a_pooler_that_keeps_the_process_loses_nothing(
    database: str, pooled: Pooled, tmp_path: Path, settings: dict[str, str]
) -> None:
    _, trace = run(order_for(pooled(database, **settings), tmp_path, "session_setting"))

    assert set(truth(database).values()) == {"2s"}
    assert len(trace.pooled_by) == 1
    assert not any(statement.lost for statement in trace.statements)


def test_without_a_pooler_nothing_is_lost(database: str, tmp_path: Path) -> None:
    _, trace = run(order_for(database, tmp_path, "session_setting"))

    assert set(truth(database).values()) == {"2s"}
    assert not trace.pooled_by
    assert not any(statement.lost for statement in trace.statements)


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_locks_and_rewrites_are_read_through_the_pooler(
    database: str, pooled: Pooled, tmp_path: Path, driver: str, ini: str
) -> None:
    _, trace = run(order_for(pooled(database), tmp_path, "safe", driver, ini))

    assert trace.why_incomplete is None
    assert trace.blind == ()
    widen = next(s for s in trace.migration_statements if "TYPE BIGINT" in s.sql)
    assert ("notes", "AccessExclusiveLock") in [(lock.relation, lock.mode) for lock in widen.locks]
    assert (widen.rewrites, widen.lock_timeout_s) == (("notes",), 7.0)
    index = next(s for s in trace.migration_statements if s.sql.startswith("CREATE INDEX CONCURRENTLY"))
    assert (index.sqlstate, index.transaction, index.lock_timeout_s) == (None, None, None)


@pytest.mark.parametrize(
    ("settings", "says"), [({}, "pooler in transaction mode"), ({"pool_mode": "session"}, "pooler or proxy")]
)
def test_the_observer_knows_what_stands_between(
    database: str, pooled: Pooled, settings: dict[str, str], says: str
) -> None:
    with Server.connect(DatabaseUrl.parse(pooled(database, **settings)), "mul-observer") as server:
        assert says in server.pooler
        assert server.point(0.0).deadlocks == 0


def advisory_locks(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_lock_of_a_run_holds_through_the_pooler_and_goes_with_it(database: str, pooled: Pooled) -> None:
    url = DatabaseUrl.parse(pooled(database, default_pool_size="3"))
    for number in range(3):
        with RunLock.acquire(url, f"run-{number}"), pytest.raises(UsageError, match=f"mul-run run-{number}"):
            RunLock.acquire(url, "another")
        assert wait_until(lambda: advisory_locks(database) == 0, 10)


def sets(url: DatabaseUrl) -> None:
    with connect(url, "mul-test") as connection:
        set_if_direct(connection, statement_timeout=7000)


def counts(url: DatabaseUrl) -> None:
    assert count_rows(url, within_s=7)["counted"] == 3


def mends(url: DatabaseUrl) -> None:
    mend(url, ["CREATE INDEX CONCURRENTLY ON counted (n)"], within_s=7)


@pytest.mark.parametrize("what", [sets, counts, mends])
def test_no_setting_of_ours_stays_behind_in_the_pooler(
    database: str, pooled: Pooled, what: Callable[[DatabaseUrl], None]
) -> None:
    url = pooled(database, default_pool_size="1")
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE counted AS SELECT n FROM generate_series(1, 3) n")
    what(DatabaseUrl.parse(url))
    with psycopg.connect(url) as next_client:
        assert next_client.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_a_remedy_is_cut_off_through_the_pooler_too(database: str, pooled: Pooled) -> None:
    url = DatabaseUrl.parse(pooled(database))
    with pytest.raises(SetupError, match=r"^The remedy did not end within 0\.2 s\.$"):
        mend(url, ["SELECT pg_sleep(20)"], within_s=0.2)


def prepares(url: str) -> str | None:
    """The SQLSTATE that ends a client that prepares its statement, None when it goes well."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as client:
        try:
            for number in range(3):
                client.execute("SELECT %s::int", [number])
        except psycopg.Error as error:
            return error.sqlstate
    return None


def test_what_a_pooler_does_to_prepared_statements_has_a_class_of_its_own(
    postgres: EmbeddedServer, database: str, pooled: Pooled
) -> None:
    changing, one = pooled(database), pooled(database, default_pool_size="1")
    with psycopg.connect(database) as connection:
        log, why = open_log(str(postgres.log), connection)
    assert log is not None, why

    assert prepares(changing) == "26000"
    assert prepares(one) is None
    assert prepares(one) == "42P05"
    kinds = [kind.name for entry in log.last(0.0) if (kind := kind_of(entry))]
    assert kinds == ["prepared statement lost", "prepared statement of another"]


def test_a_timeout_in_the_start_of_a_session_that_the_pooler_drops_is_missed(
    database: str, pooled: Pooled, tmp_path: Path
) -> None:
    url = pooled(database, ignore_startup_parameters="options")
    order = replace(order_for(url, tmp_path, "session_setting"), lock_timeout="3s", target="a1")

    _, trace = run(order)

    created = next(s for s in trace.migration_statements if s.sql.startswith("CREATE TABLE notes"))
    lost = [(one.meant_s, one.set_by) for s in trace.statements if s is not created for one in s.lost]
    assert set(lost) == {(3.0, None)}
    assert created.lost == ()  # the revision has set another by then


def test_the_service_works_through_a_pooler_and_listens_past_it(
    database: str, pooled: Pooled, tmp_path: Path
) -> None:
    seed(database, rows=30, accounts=3)
    log = tmp_path / "service.log"
    # Statements with a comment of their own are never prepared, so there are none.
    with running_service(
        pooled(database, server_lifetime="0"), log, POOLED="1", SQLCOMMENTER="0", LISTEN_DATABASE_URL=database
    ) as service:
        assert service.anonymous.post("/register", {"name": "fresh", "password": PASSWORD}).status == 201
        account = service.sign_in("fresh")
        with connected(service, account.token) as socket:
            for _ in range(20):
                account.create_document()
            assert {account.get("/documents").status for _ in range(20)} == {200}
            assert len(socket.receive_changes(20)) == 20
