"""A database reaches the same start at every run, on real servers, and nothing is lost on the way."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from harness.clock import utc_now, wait_until
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.db.binaries import find_binaries
from harness.db.guard import RunLock
from harness.db.server import EmbeddedServer
from harness.db.template import Recreated
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, HarnessError, SetupError, UsageError
from harness.run.services import Services
from harness.run.starting_point import StartingPoint, check_starting_point
from harness.store import RunDirectory
from tests.fix_postgres import Servers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CONTENT = """
    CREATE SCHEMA stock;
    CREATE TABLE stock.items (id serial PRIMARY KEY, name text);
    INSERT INTO stock.items (name) SELECT 'item ' || n FROM generate_series(1, 1000) n;
    CREATE INDEX ON stock.items (name);
    COMMENT ON TABLE stock.items IS 'all of them';
    CREATE VIEW shown AS SELECT * FROM stock.items;
"""


@dataclass
class Shop:
    """A person's database, and the runs that start on it."""

    server: EmbeddedServer
    name: str
    folder: Path
    url: str = ""
    roles: list[str] = field(default_factory=list)

    def sql(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        """What the statement returns, in the person's database unless another is named."""
        url = self.server.database_url(database or self.name)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def role(self, options: str = "") -> str:
        """A role of this test's own, that may log in with its name as the password."""
        name = f"role_{uuid4().hex[:8]}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{name}' {options}", "postgres")
        self.roles.append(name)
        return name

    def dump(self, form: str = "custom") -> str:
        """A dump of the content above, made in a database of its own."""
        source = f"{self.name}_source"
        self.server.create_database(source)
        self.sql(CONTENT, source)
        return self.dump_of(source, form)

    def dump_of(self, source: str, form: str = "custom") -> str:
        """A dump of the database `source`, which is dropped."""
        file = self.folder / f"{uuid4().hex}.{form}"
        command = [
            str(find_binaries().program("pg_dump")),
            f"--format={form}",
            f"--file={file}",
            self.server.database_url(source),
        ]
        subprocess.run(command, check=True, capture_output=True)
        self.sql(f"DROP DATABASE {source}", "postgres")
        return str(file)

    def start(
        self,
        undo: ExitStack | None = None,
        url: str = "",
        said: list[str] | None = None,
        **changes: Any,
    ) -> list[str]:
        """Bring the database to the start of a run, as it would be before its load; what was said."""
        plan = Plan(
            host="http://127.0.0.1:8000",
            database_url=url or self.url,
            placebo=True,
            allow_database=(self.name,),
            run_root=str(self.folder / "runs"),
            **changes,
        )
        check_plan(plan)
        check_starting_point(plan)
        directory = RunDirectory.create(plan, utc_now())
        said = [] if said is None else said
        services = Services("http://127.0.0.1:8000", plan.database_url)
        with ExitStack() as run:
            run.callback(directory.close)
            start = StartingPoint(plan, services, directory, said.append, _sleep)
            start.recreate(run)
            run.callback(RunLock.acquire(DatabaseUrl.parse(services.database_url or ""), "run").release)
            start.fill()
            if undo is not None:
                undo.push(run.pop_all())
        return said

    def items(self) -> int:
        """How many items are in the database."""
        return int(self.sql("SELECT count(*) FROM stock.items")[0][0])

    def databases(self) -> set[str]:
        """The databases of the server whose names begin as this one's, without that beginning."""
        found = self.sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{self.name}%'", "postgres")
        return {str(name).removeprefix(self.name) for (name,) in found}


def _sleep(seconds: float) -> None:
    wait_until(lambda: False, within=seconds)


def _shop(server: EmbeddedServer, folder: Path) -> Iterator[Shop]:
    name = f"shop_{uuid4().hex[:8]}"
    shop = Shop(server, name, folder, server.create_database(name))
    yield shop
    for suffix in shop.databases():
        shop.sql(f"DROP DATABASE {name}{suffix} WITH (FORCE)", "postgres")
    for role in shop.roles:
        shop.sql(f"DROP ROLE IF EXISTS {role}", "postgres")


