"""`DatabaseMigrator` against a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.core.trace import VersionTable
from harness.core.trace_fold import build
from harness.db.migrator import DatabaseMigrator
from harness.errors import SetupError, UsageError

pytestmark = [pytest.mark.integration, pytest.mark.migration]

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def migrator(database: str, scenario: str = "safe", **given: str) -> DatabaseMigrator:
    return DatabaseMigrator(database, alembic_config=MIGRATIONS / scenario / "alembic.ini", **given)  # type: ignore[arg-type]


def stamp(database: str, *revisions: str, table: str = "alembic_version") -> None:
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE TABLE {table} (version_num varchar(32) PRIMARY KEY)".encode())
        for revision in revisions:
            connection.execute(f"INSERT INTO {table} VALUES (%s)".encode(), [revision])


def test_an_empty_database(database: str) -> None:
    found = migrator(database)

    assert found.current() == ()
    assert found.needs_migration() is True
    assert found.path() == ("a1", "b2", "c3", "d4")
    assert found.path("b2") == ("a1", "b2")
    assert found.resolve("+2") == ("b2",)


def test_half_way(database: str) -> None:
    stamp(database, "b2")
    found = migrator(database)

    assert found.current() == ("b2",)
    assert found.path() == ("c3", "d4")
    assert found.needs_migration("a1") is False
    assert found.resolve("+1") == ("c3",)
    assert found.resolve("-1", "downgrade") == ("a1",)
    assert found.path("-1", "downgrade") == ("b2",)
    assert found.path("base", "downgrade") == ("b2", "a1")
    assert "2 revisions to run" in found.status().text()


def test_the_files_of_what_would_run(database: str) -> None:
    stamp(database, "b2")
    found = migrator(database)

    def revisions(*arguments: Any, **given: Any) -> list[str]:
        return [file.name.split("_")[0].removesuffix(".py") for file in found.files(*arguments, **given)]

    assert revisions() == ["c3", "d4"]
    assert revisions("a1", "downgrade") == ["b2"]
    assert found.after("c3") == ("c3",)
    assert found.after("b2") == ("b2",)
    assert revisions("a1", "downgrade", start=found.after("c3")) == ["c3", "b2"]
    assert revisions("-1", "downgrade", start=found.after("d4")) == ["d4"]
    assert all(file.is_file() for file in found.files())


def test_an_upgrade_of_one_branch_leaves_the_other_where_it_is(database: str) -> None:
    stamp(database, "root")
    found = migrator(database, "two_heads")
    heads = found.heads()
    assert found.after("heads") == heads
    assert found.after(heads[0]) == (heads[0],)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [heads[1]])
    assert found.after(heads[0]) == heads


def test_at_the_head(database: str) -> None:
    stamp(database, "d4")
    status = migrator(database).status()

    assert status.needs_migration is False
    assert "nothing to run" in status.text()


def test_further_than_there_is(database: str) -> None:
    stamp(database, "d4")

    with pytest.raises(UsageError, match=r"'\+1' cannot be reached"):
        migrator(database).resolve("+1")


def test_two_branches_at_once(database: str) -> None:
    stamp(database, "right1", "left1")
    found = migrator(database, "two_heads")

    assert found.current() == ("left1", "right1")
    assert found.needs_migration("heads") is False


def test_one_of_two_branches(database: str) -> None:
    stamp(database, "left1")
    found = migrator(database, "two_heads")

    assert found.needs_migration("left@head") is False
    assert found.path("heads") == ("right1",)
    assert found.path("right@head") == ("right1",)
    assert found.path("left@base", "downgrade") == ("left1", "root")


def test_a_database_at_a_revision_the_scripts_do_not_know(database: str) -> None:
    stamp(database, "zz99")

    with pytest.raises(UsageError, match="The database is at revision 'zz99'"):
        migrator(database).path()


def test_a_version_table_of_another_name_and_schema(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA app")
    stamp(database, "c3", table="app.versions")

    assert migrator(database, version_table="versions", version_table_schema="app").current() == ("c3",)
    assert migrator(database).current() == ()


def test_a_version_table_that_may_not_be_read_names_the_grant(database: str) -> None:
    stamp(database, "b2")
    with psycopg.connect(database) as connection:
        connection.execute("CREATE ROLE mul_reader LOGIN PASSWORD 'x'")
    theirs = psycopg.conninfo.make_conninfo(database, user="mul_reader", password="x")
    parts = psycopg.conninfo.conninfo_to_dict(theirs)
    url = f"postgresql://mul_reader:x@{parts['host']}:{parts['port']}/{parts['dbname']}"
    try:
        with pytest.raises(SetupError) as caught:
            migrator(url).current()
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("DROP ROLE mul_reader")

    assert "alembic_version" in caught.value.message
    assert 'GRANT SELECT ON "alembic_version" TO "mul_reader"' in caught.value.remedy


def test_where_alembic_never_came_to_its_steps_nothing_was_changed(database: str) -> None:
    hooked = [{"kind": "hello"}, {"kind": "hooked", "library": "alembic"}]
    silent, untraced = build(hooked), build([])
    found = migrator(database)

    assert found.tables(untraced) == (None,)  # env.py may keep its table elsewhere
    assert found.tables(silent) == ((),)


def test_version_tables_of_several_schemas(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA anna")
        connection.execute("CREATE SCHEMA bert")
        rows = connection.execute("SELECT 'anna'::regnamespace::int8, 'bert'::regnamespace::int8").fetchall()
    stamp(database, "b2", table="anna.alembic_version")
    found = migrator(database)

    found.learn(VersionTable("alembic_version", schema_oid=oid) for oid in (*rows[0], 99))

    assert found.tables() == (("b2",), (), ())
    assert found.current() == ("b2",)
    assert found.path("c3") == ("a1", "b2", "c3")  # bert has all of it before it
