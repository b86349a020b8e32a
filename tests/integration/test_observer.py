"""The observer child on a real server: what it writes of waits, deadlocks and itself."""

from __future__ import annotations

import os
import threading
import time

import psycopg
import pytest

from harness.clock import monotonic, wait_until
from harness.core.observation import Progress, observer_line
from harness.db.server import EmbeddedServer
from tests.fix_observer import MIGRATION, Client, Start, blocked, connect

pytestmark = pytest.mark.integration


def test_a_lock_of_five_seconds_is_seen_to_the_hundredth(database: str, watch: Start) -> None:
    with connect(database, MIGRATION) as migration:
        migration.execute("CREATE TABLE busy (id int); INSERT INTO busy VALUES (1)")
        watching = watch()
        watching.child.migrating(True)
        with migration.transaction():
            migration.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
            granted = monotonic()
            clients = [Client(database, "SELECT count(*) FROM busy") for _ in range(12)]
            time.sleep(5.0 - (monotonic() - granted))
        for client in clients:
            client.join()
        pid = migration.info.backend_pid
    waits = {wait.pid: wait for wait in watching.waits()}

    assert waits.keys() == {client.pid for client in clients}
    for client in clients:
        assert waits[client.pid].wait_s == pytest.approx(client.waited_s, abs=0.05)
    total_s = sum(client.waited_s for client in clients)
    assert sum(wait.wait_s for wait in waits.values()) == pytest.approx(total_s, rel=0.01)
    assert max(wait.wait_s for wait in waits.values()) == pytest.approx(
        max(client.waited_s for client in clients), abs=0.05
    )
    assert {(w.relation, w.mode, w.provenance, w.chain) for w in waits.values()} == {
        ("busy", "AccessShareLock", "exact", (pid,))
    }
    root = waits[clients[0].pid].root
    assert root is not None
    assert (root.application, root.state) == (MIGRATION, "idle in transaction")
    assert waits[clients[0].pid].query == "SELECT count(*) FROM busy"
    assert pid in watching.state.backends
    assert watching.state.complete, watching.state


def test_a_reader_idle_in_its_transaction_is_the_root_of_the_queue(database: str, watch: Start) -> None:
    with connect(database) as setup:
        setup.execute("CREATE TABLE busy (id int)")
    watching = watch()
    with connect(database, "psql") as reader, reader.transaction():
        reader.execute("SELECT 'the report' FROM busy")
        reader_pid = reader.info.backend_pid
        migration = Client(database, "ALTER TABLE busy ADD c int", MIGRATION)
        assert wait_until(lambda: blocked(database, 1), within=5)
        behind = Client(database, "SELECT * FROM busy")
        assert wait_until(lambda: blocked(database, 2), within=5)
        assert wait_until(lambda: (watching.points()[-1]["oldest_transaction_s"] or 0) > 0.3, within=10)
    migration.join()
    behind.join()
    waits = {wait.pid: wait for wait in watching.waits()}

    first, second = waits[migration.pid], waits[behind.pid]
    assert first.root is not None
    assert second.root is not None
    assert second.chain == (migration.pid, reader_pid)
    assert second.root.pid == first.root.pid
    assert (first.root.state, first.root.query) == ("idle in transaction", "SELECT 'the report' FROM busy")
    assert first.root.transaction_s is not None
    assert first.root.transaction_s >= 0.2  # at the last poll, which may be the one before that point
    assert first.application == MIGRATION


FROM_A_WORKER = """
    CREATE TABLE busy (id int);
    CREATE FUNCTION read_busy(seconds float8) RETURNS void LANGUAGE plpgsql PARALLEL SAFE AS
    'BEGIN PERFORM count(*) FROM busy; PERFORM pg_sleep(seconds); END';
"""

IN_A_WORKER = """
    SELECT set_config(name, 'on', false) FROM pg_settings
    WHERE name IN ('debug_parallel_query', 'force_parallel_mode')
"""
"""The setting was called otherwise before PostgreSQL 16."""