@pytest.fixture
def shop(postgres: EmbeddedServer, tmp_path: Path) -> Iterator[Shop]:
    yield from _shop(postgres, tmp_path)


@pytest.fixture(params=["15", "18"])
def any_shop(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Shop]:
    yield from _shop(servers(request.param), tmp_path)


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
    for shop in _shop(servers(major), tmp_path):
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


# what is refused, with nothing dropped


def refused(shop: Shop, kind: type[HarnessError], said: str, **changes: Any) -> None:
    """The run is refused, and the database and its sessions are as they were."""
    shop.sql("CREATE TABLE mine (i int)")
    with psycopg.connect(shop.url, autocommit=True) as session:
        with pytest.raises(kind, match=said) as found:
            shop.start(**{"prepare": "true", "recreate_database": True, **changes})
        assert found.value.remedy
        assert session.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_a_role_without_createdb_is_refused(shop: Shop) -> None:
    role = shop.role()
    shop.sql(f"ALTER DATABASE {shop.name} OWNER TO {role}")
    url = f"postgresql://{role}:{role}@127.0.0.1:{shop.server.port}/{shop.name}"
    refused(shop, SetupError, f"{role} may not create databases", url=url)


def test_a_database_of_somebody_else_is_refused(shop: Shop) -> None:
    role = shop.role("CREATEDB")
    url = f"postgresql://{role}:{role}@127.0.0.1:{shop.server.port}/{shop.name}"
    refused(shop, SetupError, f"belongs to postgres, not to {role}", url=url)


def test_sessions_that_may_not_be_ended_are_refused_by_name(shop: Shop) -> None:
    role, service = shop.role("CREATEDB"), shop.role()
    shop.sql(f"ALTER DATABASE {shop.name} OWNER TO {role}")
    server = f"127.0.0.1:{shop.server.port}/{shop.name}"
    may_not = f"{role} may not end the sessions of {service}"
    with (
        psycopg.connect(f"postgresql://{service}:{service}@{server}"),
        pytest.raises(SetupError, match=may_not) as found,
    ):
        shop.start(url=f"postgresql://{role}:{role}@{server}", prepare="true", recreate_database=True)
    assert f'GRANT pg_signal_backend TO "{role}"' in found.value.remedy


@pytest.mark.parametrize("suffix", ["_mul_template", "_mul_new"])
def test_a_database_of_such_a_name_that_is_somebody_elses_is_left_alone(shop: Shop, suffix: str) -> None:
    shop.sql(f"CREATE DATABASE {shop.name}{suffix}", "postgres")
    refused(shop, UsageError, f'{suffix}, which does not say .*DROP DATABASE "{shop.name}{suffix}"')
    assert suffix in shop.databases()


def test_a_database_is_not_dropped_on_another_server_than_the_url_leads_to(
    shop: Shop, servers: Servers
) -> None:
    shop.sql("CREATE TABLE mine (i int)")
    shop.sql(f"ALTER DATABASE {shop.name} SET default_transaction_read_only = on")  # so that libpq goes on
    for other in _shop(servers("15"), shop.folder):
        other.sql(f"ALTER DATABASE {other.name} RENAME TO {shop.name}", "postgres")
        other.name = shop.name
        url = several_hosts(shop, shop.server, other.server) + "&target_session_attrs=read-write"
        with pytest.raises(GuardError, match=f"leads to the database {shop.name}, which is not"):
            shop.start(url=url, prepare="true", recreate_database=True)
        other.sql(f"DROP DATABASE {other.name}", "postgres")
    assert shop.sql("SELECT count(*) FROM mine") == [(0,)]
    assert shop.databases() == {""}


