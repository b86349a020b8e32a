"""The tracer below Alembic: what drivers can do, traced and left unharmed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from harness.core.trace import Trace, parse
from harness.core.trace_fold import build
from harness.db.migration import TRACER, WRONG_DATABASE
from harness.environ import child_environment
from tests.fix_tracer import statements, traced

pytestmark = pytest.mark.integration

PSYCOPG2 = """
import io, sys
import psycopg2, psycopg2.extras, psycopg2.sql
from psycopg2.extensions import connection, cursor, quote_ident, register_type, UNICODE

conn = psycopg2.connect(sys.argv[1])
assert isinstance(conn, connection) and type(conn).__name__ == "connection"
assert not conn.autocommit and conn.info.transaction_status == 0
with conn, conn.cursor() as cur:
    assert isinstance(cur, cursor)
    register_type(UNICODE, cur), quote_ident("a b", cur)
    cur.execute("CREATE TABLE t (id int, body text)")
    psycopg2.extras.execute_values(cur, "INSERT INTO t VALUES %s", [(1, "a"), (2, "b")])
    cur.executemany("INSERT INTO t VALUES (%s, %s)", [(3, "c"), (4, "d")])
    cur.copy_expert("COPY t FROM STDIN", io.StringIO("5\\te\\n6\\tf\\n"))
    cur.copy_from(io.StringIO("7\\tg\\n"), "t")
    assert cur.rowcount == 1
    cur.execute(psycopg2.sql.SQL("SELECT count(*) FROM {}").format(psycopg2.sql.Identifier("t")))
    assert cur.fetchone() == (7,)
    cur.callproc("lower", ["A"])
    assert cur.fetchone() == ("a",)
with conn.cursor("named") as named:
    named.execute("SELECT id FROM t ORDER BY id")
    assert [row[0] for row in named][:2] == [1, 2]
conn.rollback()
for factory in (psycopg2.extras.DictConnection, psycopg2.extras.RealDictConnection,
                psycopg2.extras.NamedTupleConnection, psycopg2.extras.LoggingConnection):
    other = psycopg2.connect(sys.argv[1], connection_factory=factory)
    if hasattr(other, "initialize"):
        other.initialize(io.StringIO())
    assert isinstance(other, factory)
    cur = other.cursor()
    cur.execute("SELECT 1 AS one")
    row = cur.fetchone()
    if factory is not psycopg2.extras.LoggingConnection:
        assert (row["one"] if factory is not psycopg2.extras.NamedTupleConnection else row.one) == 1
    other.close()
positional = psycopg2.connect(sys.argv[1], psycopg2.extras.RealDictConnection)
assert isinstance(positional, psycopg2.extras.RealDictConnection)
positional.set_session(isolation_level="SERIALIZABLE")
positional.cursor().execute("SELECT 2")
"""

PSYCOPG = """
import sys
import psycopg
from psycopg import sql

conn = psycopg.connect(sys.argv[1])
assert conn.info.transaction_status == 0
with conn.transaction(), conn.cursor() as cur:
    cur.execute("CREATE TABLE t (id int, body text)")
    cur.executemany("INSERT INTO t VALUES (%s, %s)", [(1, "a"), (2, "b")])
    assert cur.rowcount == 2
    with cur.copy("COPY t FROM STDIN") as copy:
        copy.write_row((3, "c"))
    with conn.transaction():
        conn.execute(b"SELECT 1")
    conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("t")))
    assert [row[0] for row in cur.stream("SELECT id FROM t ORDER BY id")] == [1, 2, 3]
with conn.cursor("named") as named:
    named.execute("SELECT id FROM t ORDER BY id")
    assert named.fetchone() == (1,)
conn.rollback()
with conn.pipeline():
    one = conn.execute("SELECT 1")
    two = conn.execute("SELECT 2")
assert (one.fetchone(), two.fetchone()) == ((1,), (2,))
conn.commit()
for _ in range(10):
    conn.execute("SELECT %s::int", [1])
conn.commit()
count = conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
assert count == (1,), count
conn.close()
"""

ASYNCPG = """
import asyncio, sys
import asyncpg

async def main():
    conn = await asyncpg.connect(sys.argv[1], server_settings={"lock_timeout": "8s"})
    await conn.execute("CREATE TABLE t (id int, body text)")
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(1, "a"), (2, "b")])
    await conn.copy_records_to_table("t", records=[(3, "c")])
    async with conn.transaction():
        assert [row["id"] async for row in conn.cursor("SELECT id FROM t ORDER BY id")] == [1, 2, 3]
        assert await conn.fetchval("SELECT body FROM t WHERE id = $1", 3) == "c"
        try:
            async with conn.transaction():
                await conn.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            pass
    assert await conn.fetchval("SHOW lock_timeout") == "8s"
    await conn.close()
    async with asyncpg.create_pool(sys.argv[1], min_size=1, max_size=2) as pool:
        assert await pool.fetchval("SELECT 1") == 1
        assert await pool.fetchval("SHOW lock_timeout") == "4s"