def test_a_worker_that_waits_is_its_leader(database: str, watch: Start) -> None:
    with connect(database) as setup:
        setup.execute(FROM_A_WORKER)
    watching = watch()
    with connect(database, MIGRATION) as migration, migration.transaction():
        migration.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        reader = Client(database, f"{IN_A_WORKER}; SELECT read_busy(0)")
        assert wait_until(lambda: blocked(database, 1), within=5)
        time.sleep(0.3)
        pid = migration.info.backend_pid
    reader.join()
    [wait] = watching.waits()

    assert (wait.pid, wait.backend_type, wait.application) == (reader.pid, "client backend", "app")
    assert (wait.relation, wait.chain) == ("busy", (pid,))
    assert "read_busy" in wait.query
    assert wait.wait_s >= 0.25  # by polls alone: half an interval less, at most


def test_who_waits_for_a_worker_waits_for_its_leader(database: str, watch: Start) -> None:
    with connect(database) as setup:
        setup.execute(FROM_A_WORKER)
    watching = watch()
    reader = Client(database, f"{IN_A_WORKER}; SELECT read_busy(1)")
    assert wait_until(lambda: _holds_busy(database), within=5)
    migration = Client(database, "ALTER TABLE busy ADD c int", MIGRATION)
    migration.join()
    reader.join()
    [wait] = watching.waits()

    assert (wait.pid, wait.chain) == (migration.pid, (reader.pid,))
    assert wait.root is not None
    assert (wait.root.backend_type, wait.root.state) == ("client backend", "active")
    assert "read_busy" in wait.root.query


def _holds_busy(url: str) -> bool:
    """Whether a parallel worker has a lock on the table."""
    with connect(url, "test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE backend_type = 'parallel worker' AND granted AND relation = 'busy'::regclass"
        ).fetchone()
    return bool(row and row[0])


def test_an_index_built_concurrently_waits_for_an_old_snapshot(database: str, watch: Start) -> None:
    with connect(database) as setup:
        setup.execute("CREATE TABLE busy AS SELECT generate_series(1, 1000) AS id; CREATE TABLE u (id int)")
    watching = watch()
    watching.child.migrating(True)
    with connect(database, "report") as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with old.transaction():
            old.execute("SELECT count(*) FROM u")
            migration = Client(database, "CREATE INDEX CONCURRENTLY i ON busy (id)", MIGRATION)
            assert wait_until(lambda: blocked(database, 1), within=5)
            assert wait_until(lambda: "old snapshots" in watching.child.says(), within=5)
            assert wait_until(lambda: '"what":"held"' in watching.text("database.ndjson"), within=5)
        old_pid = old.info.backend_pid
    migration.join()
    assert wait_until(lambda: "old snapshots" not in watching.child.says(), within=5)
    waits = [wait for wait in watching.waits() if wait.pid == migration.pid]

    assert "virtualxid" in {wait.lock_type for wait in waits}
    assert {wait.root.pid for wait in waits if wait.root} == {old_pid}
    progress = [
        observer_line(line) for line in watching.lines("database.ndjson") if line["what"] == "progress"
    ]
    lockers = [step for step in progress if isinstance(step, Progress) and step.locker_pid == old_pid]
    assert lockers
    assert (lockers[0].command, lockers[0].relation) == ("CREATE INDEX CONCURRENTLY", "busy")
    held = [line for line in watching.lines("database.ndjson") if line["what"] == "held"]
    assert ["busy", "r", "ShareUpdateExclusiveLock", True] in [
        lock for line in held for lock in line["locks"]
    ]


def test_both_sides_of_a_deadlock_are_named_from_the_log(database: str, watch: Start) -> None:
    with connect(database) as setup:
        setup.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0)")
    watching = watch()
    with connect(database) as one, connect(database, MIGRATION) as two:
        one.execute("BEGIN")
        one.execute("UPDATE t SET v = 1 WHERE id = 1")
        two.execute("BEGIN")
        two.execute("UPDATE t SET v = 2 WHERE id = 2")
        errors: list[str | None] = []

        def cross(connection: psycopg.Connection, sql: str) -> None:
            try:
                connection.execute(sql)
            except psycopg.Error as error:
                errors.append(error.sqlstate)
            connection.execute("ROLLBACK")

        other = threading.Thread(target=cross, args=(two, "UPDATE t SET v = 2 WHERE id = 1"))
        other.start()
        cross(one, "UPDATE t SET v = 1 WHERE id = 2")
        other.join()
        pids = {one.info.backend_pid, two.info.backend_pid}
    waits = watching.waits()

    assert errors == ["40P01"]
    (entry,) = watching.log("deadlock")
    assert set(entry.pids) == pids
    assert entry.pids[0] == entry.pid
    assert set(entry.queries) == {"UPDATE t SET v = 1 WHERE id = 2", "UPDATE t SET v = 2 WHERE id = 1"}
    assert {wait.pid for wait in waits} == pids
    assert {wait.lock_type for wait in waits} == {"transactionid"}
    assert watching.points()[-1]["deadlocks"] <= 1


