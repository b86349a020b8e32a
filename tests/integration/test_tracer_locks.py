"""What the tracer tells of locks, rewrites and scans, whatever the driver and the transaction."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from harness.core.trace import Statement
from harness.db.server import EmbeddedServer
from tests.fix_tracer import statements, traced

pytestmark = pytest.mark.integration


def found_locks(statement: Statement) -> list[tuple[str, str]]:
    return [(lock.relation, lock.mode.removesuffix("Lock")) for lock in statement.locks]


def test_what_a_rolled_back_savepoint_and_an_error_give_back(database: str, tmp_path: Path) -> None:
    script = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    conn.execute("CREATE TABLE a (id int); CREATE TABLE b (id int)")
    conn.execute("INSERT INTO b VALUES (NULL)")
conn = psycopg.connect(sys.argv[1])
conn.execute("ALTER TABLE a ADD COLUMN c int")
conn.execute("SAVEPOINT s")
conn.execute("ALTER TABLE b ADD COLUMN c int")
conn.execute("ROLLBACK TO SAVEPOINT s")
time.sleep(0.05)
conn.execute("ALTER TABLE b ADD COLUMN d int")
conn.commit()
conn.execute("ALTER TABLE a ADD COLUMN d int")
try:
    conn.execute("ALTER TABLE b ALTER id SET NOT NULL")
except psycopg.Error:
    time.sleep(0.05)
conn.rollback()
conn.close()
"""
    trace = traced(tmp_path, script, database)

    first, lost, second, third, failed = statements(trace, "ALTER")
    assert [found_locks(found) for found in (first, lost, second)] == [
        [("a", "AccessExclusive")],
        [("b", "AccessExclusive")],
        [("b", "AccessExclusive")],
    ]
    assert lost.locks[0].released_mono is not None
    assert lost.locks[0].released_mono < second.started_mono
    assert second.locks[0].released_mono == first.locks[0].released_mono
    assert (failed.sqlstate, failed.locks) == ("23502", ())
    assert third.locks[0].released_mono == failed.ended_mono  # an error ends the transaction's locks


LOCKING = {
    driver: f"""
import sys, {driver}
conn = {driver}.connect(sys.argv[1])
cur = conn.cursor()
cur.execute("CREATE TABLE t (id int)")
conn.commit()
cur.execute("LOCK TABLE t IN SHARE MODE")
conn.commit()
cur.execute("SELECT 1")
cur.execute("LOCK TABLE t IN EXCLUSIVE MODE")
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
    await conn.execute("CREATE TABLE t (id int)")
    async with conn.transaction():
        await conn.execute("LOCK TABLE t IN SHARE MODE")
    async with conn.transaction():
        await conn.execute("SELECT 1")
        await conn.execute("LOCK TABLE t IN EXCLUSIVE MODE")
    await conn.close()

asyncio.run(main())
"""
}


@pytest.mark.parametrize("driver", LOCKING)
def test_lock_table_is_seen_wherever_it_stands(database: str, tmp_path: Path, driver: str) -> None:
    trace = traced(tmp_path, LOCKING[driver], database)

    first, later = statements(trace, "LOCK")
    assert found_locks(first) == [("t", "Share")]
    assert found_locks(later) == [("t", "Exclusive")]
    assert first.locks[0].hold_s is not None


def test_names_are_those_before_a_renaming(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    conn.execute("CREATE SCHEMA other; CREATE TABLE a (id int PRIMARY KEY)")
conn = psycopg.connect(sys.argv[1])
conn.execute("ALTER TABLE a RENAME TO b")
conn.execute("SET LOCAL search_path = other")
conn.execute("REINDEX TABLE public.b")
conn.rollback()
conn.execute("ALTER TABLE a ADD COLUMN c int")
conn.commit()
conn.close()
"""
    trace = traced(tmp_path, script, database)

    rename, reindex = statements(trace, "ALTER")[0], statements(trace, "REINDEX")[0]
    assert found_locks(rename) == [("a", "AccessExclusive")]
    assert ("public.a_pkey", "AccessExclusive") in found_locks(reindex)
    assert {lock.of for lock in reindex.locks} == {None, "public.b"}
    assert reindex.rebuilt == ("public.a_pkey",)
    assert found_locks(statements(trace, "ALTER")[1]) == [("a", "AccessExclusive")]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_what_a_statement_outside_a_transaction_rewrote(database: str, tmp_path: Path, driver: str) -> None:
    lines = [
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g",
        "REINDEX INDEX CONCURRENTLY t_pkey",
        "VACUUM FULL t",
        "ALTER TABLE t ADD COLUMN c int",
    ]
    script = {
        "psycopg": f"""
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    for line in {lines}:
        conn.execute(line)
    with conn.transaction():
        conn.execute("ALTER TABLE t ADD COLUMN d int")
""",
        "asyncpg": f"""
import asyncio, sys, asyncpg
async def main():
    conn = await asyncpg.connect(sys.argv[1])
    for line in {lines}:
        await conn.execute(line)
    async with conn.transaction():
        await conn.execute("ALTER TABLE t ADD COLUMN d int")
    await conn.close()
asyncio.run(main())
""",
    }[driver]
    trace = traced(tmp_path, script, database)

    reindex, vacuum, add, inside = trace.statements[2:]
    assert (reindex.rewrites, reindex.rebuilt) == ((), ("t_pkey",))
    assert (vacuum.rewrites, vacuum.rebuilt) == (("t",), ("t_pkey",))
    assert (add.rewrites, add.rebuilt, add.transaction) == ((), (), None)
    assert (inside.rewrites, inside.rebuilt, inside.scans) == ((), (), ())
    assert found_locks(inside) == [("t", "AccessExclusive")]


def test_scans_of_an_earlier_transaction_are_not_charged_again(database: str, tmp_path: Path) -> None:
    script = """
import sys, psycopg
conn = psycopg.connect(sys.argv[1])
conn.execute("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 100) g")
conn.commit()
for _ in range(3):
    conn.execute("ALTER TABLE t ALTER id SET NOT NULL")
    conn.execute("ALTER TABLE t ALTER id DROP NOT NULL")
    conn.commit()
conn.close()
"""
    trace = traced(tmp_path, script, database)

    assert [found.scans for found in statements(trace, "ALTER")] == [("t",), ()] * 3


def test_two_databases_in_one_process(database: str, postgres: EmbeddedServer, tmp_path: Path) -> None:
    other = postgres.create_database(f"{urlsplit(database).path.strip('/')}_b")
    script = f"""
import sys, psycopg
urls = (sys.argv[1], {other!r})
for url in urls:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE t" + url[-1] + " (id int)")
        conn.execute("INSERT INTO t" + url[-1] + " VALUES (1)")
conns = [psycopg.connect(url) for url in urls]
for url, conn in zip(urls, conns):
    conn.execute("ALTER TABLE t" + url[-1] + " ALTER id TYPE bigint")
for conn in conns:
    conn.rollback()
    conn.close()
"""
    trace = traced(tmp_path, script, database)

    first, second = statements(trace, "ALTER")
    assert first.rewrites == (f"t{database[-1]}",)
    assert second.rewrites == ("tb",)
    assert first.transaction != second.transaction
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {urlsplit(other).path.strip('/')} WITH (FORCE)".encode())
