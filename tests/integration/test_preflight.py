"""The preflight on real environments: what is wrong with one is said beforehand, and nothing is changed."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness.db.guard import connect, identify, identify_further
from harness.db.migration import MigrationOrder, expectation
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError
from harness.run import preflight as module
from harness.run.preflight import preflight

pytestmark = [pytest.mark.integration, pytest.mark.migration]

MIGRATIONS = Path(__file__).parents[1] / "migrations"
A1 = "revision = 'a1'\ndown_revision = None\ndef upgrade(): pass\ndef downgrade(): pass\n"
BROKEN = "raise RuntimeError('no settings for ' + 'this environment')\n"
PLAIN = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["{variable}"]).connect() as connection:
    context.configure(connection=connection)
    context.run_migrations()
"""
HIDDEN = """
import os
from alembic import context
from sqlalchemy import create_engine
try:
    with create_engine(os.environ["{variable}"]).connect() as connection:
        context.configure(connection=connection)
        context.run_migrations()
except Exception:
    pass
"""
SLEEPING = "import time\ntime.sleep(60)\n"


def order_for(database: str, ini: Path, folder: Path) -> MigrationOrder:
    url = DatabaseUrl.parse(database)
    with connect(url, application_name="test") as connection:
        expected = expectation(identify(connection))
    given = url.sqlalchemy("psycopg")
    elsewhere = given.rpartition("/")[0] + "/postgres"
    return MigrationOrder(
        "upgrade",
        "head",
        ini,
        run_id="test",
        trace_file=folder / "preflight.trace",
        log_file=folder / "preflight.log",
        environment={
            "PYTHONDONTWRITEBYTECODE": "1",
            "DATABASE_URL": given,
            "SHOP_URL": given,
            "ARCHIVE_URL": elsewhere,
        },
        expect_database=expected,
    )


def look_ahead(database: str, ini: Path, folder: Path) -> DatabaseMigrator:
    migrator = DatabaseMigrator(database, alembic_config=ini)
    preflight(order_for(database, ini, folder), migrator, "head", DatabaseUrl.parse(database), time.sleep)
    return migrator


def environment(folder: Path, env: str) -> Path:
    (folder / "versions").mkdir()
    (folder / "versions" / "a1.py").write_text(A1)
    (folder / "env.py").write_text(env)
    ini = folder / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = %(here)s\npath_separator = os\n")
    return ini