def test_a_role_without_privileges_is_told_the_grant(
    database: str, postgres: EmbeddedServer, watch: Start
) -> None:
    name = f"Only {database[-6:]}"
    with connect(database) as owner:
        owner.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'")
        owner.execute("CREATE TABLE busy (id int)")
        (oid,) = owner.execute("SELECT 'busy'::regclass::oid::int8").fetchone() or (0,)
    password = postgres.url.partition("postgres:")[2].partition("@")[0]
    url = database.replace(f"postgres:{password}", f"{name.replace(' ', '%20')}:secret")
    watching = watch(url, log=None)
    with connect(database) as holder, holder.transaction():
        holder.execute("LOCK TABLE busy")
        client = Client(database, "SELECT count(*) FROM busy")
        time.sleep(0.4)
    client.join()
    waits = watching.waits()
    with connect(database) as owner:
        owner.execute(f'DROP ROLE "{name}"')

    assert [wait.relation_oid for wait in waits] == [oid], "its wait is seen, though not whose it is"
    assert f'GRANT pg_monitor TO "{name}";' in watching.state.why_blind
    assert not watching.state.complete
    assert not watching.state.log_read
    assert "GRANT EXECUTE ON FUNCTION pg_read_binary_file" in watching.state.why_no_log


@pytest.mark.parametrize("kind", ["csvlog", "jsonlog"])
def test_the_log_of_a_server_that_is_not_ours_is_read_through_sql(watch: Start, kind: str) -> None:
    settings = {"logging_collector": "on", "log_destination": kind, "log_timezone": "America/New_York"}
    with EmbeddedServer.start(settings=settings) as server:
        watching = watch(server.url, log=None)
        assert watching.state.log_read, watching.state.why_no_log
        assert watching.state.waits_logged
        with connect(server.url) as failing, pytest.raises(psycopg.errors.DivisionByZero):
            failing.execute("SELECT 1 / 0")
        with connect(server.url) as holder, holder.transaction():
            holder.execute("CREATE TABLE busy (id int)")
            holder.execute("LOCK TABLE pg_description IN ACCESS EXCLUSIVE MODE")
            client = Client(server.url, "SELECT count(*) FROM pg_description")
            time.sleep(1.4)
        client.join()
        assert wait_until(lambda: bool(watching.log("lock_acquired")), within=5)
        (wait,) = watching.waits()
    (error,) = watching.log("error")
    assert (error.sqlstate, error.query, error.message) == ("22012", "SELECT 1 / 0", "division by zero")
    assert abs(error.at - (wait.started_at - 0.1)) < 2
    assert (wait.provenance, wait.relation) == ("exact", "pg_description")
    assert wait.wait_s == pytest.approx(client.waited_s, abs=0.05)


def test_a_server_that_logs_no_waits_is_known(watch: Start) -> None:
    with EmbeddedServer.start(settings={"log_lock_waits": "off"}) as server:
        watching = watch(server.url, log=server.log)
        assert (watching.state.log_read, watching.state.waits_logged) == (True, False)
        watching.child.stop()


def test_it_counts_what_the_database_does_once_a_second(database: str, watch: Start) -> None:
    watching = watch(own=os.getpid())
    with connect(database), connect(database) as open_transaction:
        open_transaction.execute("BEGIN; SELECT 1")
        with connect(database) as busy:  # whose statistics are sent when it goes
            busy.execute("CREATE TABLE t AS SELECT generate_series(1, 20000) AS id")
            for _ in range(300):
                busy.execute("SELECT 1")
        time.sleep(2.2)
    watching.child.stop()
    point = watching.points()[-1]

    assert point["sessions"] == {"idle": 1, "idle in transaction": 1}
    assert point["oldest_transaction_s"] > 1
    assert point["wal_bytes"] > 100_000
    assert 250 <= point["commits"] <= 400
    assert (point["deadlocks"], point["waiting"]) == (0, 0)
    measured = [found for found in watching.points() if found["cpu"]]
    assert measured
    assert measured[-1]["memory_mb"]["own"] > 10
    assert watching.state.polls > 20
