"""The migration child and its tracer against a real PostgreSQL, with every driver."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from harness.clock import wait_until
from harness.core.trace import Statement, Trace, parse
from harness.core.trace_fold import TraceFold, build
from harness.db.guard import connect, identify
from harness.db.migration import (
    WRONG_DATABASE,
    MigrationChild,
    MigrationOrder,
    expectation,
    read_relfilenodes,
    terminate_backends,
)
from harness.db.migrator import DatabaseMigrator
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl

pytestmark = [pytest.mark.integration, pytest.mark.migration]

MIGRATIONS = Path(__file__).parents[1] / "migrations"
DRIVERS = [
    ("psycopg", "alembic.ini"),
    ("psycopg2", "alembic.ini"),
    ("psycopg", "async.ini"),
    ("asyncpg", "async.ini"),
]


def order_for(
    database: str, folder: Path, scenario: str, driver: str = "psycopg", ini: str = "alembic.ini"
) -> MigrationOrder:
    url = DatabaseUrl.parse(database)
    return MigrationOrder(
        direction="upgrade",
        target="head",
        alembic_config=MIGRATIONS / scenario / ini,
        run_id="test",
        trace_file=folder / "trace.ndjson",
        log_file=folder / "migration.log",
        environment={"TEST_DATABASE_URL": url.sqlalchemy(driver), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run(order: MigrationOrder, **trace: object) -> tuple[int, Trace]:
    """Run an order to its end; returns the exit code and the trace."""
    child = MigrationChild(order)
    child.start()
    ended = wait_until(lambda: child.poll() is not None, within=60)
    code = child.poll()
    if not ended or code is None:
        child.stop(lambda _: None, grace_s=0.1)
        pytest.fail(f"the migration did not end: {order.log_file.read_text()}")
    return code, build(child.records(), unreadable=child.unreadable, **trace)  # type: ignore[arg-type]


def starting(trace: Trace, start: str) -> Statement:
    return next(statement for statement in trace.statements if statement.sql.strip().startswith(start))


def table_exists(database: str, name: str) -> bool:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_every_driver_tells_the_whole_story(database: str, tmp_path: Path, driver: str, ini: str) -> None:
    code, trace = run(replace(order_for(database, tmp_path, "safe", driver, ini), lock_timeout="3s"))

    assert code == 0
    assert trace.why_incomplete is None
    check_statements(trace)
    check_transactions(trace)
    check_locks_and_rewrites(trace)
    check_timeouts(trace)
    check_the_error_in_the_savepoint(trace)


def check_statements(trace: Trace) -> None:
    assert [(found.revision, found.ok) for found in trace.revisions] == [
        ("a1", True), ("b2", True), ("c3", True), ("d4", True),
    ]  # fmt: skip
    own = trace.migration_statements
    assert [found.n for found in own] == list(range(1, len(own) + 1))
    assert [found.revision for found in own] == sorted(found.revision or "" for found in own)
    assert all(found.duration_s is not None and found.duration_s > 0 for found in own)
    assert all(found.backend_pid in trace.backends for found in own)
    assert [found.started_mono for found in own] == sorted(found.started_mono for found in own)
    # 30 equal updates: 20 in full, the rest summed up while they are fast.
    updates = [found for found in own if found.sql.startswith("UPDATE notes SET stars")]
    assert sum(found.executions for found in updates) == 30
    assert sum(found.rows or 0 for found in updates) == 30


def check_transactions(trace: Trace) -> None:
    insert = starting(trace, "INSERT INTO notes (body) SELECT")
    assert insert.rows == 1000
    assert insert.transaction == starting(trace, "CREATE TABLE notes").transaction
    assert insert.committed_mono is not None
    assert insert.committed_mono > (insert.ended_mono or 0)
    index = starting(trace, "CREATE INDEX CONCURRENTLY")
    assert index.transaction is None
    assert index.committed_mono == index.ended_mono
    own = trace.migration_statements
    assert trace.first_statement_mono == own[0].started_mono
    assert trace.last_commit_mono is not None
    assert trace.last_commit_mono >= (own[-1].ended_mono or 0)


def check_locks_and_rewrites(trace: Trace) -> None:
    widen = starting(trace, "ALTER TABLE notes ALTER COLUMN id TYPE BIGINT")
    assert ("notes", "r", "AccessExclusiveLock") in [
        (lock.relation, lock.kind, lock.mode) for lock in widen.locks
    ]
    assert widen.rewrites == ("notes",)
    hold = next(lock for lock in widen.locks if lock.relation == "notes").hold_s
    assert hold is not None
    assert hold > (widen.duration_s or 0)
    column = starting(trace, "ALTER TABLE notes ADD COLUMN stars")
    assert column.rewrites == ()
    assert column.locks == ()  # the same lock was held already
    by_hand = starting(trace, "LOCK TABLE notes")
    assert [(lock.relation, lock.mode) for lock in by_hand.locks] == [("notes", "ShareRowExclusiveLock")]


def check_timeouts(trace: Trace) -> None:
    assert starting(trace, "CREATE TABLE notes").lock_timeout_s == 3  # the default given
    assert starting(trace, "ALTER TABLE notes ALTER").lock_timeout_s == 7  # its own SET LOCAL
    assert starting(trace, "CREATE INDEX CONCURRENTLY").lock_timeout_s == 3  # SET LOCAL is over


def check_the_error_in_the_savepoint(trace: Trace) -> None:
    failed = starting(trace, "SELECT * FROM nowhere")
    assert failed.sqlstate == "42P01"
    assert failed.error == 'relation "nowhere" does not exist'
    assert failed.committed_mono is None
    assert starting(trace, "LOCK TABLE notes").committed_mono is not None


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_a_failing_migration(database: str, tmp_path: Path, driver: str, ini: str) -> None:
    code, trace = run(order_for(database, tmp_path, "failing", driver, ini))

    assert code == 1
    assert trace.complete
    assert [(found.revision, found.ok) for found in trace.revisions] == [("a1", False)]
    created, failed = trace.migration_statements
    assert (failed.sqlstate, failed.n, failed.revision) == ("42P01", 2, "a1")
    assert created.committed_mono is None
    assert trace.last_commit_mono is None
    assert DatabaseMigrator(database, alembic_config=MIGRATIONS / "failing" / ini).current() == ()
    assert not table_exists(database, "half")


def test_a_default_of_the_database_is_the_timeout_in_effect(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = '9s'").format(name))

    _, trace = run(order_for(database, tmp_path, "safe", "psycopg2"))

    assert starting(trace, "CREATE INDEX CONCURRENTLY").lock_timeout_s == 9


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedServer, Path]]:
    """A server that logs every statement."""
    log = tmp_path_factory.mktemp("logging") / "postgres.log"
    settings = {"log_min_duration_statement": "0", "log_line_prefix": "<%p> "}
    with EmbeddedServer.start(log=log, settings=settings) as server:
        yield server, log


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_the_trace_is_what_the_server_logs(
    logging_server: tuple[EmbeddedServer, Path], tmp_path: Path, driver: str, ini: str
) -> None:
    server, log = logging_server
    database = server.create_database(f"truth_{driver}_{ini.partition('.')[0]}")

    _, trace = run(order_for(database, tmp_path, "safe", driver, ini))

    logged = [found for found in logged_statements(log, trace.backends) if not is_ours(found[0])]
    told = [found for found in trace.statements if found.sqlstate is None]  # others are logged as errors
    in_log = Counter(beginning(text) for text, _ in logged if transaction_word(text) is None)
    in_trace = Counter[str]()
    for statement in told:
        in_trace[beginning(statement.sql)] += statement.executions
    rows_at_once = "INSERT INTO notes (body) VALUES ("
    assert in_trace.pop(rows_at_once) == 1  # one executemany
    assert in_log.pop(rows_at_once) >= 1  # one execution for every row, or one statement
    in_log.pop("DEALLOCATE ALL", None)  # psycopg clears its own prepared statements after a rollback
    assert in_trace == in_log
    widen = starting(trace, "ALTER TABLE notes ALTER")
    server_s = next(took for text, took in logged if beginning(text) == beginning(widen.sql))
    assert (widen.duration_s or 0) >= server_s
    commits = sum(transaction_word(text) == "COMMIT" for text, _ in logged)
    assert commits == sum(found.outcome == "commit" for found in trace.transactions)


def logged_statements(log: Path, pids: frozenset[int]) -> list[tuple[str, float]]:
    """(text, seconds) of the statements these backends executed, by the server's own log."""
    entries = re.findall(
        r"^<(\d+)> LOG:  duration: ([\d.]+) ms  (?:statement|execute [^:]*): (.*?)(?=^<|\Z)",
        log.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    return [(text, float(took) / 1000) for pid, took, text in entries if int(pid) in pids]


def is_ours(text: str) -> bool:
    return "pg_catalog.json_build_object('" in text or text.startswith(
        ("SHOW lock_t", "SHOW statement_t", "SHOW idle_in_t")
    )


def beginning(text: str) -> str:
    """What the driver's text and the server's have in common before the first parameter."""
    return re.split(r"[%$']", " ".join(text.split()), maxsplit=1)[0][:60].strip()


def transaction_word(text: str) -> str | None:
    word = text.split()[0].strip(";").upper()
    return word if word in ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE") else None


def test_rewrites_of_a_table_that_was_there_before(database: str, tmp_path: Path) -> None:
    order = order_for(database, tmp_path, "safe")
    run(replace(order, target="a1"))
    baseline = read_relfilenodes(DatabaseUrl.parse(database))

    later = replace(order, target="b2", trace_file=tmp_path / "second.ndjson")
    _, without = run(later)
    assert starting(without, "ALTER TABLE notes ALTER").rewrites == ("notes",)  # the tracer lists them
    records, _ = parse(later.trace_file.read_text().splitlines())
    with_baseline = build(records, relfilenodes=baseline)
    assert starting(with_baseline, "ALTER TABLE notes ALTER").rewrites == ("notes",)


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_another_database_than_the_guarded_one(database: str, tmp_path: Path, driver: str, ini: str) -> None:
    order = replace(order_for(database, tmp_path, "safe", driver, ini), expect_database="12345:678")

    code, trace = run(order)

    assert code == WRONG_DATABASE
    assert trace.statements == ()
    assert trace.wrong_database is not None
    assert "12345:678" in trace.wrong_database
    assert not trace.complete
    assert not table_exists(database, "alembic_version")
    assert "guarded database" in order.log_file.read_text()


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_the_guarded_database_is_let_through(database: str, tmp_path: Path, driver: str, ini: str) -> None:
    with connect(DatabaseUrl.parse(database), application_name="test") as connection:
        expected = expectation(identify(connection))

    order = order_for(database, tmp_path, "two_heads" if ini == "alembic.ini" else "safe", driver, ini)
    code, trace = run(replace(order, expect_database=expected, target="heads"))

    assert (code, trace.why_incomplete) == (0, None)


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_stopping_a_hanging_migration_leaves_no_backend(
    database: str, tmp_path: Path, driver: str, ini: str
) -> None:
    url = DatabaseUrl.parse(database)
    child = MigrationChild(order_for(database, tmp_path, "hanging", driver, ini))
    child.start()
    live = TraceFold()

    def sleeping() -> bool:
        for record in child.records():
            live.add(record)
        now = live.now()
        return now is not None and now.sql is not None and "pg_sleep" in now.sql

    asleep = wait_until(sleeping, within=30)
    began = time.monotonic()
    how, rest = child.stop(lambda pids: terminate_backends(url, pids), grace_s=2)

    assert asleep
    assert time.monotonic() - began < 8
    assert child.poll() is not None
    # psycopg2 waits in C and does not hear SIGINT.
    assert how == ("terminated" if driver == "psycopg2" else "interrupted")
    assert wait_until(lambda: not _alive(url, child.backend_pids), within=5)
    for record in rest:
        live.add(record)
    (statement,) = live.trace().migration_statements
    assert statement.committed_mono is None
    assert live.trace().complete


def test_stopping_what_hears_nothing(database: str, tmp_path: Path) -> None:
    url = DatabaseUrl.parse(database)
    child = MigrationChild(order_for(database, tmp_path, "hanging", "psycopg2"))
    child.start()
    assert wait_until(lambda: any(found["kind"] == "rev_begin" for found in child.records()), within=30)

    calls: list[Sequence[int]] = []

    def only_after_the_kill(pids: Sequence[int]) -> None:
        calls.append(pids)
        if len(calls) > 1:
            terminate_backends(url, pids)

    how, _ = child.stop(only_after_the_kill, grace_s=0.3)

    assert how == "killed"
    assert wait_until(lambda: not _alive(url, child.backend_pids), within=5)


def test_a_backend_in_a_further_database_is_ended_only_where_that_is_named(
    database: str, postgres: EmbeddedServer
) -> None:
    url = DatabaseUrl.parse(database)
    with closing(psycopg.connect(postgres.url)) as further:  # PostgreSQL's own database, `postgres`
        pids = [further.info.backend_pid]

        assert terminate_backends(url, pids) == 0
        assert further.execute("SELECT 1").fetchone() == (1,)

        assert terminate_backends(url, pids, ["archive", further.info.dbname]) == 1
        assert wait_until(lambda: not _alive(url, pids), within=5)


def _alive(url: DatabaseUrl, pids: Sequence[int]) -> int:
    with connect(url, application_name="test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [list(pids)]
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_an_env_that_prints_takes_over_logging_and_closes_our_file(database: str, tmp_path: Path) -> None:
    order = order_for(database, tmp_path, "chatty")

    code, trace = run(order)

    log = order.log_file.read_text()
    assert code == 0, log
    assert "hello from the folder of the ini" in log
    assert "inside the migration" in log
    assert "INFO sqlalchemy.engine.Engine COMMIT" in log
    assert trace.why_incomplete is None
    assert [found.sql for found in trace.migration_statements] == ["CREATE TABLE chatter (id int)"]


def test_an_unwritable_trace_does_not_harm_the_migration(database: str, tmp_path: Path) -> None:
    order = replace(order_for(database, tmp_path, "safe"), trace_file=tmp_path / "no such folder" / "trace")

    code, trace = run(order)

    assert code == 0
    assert table_exists(database, "notes")
    assert trace.why_incomplete is not None
    assert "loaded the tracer" in trace.why_incomplete
    assert order.log_file.read_text().count("cannot write the trace") == 1


def test_a_process_that_is_not_traced_is_told_by_its_backend(database: str, tmp_path: Path) -> None:
    child = MigrationChild(order_for(database, tmp_path, "safe"))
    child.start()
    assert wait_until(lambda: child.poll() is not None, within=60)

    trace = build(child.records(), seen_backends=[*child.backend_pids, 99999])

    assert trace.why_incomplete == "backends of the migration that did not announce themselves: 99999"


@pytest.mark.parametrize(("driver", "ini"), DRIVERS)
def test_downgrade(database: str, tmp_path: Path, driver: str, ini: str) -> None:
    order = order_for(database, tmp_path, "safe", driver, ini)
    run(order)

    back = replace(order, direction="downgrade", target="base", trace_file=tmp_path / "back.ndjson")
    code, trace = run(back)

    assert code == 0, order.log_file.read_text()
    assert [(found.revision, found.is_upgrade) for found in trace.revisions] == [
        ("d4", False), ("c3", False), ("b2", False), ("a1", False),
    ]  # fmt: skip
    assert DatabaseMigrator(database, alembic_config=order.alembic_config).current() == ()


def test_the_users_own_pgoptions_win(database: str, tmp_path: Path) -> None:
    order = order_for(database, tmp_path, "safe")
    theirs = {**order.environment, "PGOPTIONS": "-c lock_timeout=11s"}

    _, trace = run(replace(order, environment=theirs, lock_timeout="3s", statement_timeout="1 min"))

    index = starting(trace, "CREATE INDEX CONCURRENTLY")
    assert (index.lock_timeout_s, index.statement_timeout_s) == (11, 60)


def test_a_sitecustomize_of_the_users_own_still_runs(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("import sys\nsys.stdout.write('theirs ran\\n')\n")
    order = replace(
        order_for("postgresql://nobody@127.0.0.1:1/none", tmp_path, "failing"),
        environment={
            "PYTHONPATH": str(theirs),
            "TEST_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        },
    )

    code, trace = run(order)

    assert code == 1  # nobody listens there
    assert "theirs ran" in order.log_file.read_text()
    assert trace.hooked_alembic
    assert trace.statements == ()