def relations(database: str) -> list[tuple[str, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid >= 16384 ORDER BY 1, 2"
        ).fetchall()


def test_a_version_table_of_another_name_is_found(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA house")
        connection.execute("CREATE TABLE house.revisions (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO house.revisions VALUES ('b2')")
    before = relations(database)
    ini = MIGRATIONS / "version_table" / "alembic.ini"
    assert DatabaseMigrator(database, alembic_config=ini).needs_migration() is True  # by the default name

    migrator = look_ahead(database, ini, tmp_path)

    assert migrator.current() == ("b2",)
    assert migrator.needs_migration() is False
    assert relations(database) == before


def test_an_empty_database_stays_empty(database: str, tmp_path: Path) -> None:
    migrator = look_ahead(database, MIGRATIONS / "settings_module" / "alembic.ini", tmp_path)

    assert migrator.current() == ()
    assert migrator.needs_migration() is True
    assert relations(database) == []


def test_schemas_that_are_not_equally_far(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        for schema, revision in (("anna", "b2"), ("bert", "a1")):
            connection.execute(f"CREATE SCHEMA {schema}".encode())
            connection.execute(f"CREATE TABLE {schema}.alembic_version (version_num varchar(32))".encode())
            connection.execute(f"INSERT INTO {schema}.alembic_version VALUES (%s)".encode(), [revision])

    migrator = look_ahead(database, MIGRATIONS / "schemas_by_search_path" / "alembic.ini", tmp_path)

    assert migrator.currents() == (("b2",), ("a1",))
    assert migrator.path() == ("b2",)
    assert migrator.needs_migration() is True


def test_flask_migrate_shows_where_it_is(database: str, tmp_path: Path) -> None:
    folder = MIGRATIONS / "flask_migrate"
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('a1')")
    flask = (sys.executable, "-m", "flask", "--app", "shop", "db", "upgrade")
    order = order_for(database, folder / "migrations" / "alembic.ini", tmp_path)
    order = replace(order, own_command=flask, folder=folder)
    migrator = DatabaseMigrator(database)  # the scripts are not known

    preflight(order, migrator, None, DatabaseUrl.parse(database), time.sleep)

    assert migrator.current() == ("a1",)
    assert "db current" in " ".join(argv_of(order.trace_file))


def argv_of(trace: Path) -> list[str]:
    hello = json.loads(trace.read_text().splitlines()[0])
    return [str(word) for word in hello["argv"]]


def test_a_second_database_that_nobody_named(database: str, tmp_path: Path) -> None:
    with pytest.raises(GuardError) as caught:
        look_ahead(database, MIGRATIONS / "multidb" / "alembic.ini", tmp_path)

    assert "postgres" in caught.value.message
    assert "--allow-database" in caught.value.remedy


def test_an_env_that_goes_to_a_further_database_alone(database: str, tmp_path: Path) -> None:
    """That one may be migrated besides: an env.py that names it has forgotten the one that is meant."""
    ini = environment(tmp_path, PLAIN.format(variable="ARCHIVE_URL"))
    url = DatabaseUrl.parse(database)
    with connect(url, application_name="test") as connection:
        allowed = (identify(connection), *identify_further(connection, ["postgres"]))
    order = replace(order_for(database, ini, tmp_path), expect_database=expectation(*allowed))
    migrator = DatabaseMigrator(database, alembic_config=ini)

    with pytest.raises(GuardError, match=f"went to postgres alone, never to {allowed[0].database}"):
        preflight(order, migrator, "head", url, time.sleep, allowed=allowed)


def test_an_env_that_does_not_work(database: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        look_ahead(database, environment(tmp_path, BROKEN), tmp_path)

    assert "exit code 1" in caught.value.message
    assert "no settings for this environment" in caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "words"),
    [("NOT_SET", "never comes to its migrations"), ("DATABASE_URL", "hides an error: .*version_num")],
    ids=["before", "in"],
)
def test_an_env_that_hides_its_errors(database: str, tmp_path: Path, variable: str, words: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (not_alembics int)")

    with pytest.raises(UsageError, match=words):
        look_ahead(database, environment(tmp_path, HIDDEN.format(variable=variable)), tmp_path)


def test_a_database_of_another_release(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('zz99')")

    with pytest.raises(UsageError, match="The database is at revision 'zz99'"):
        look_ahead(database, MIGRATIONS / "settings_module" / "alembic.ini", tmp_path)


def test_an_env_that_does_not_end(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREFLIGHT_WITHIN_S", 2.0)

    with pytest.raises(UsageError, match="had not ended after 2 s"):
        look_ahead(database, environment(tmp_path, SLEEPING), tmp_path)


def test_a_wrapper_that_hides_the_environment(database: str, tmp_path: Path) -> None:
    ini = MIGRATIONS / "settings_module" / "alembic.ini"
    wrapper = tmp_path / "alembic"
    wrapper.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -P -m alembic -c {ini} "$@"\n')
    wrapper.chmod(0o755)
    order = replace(
        order_for(database, ini, tmp_path), own_command=(str(wrapper), "upgrade", "head"), folder=ini.parent
    )
    migrator, url = DatabaseMigrator(database, alembic_config=ini), DatabaseUrl.parse(database)

    with pytest.raises(GuardError, match="cannot be traced") as caught:
        preflight(order, migrator, "head", url, time.sleep)
    assert f"--allow-untraced-database {database.rpartition('/')[2]}" in caught.value.remedy
    preflight(order, migrator, "head", url, time.sleep, may_go_untraced=True)