asyncio.run(main())
"""

IN_A_TRANSACTION = {
    driver: f"""
import sys, {driver}
conn = {driver}.connect(sys.argv[1])
cur = conn.cursor()
cur.execute("CREATE TABLE t (id int)")
cur.execute("INSERT INTO t VALUES (1)")
conn.commit()
conn.close()
"""
    for driver in ("psycopg", "psycopg2")
} | {
    "asyncpg": """
import asyncio, sys
import asyncpg

async def main():
    conn = await asyncpg.connect(sys.argv[1])
    async with conn.transaction():
        await conn.execute("CREATE TABLE t (id int)")
        await conn.execute("INSERT INTO t VALUES (1)")
    await conn.close()

asyncio.run(main())
"""
}


def told(trace: Trace) -> list[tuple[str, int | None]]:
    return [(" ".join(found.sql.split()), found.rows) for found in trace.statements]


def test_psycopg2(database: str, tmp_path: Path) -> None:
    trace = traced(tmp_path, PSYCOPG2, database)

    assert told(trace)[:8] == [
        ("CREATE TABLE t (id int, body text)", None),
        ("INSERT INTO t VALUES (1,'a'),(2,'b')", 2),
        ("INSERT INTO t VALUES (%s, %s)", 2),
        ("COPY t FROM STDIN", 2),
        ("COPY t FROM STDIN", 1),
        ('SELECT count(*) FROM "t"', 1),
        ("SELECT * FROM lower(…)", 1),
        ("SELECT id FROM t ORDER BY id", None),
    ]
    assert told(trace)[8:] == [("SELECT 1 AS one", 1)] * 4 + [("SELECT 2", 1)]
    assert len(trace.backends) == 6
    assert [found.outcome for found in trace.transactions][:2] == ["commit", "rollback"]


def test_psycopg(database: str, tmp_path: Path) -> None:
    trace = traced(tmp_path, PSYCOPG, database)

    assert told(trace)[:10] == [
        ("CREATE TABLE t (id int, body text)", None),
        ("INSERT INTO t VALUES (%s, %s)", 2),
        ("COPY t FROM STDIN", 1),
        ("SELECT 1", 1),
        ('SELECT count(*) FROM "t"', 1),
        ("SELECT id FROM t ORDER BY id", None),
        ("SELECT id FROM t ORDER BY id", None),
        ("SELECT 1", None),
        ("SELECT 2", None),
        ("SELECT %s::int", 1),
    ]
    assert [found.outcome for found in trace.transactions][:2] == ["commit", "rollback"]


def test_asyncpg(database: str, tmp_path: Path) -> None:
    trace = traced(tmp_path, ASYNCPG, database)

    texts = [text for text, _ in told(trace)]
    assert texts[:2] == ["CREATE TABLE t (id int, body text)", "INSERT INTO t VALUES ($1, $2)"]
    assert 'COPY "t" FROM STDIN (FORMAT binary)' in texts
    assert "SELECT body FROM t WHERE id = $1" in texts
    division = next(found for found in trace.statements if "1/0" in found.sql)
    assert (division.sqlstate, division.error) == ("22012", "division by zero")
    assert trace.statements[0].lock_timeout_s == 8
    assert len(trace.backends) == 2


@pytest.mark.parametrize("connect", ["psycopg", "psycopg2"])
def test_our_questions_do_not_get_in_the_way(database: str, tmp_path: Path, connect: str) -> None:
    """A SELECT of ours between these two would make the second fail with 25001."""
    script = f"""
import sys, {connect}
conn = {connect}.connect(sys.argv[1])
cur = conn.cursor()
cur.execute("CREATE TABLE t (id int)")
conn.commit()
cur.execute("SET LOCAL lock_timeout = '5s'")
cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
cur.execute("ALTER TABLE t ADD COLUMN c int")
conn.commit()
cur.execute("SET statement_timeout = '100ms'")
for _ in range(200):
    cur.execute("SELECT 1 FROM pg_class LIMIT 1")
conn.commit()
conn.close()
"""
    trace = traced(tmp_path, script, database)

    alter = next(found for found in trace.statements if found.sql.startswith("ALTER"))
    assert alter.lock_timeout_s == 5
    assert [(lock.relation, lock.mode) for lock in alter.locks] == [("t", "AccessExclusiveLock")]
    assert len(trace.blind) == 1
    assert "statement_timeout below one second" in trace.blind[0]
    assert trace.statements[-1].lock_timeout_s is None  # it cannot be asked any more


def test_a_process_that_forks_and_one_that_leaves_without_goodbye(database: str, tmp_path: Path) -> None:
    script = """
