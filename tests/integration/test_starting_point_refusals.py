"""What is refused of a starting point on a real server, with nothing dropped."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from harness.clock import wait_until
from harness.db.guard import RunLock
from harness.db.server import EmbeddedServer
from harness.db.template import Recreated
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, SetupError, UsageError
from tests.fix_postgres import Servers
from tests.fix_starting_point import CONTENT, PREPARE, Shop, a_shop, refused, rest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


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
    for other in a_shop(servers("15"), shop.folder):
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
    for shop in a_shop(servers("15"), tmp_path):
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
            Recreated(shop.name, connection).keep("dump none, prepare none", rest)
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
