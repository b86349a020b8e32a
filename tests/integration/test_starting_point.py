"""A database reaches the same start at every run, on real servers, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.errors import UsageError
from tests.fix_postgres import Servers
from tests.fix_starting_point import Shop, a_shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(params=["15", "18"])
def any_shop(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Shop]:
    yield from a_shop(servers(request.param), tmp_path)


@pytest.mark.parametrize("form", ["custom", "directory", "tar", "plain"])
def test_every_kind_of_dump_comes_back_with_its_progress(shop: Shop, form: str) -> None:
    said = shop.start(from_dump=shop.dump(form))
    assert shop.items() == 1000
    assert shop.sql("SELECT count(*) FROM shown") == [(1000,)]
    progress = [line for line in said if line.startswith("restoring")]
    assert progress
    assert ("MB" if form == "plain" else "of 11 objects") in progress[0]


def test_the_planner_knows_a_restored_table(shop: Shop) -> None:
    shop.start(from_dump=shop.dump())
    assert shop.sql("SELECT reltuples::int FROM pg_class WHERE relname = 'items'") == [(1000,)]


def test_a_dump_is_not_restored_over_what_is_there(shop: Shop) -> None:
    dump = shop.dump()
    shop.sql("CREATE TABLE mine (i int)")
    with pytest.raises(UsageError, match="is not empty, it has 1 tables") as refused:
        shop.start(from_dump=dump)
    assert "--recreate-database" in refused.value.remedy


def test_the_second_run_starts_where_the_first_did(any_shop: Shop) -> None:
    dump = any_shop.dump()
    first = any_shop.start(from_dump=dump, recreate_database=True)
    any_shop.sql("DROP TABLE stock.items CASCADE; CREATE TABLE migrated (i int)")
    second = any_shop.start(from_dump=dump, recreate_database=True)
    assert any_shop.items() == 1000
    assert any_shop.sql("SELECT to_regclass('migrated')") == [(None,)]
    assert any(line.startswith("restoring") for line in first)
    assert not any(line.startswith("restoring") for line in second)
    assert any_shop.databases() == {"", "_mul_template"}


def test_what_a_database_is_set_to_goes_with_every_copy(any_shop: Shop) -> None:
    owner, reader = any_shop.role("CREATEDB"), any_shop.role()
    name = any_shop.name
    any_shop.sql(
        f"""ALTER DATABASE {name} OWNER TO {owner};
        ALTER DATABASE {name} SET search_path = stock, "$user", public;
        ALTER ROLE {reader} IN DATABASE {name} SET work_mem = '7MB';
        ALTER DATABASE {name} CONNECTION LIMIT 50;
        REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {reader}"""
    )
    look = f"""SELECT pg_get_userbyid(datdba), datacl::text, datconnlimit, datcollate,
        (SELECT array_agg(setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = '{name}'"""
    before = any_shop.sql(look, "postgres")
    dump = any_shop.dump()
    for _ in range(2):
        any_shop.start(from_dump=dump, recreate_database=True)
        assert any_shop.sql(look, "postgres") == before
    assert any_shop.sql("SELECT count(*) FROM items") == [(1000,)]


@pytest.mark.parametrize(
    ("major", "kind", "column"),
    [
        ("15", "ENCODING 'LATIN1' LOCALE 'C'", "pg_encoding_to_char(encoding)"),
        ("18", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'", "concat(datlocprovider, datlocale)"),
    ],
)
def test_the_copies_sort_and_encode_as_the_first(
    servers: Servers, tmp_path: Path, major: str, kind: str, column: str
) -> None:
    for shop in a_shop(servers(major), tmp_path):
        shop.sql(f"DROP DATABASE {shop.name}", "postgres")
        shop.sql(f"CREATE DATABASE {shop.name} TEMPLATE template0 {kind}", "postgres")
        look = f"SELECT {column} FROM pg_database WHERE datname = current_database()"
        before = shop.sql(look)
        assert before != shop.sql(look, "postgres")
        shop.start(prepare="true", recreate_database=True)
        assert shop.sql(look) == before


def test_an_ordinary_role_with_createdb_is_enough(shop: Shop) -> None:
    owner = shop.role("CREATEDB")
    shop.sql(f"ALTER DATABASE {shop.name} OWNER TO {owner}")
    url = f"postgresql://{owner}:{owner}@127.0.0.1:{shop.server.port}/{shop.name}"
    dump = shop.dump()
    first = shop.start(url=url, from_dump=dump, recreate_database=True)
    assert "the dump's owners postgres are no roles here: all will belong to this role" in first
    shop.sql("TRUNCATE stock.items")
    shop.start(url=url, from_dump=dump, recreate_database=True)
    assert shop.items() == 1000


def test_a_database_that_is_not_there_yet_is_made(shop: Shop) -> None:
    dump = shop.dump()
    shop.sql(f"DROP DATABASE {shop.name}", "postgres")
    shop.start(from_dump=dump, recreate_database=True)
    assert shop.items() == 1000


def test_what_the_command_prepares_is_part_of_the_start_and_a_changed_one_makes_another(shop: Shop) -> None:
    script = shop.folder / "seed.py"
    script.write_text(SEED.format(rows=3))
    prepare = f"python {script}"
    shop.start(prepare=prepare, recreate_database=True)
    shop.sql("DROP TABLE seeded")
    assert not any("preparing" in line for line in shop.start(prepare=prepare, recreate_database=True))
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]
    script.write_text(SEED.format(rows=4))
    said = shop.start(prepare=prepare, recreate_database=True)
    assert f"making {shop.name} anew: the dump or --prepare changed" in said
    assert shop.sql("SELECT count(*) FROM seeded") == [(4,)]


SEED = """
import os, psycopg
with psycopg.connect(os.environ["MUL_DATABASE_URL"]) as connection:
    connection.execute("CREATE TABLE seeded AS SELECT generate_series(1, {rows})")
"""


def test_the_services_sessions_end_and_it_may_connect_again(shop: Shop) -> None:
    dump = shop.dump()
    shop.start(from_dump=dump, recreate_database=True)
    with psycopg.connect(shop.url, autocommit=True) as pooled:
        shop.start(from_dump=dump, recreate_database=True)
        with pytest.raises(psycopg.OperationalError):
            pooled.execute("SELECT 1")
    assert shop.items() == 1000