def test_a_database_that_is_not_there_yet_is_made_on_no_server_of_several(shop: Shop) -> None:
    shop.sql(f"DROP DATABASE {shop.name}", "postgres")
    with pytest.raises(GuardError, match="names 2 hosts"):
        shop.start(url=several_hosts(shop, shop.server, shop.server), prepare="true", recreate_database=True)
    assert shop.databases() == set()


def test_several_hosts_of_one_server_are_that_server(shop: Shop) -> None:
    shop.start(url=several_hosts(shop, shop.server, shop.server), prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]


def several_hosts(shop: Shop, *servers: EmbeddedServer) -> str:
    """A URL of the shop on all these servers; a role of one name and password is made on each."""
    for server in servers:
        Shop(server, "postgres", shop.folder).sql(
            "DO $$ BEGIN CREATE ROLE everywhere SUPERUSER LOGIN PASSWORD 'everywhere';"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://everywhere:everywhere@{hosts}/{shop.name}?connect_timeout=5"


def test_a_run_that_is_using_the_database_is_not_disturbed(shop: Shop) -> None:
    with RunLock.acquire(DatabaseUrl.parse(shop.url), "the-other-run"):
        refused(shop, UsageError, r"Another run is using .*the-other-run")


def test_a_run_that_re_creates_the_database_keeps_others_out_to_its_end(shop: Shop) -> None:
    with ExitStack() as other:
        shop.start(other, prepare="true", recreate_database=True)
        refused(shop, UsageError, "Another run is using the database")
        with pytest.raises(UsageError, match="Another run is using the database"):
            shop.start(prepare="true")
    shop.start(prepare="true", recreate_database=True)


def test_a_dump_of_a_newer_server_is_refused_before_anything_is_dropped(
    servers: Servers, postgres: EmbeddedServer, tmp_path: Path
) -> None:
    (newer,) = _one(postgres, tmp_path)
    dumps = {form: newer.dump(form) for form in ("custom", "plain")}
    for shop in _shop(servers("15"), tmp_path):
        for dump in dumps.values():
            said = "comes from a server of PostgreSQL 18, but the server is PostgreSQL 15"
            refused(shop, UsageError, said, prepare=None, from_dump=dump)
            shop.sql("DROP TABLE mine")


def _one(server: EmbeddedServer, folder: Path) -> tuple[Shop]:
    return (Shop(server, f"shop_{uuid4().hex[:8]}", folder),)


def test_a_database_that_the_server_will_not_drop_is_kept_whole(shop: Shop) -> None:
    shop.start(prepare="true", recreate_database=True)
    shop.sql("CREATE SUBSCRIPTION kept CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = NONE)")
    refused(shop, SetupError, "could not be made anew: .*subscription")
    assert shop.databases() == {"", "_mul_template"}
    shop.sql("DROP SUBSCRIPTION kept")


def test_what_pg_restore_could_not_do_is_said_and_the_next_run_can(shop: Shop) -> None:
    reader, source = shop.role(), f"{shop.name}_source"
    shop.server.create_database(source)
    shop.sql(f"{CONTENT}; GRANT SELECT ON shown TO {reader}", source)
    dump = shop.dump_of(source)
    shop.sql(f"DROP ROLE {reader}", "postgres")
    with pytest.raises(SetupError, match=f'role "{reader}" does not exist'):
        shop.start(from_dump=dump, recreate_database=True)
    shop.sql(f"CREATE ROLE {reader}", "postgres")
    shop.start(from_dump=dump, recreate_database=True)
    assert shop.items() == 1000
    shop.sql(f"DROP DATABASE {shop.name}_mul_template", "postgres")
    shop.sql(f"DROP OWNED BY {reader}")


def test_autovacuum_does_not_keep_an_ordinary_role_from_its_template(shop: Shop) -> None:
    owner = shop.role("CREATEDB")
    shop.sql(f"ALTER DATABASE {shop.name} OWNER TO {owner}")
    shop.sql(VACUUMED_FOR_LONG)
    server = f"postgresql://{owner}:{owner}@127.0.0.1:{shop.server.port}"
    running = (
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{shop.name}'"
        " AND backend_type = 'autovacuum worker'"
    )
    shop.sql("ALTER SYSTEM SET autovacuum_naptime = 1", "postgres")
    shop.sql("SELECT pg_reload_conf()", "postgres")
    try:
        shop.sql("INSERT INTO vacuumed SELECT generate_series(1, 100)")
        assert wait_until(lambda: bool(shop.sql(running, "postgres")), within=30)
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            Recreated(shop.name, connection).keep("dump none, prepare none", _sleep)
    finally:
        shop.sql("ALTER SYSTEM RESET autovacuum_naptime", "postgres")
        shop.sql("SELECT pg_reload_conf()", "postgres")
    assert shop.databases() == {"_mul_template"}


VACUUMED_FOR_LONG = """
    CREATE TABLE vacuumed (i int)
        WITH (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0);
    CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                   WHERE pid = pg_backend_pid() AND backend_type = 'autovacuum worker')
        THEN PERFORM pg_catalog.pg_sleep(60); END IF;
        RETURN i; END $$;
    CREATE INDEX ON vacuumed (slow(i));
"""
"""A table that autovacuum is not done with before the test is."""


# interruptions: whatever was reached, the next run finds its way


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The run was killed."""


KILLED = (
    (False, "_settings", "before"),
    (False, "_swap_in", "after"),
    (False, "empty", "after"),
    (False, "_rename_used", "before"),
    (False, "keep", "after"),
    (False, "copy", "after"),
    (True, "_settings", "before"),
    (True, "_drop", "before"),
    (True, "_rename", "before"),
)
"""Whether there is a template already, and the step at which the run is killed."""


@pytest.mark.parametrize(("made", "step", "when"), KILLED)
def test_a_run_stopped_at_any_step_leaves_a_start_for_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, made: bool, step: str, when: str
) -> None:
    shop.sql(f"ALTER DATABASE {shop.name} SET work_mem = '7MB'")
    if made:
        shop.start(prepare=PREPARE, recreate_database=True)
    with monkeypatch.context() as patch:
        _kill_at(patch, step, when)
        with pytest.raises(_Stopped):
            shop.start(prepare=PREPARE, recreate_database=True)
    shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]
    assert shop.sql("SHOW work_mem") == [("7MB",)]
    assert shop.databases() == {"", "_mul_template"}


def test_an_interruption_before_the_template_is_made_leaves_the_database_open(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kill_at(monkeypatch, "_rename_used", "before", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]


@pytest.mark.parametrize(("step", "when"), [("_rename_used", "after"), ("copy", "before")])
def test_an_interruption_that_leaves_the_template_alone_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    _kill_at(monkeypatch, step, when, KeyboardInterrupt)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True, said=said)
    by_hand = f'CREATE DATABASE "{shop.name}" TEMPLATE "{shop.name}_mul_template"'
    assert said[-1] == (
        f"{shop.name} is not there now, only its template: the next run copies it, and so does {by_hand}"
    )
    shop.sql(by_hand, "postgres")
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]


def test_an_interruption_with_the_copy_ready_puts_it_in_place(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start(prepare=PREPARE, recreate_database=True)
    _kill_at(monkeypatch, "_drop", "after", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]
    assert shop.databases() == {"", "_mul_template"}


PREPARE = (
    """python -c 'import os, psycopg; psycopg.connect(os.environ["MUL_DATABASE_URL"], autocommit=True)"""
    """.execute("CREATE TABLE seeded AS SELECT generate_series(1, 3)")'"""
)


def _kill_at(patch: pytest.MonkeyPatch, step: str, when: str, how: type[BaseException] = _Stopped) -> None:
    original = getattr(Recreated, step)

    def killed(self: Recreated, *arguments: Any) -> None:
        if when == "after":
            original(self, *arguments)
        if how is _Stopped:  # whoever is killed clears nothing up
            self._connection.close()
        raise how

    patch.setattr(Recreated, step, killed)