import os, sys, psycopg
pid = os.fork()
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("SELECT 1")
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
    trace = traced(tmp_path, script, database)

    assert len({found.process for found in trace.statements}) == 2
    assert len(trace.backends) == 2


def test_a_connection_that_cannot_be_checked_is_refused_where_a_database_is_expected(
    database: str, tmp_path: Path
) -> None:
    script = """
import sys, psycopg2, psycopg2.extensions
conn = psycopg2.connect(sys.argv[1], connection_factory=lambda dsn, *_: psycopg2.extensions.connection(dsn))
conn.cursor().execute("SELECT 1")
"""
    environment = {"PYTHONPATH": str(TRACER), "MUL_TRACE_FILE": str(tmp_path / "trace")}
    command = [sys.executable, "-c", script, database]

    free = subprocess.run(command, env=child_environment(environment), timeout=60, check=False)
    bound = child_environment({**environment, "MUL_EXPECT_DATABASE": "1:2"})
    refused = subprocess.run(command, env=bound, timeout=60, check=False, capture_output=True, text=True)

    assert free.returncode == 0
    assert refused.returncode == WRONG_DATABASE
    assert "goes to database unknown" in refused.stderr
    trace = build(parse((tmp_path / "trace").read_text().splitlines())[0])
    assert trace.wrong_database is not None


def test_without_a_trace_file_nothing_is_hooked(tmp_path: Path) -> None:
    script = """
import sys, psycopg2
assert not hasattr(psycopg2.connect, "__wrapped__")
assert "mul_tracer" not in sys.modules
"""
    environment = child_environment({"PYTHONPATH": str(TRACER), "MUL_TRACE_FILE": ""})

    done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_where_locks_may_not_be_read_the_migration_is_left_alone(
    database: str, tmp_path: Path, driver: str
) -> None:
    parts = urlsplit(database)
    role = f"mul_{parts.path.strip('/')}_{driver}"
    with psycopg.connect(database) as connection:
        connection.execute("REVOKE SELECT ON pg_locks FROM PUBLIC")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {role}".encode())
    url = parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}").geturl()
    try:
        trace = traced(tmp_path, IN_A_TRANSACTION[driver], url)
    finally:
        with psycopg.connect(database) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    assert [found.sqlstate for found in trace.statements] == [None, None]
    assert [found.outcome for found in trace.transactions] == ["commit"]
    assert "locks cannot be read" in trace.blind[0]


def test_nothing_is_asked_in_a_transaction_that_waits_for_nothing(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("CREATE TABLE t (id int)")
    conn.commit()
    conn.execute("SET LOCAL lock_timeout = '50ms'")
    conn.execute("ALTER TABLE t ADD COLUMN c int")
    conn.commit()
    conn.execute("ALTER TABLE t ADD COLUMN d int")
"""
    trace = traced(tmp_path, script, database)

    hurried, patient = (found for found in trace.statements if found.sql.startswith("ALTER"))
    assert hurried.lock_timeout_s == 0.05
    assert not hurried.locks
    assert patient.locks
    assert len(trace.blind) == 1


def test_others_can_tell_our_question_from_the_migrations(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as conn, psycopg.connect(sys.argv[1]) as other:
    conn.execute("CREATE TABLE t (id int)")
    asked = "SELECT query FROM pg_stat_activity WHERE pid = %s"
    (query,) = other.execute(asked, [conn.info.backend_pid]).fetchone()
    assert query.startswith("/* migrate-under-load tracer */"), query
"""
    assert len(statements(traced(tmp_path, script, database), "CREATE")) == 1


def test_a_transaction_of_many_locks_is_not_held_up_by_looking_at_them(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
from mul_tracer import questions
questions.LONGEST_LOOKING = 0.0
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("CREATE TABLE t (id int)")
    conn.commit()
    conn.execute("ALTER TABLE t ADD COLUMN c int")
    conn.execute("ALTER TABLE t ADD CHECK (c > 0)")
    conn.commit()
    conn.execute("ALTER TABLE t ADD COLUMN d int")
"""
    trace = traced(tmp_path, script, database)

    assert [bool(found.locks) for found in statements(trace, "ALTER")] == [True, False, True]
    assert "snapshots took more than 0 s of one transaction" in trace.blind[0]


def test_every_timeout_is_told(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = '30s'")
    conn.execute("SELECT 1")
    conn.execute("SET LOCAL statement_timeout = '9s'")
    conn.execute("SELECT 2")
"""
    trace = traced(tmp_path, script, database)

    one, two = statements(trace, "SELECT")
    assert (one.idle_timeout_s, one.statement_timeout_s) == (30, 0)
    assert (two.idle_timeout_s, two.statement_timeout_s) == (30, 9)
