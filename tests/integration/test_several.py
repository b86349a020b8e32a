"""Several migrations of one run, each with its own history and database, driven by a session without load."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from harness.clock import wait_until
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import RunLock
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError
from harness.run.databases import check_databases, distinct, find_databases, lock_databases
from harness.run.preparation import prepare
from harness.run.session import Finished, Session
from tests.fix_controller import FakeLoad
from tests.fix_several import BILLING, SHOP

pytestmark = [pytest.mark.integration, pytest.mark.migration]

MIGRATIONS = Path(__file__).parents[1] / "migrations"
SAFE = MIGRATIONS / "safe" / "alembic.ini"
OTHER_TABLE = MIGRATIONS / "version_table" / "alembic.ini"
FAILING = MIGRATIONS / "failing" / "alembic.ini"

AT_A1 = """
    CREATE TABLE notes (id serial PRIMARY KEY, body text);
    INSERT INTO notes (body) SELECT 'note ' || n FROM generate_series(1, 1000) n;
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('a1');
"""

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > %s::interval"


@pytest.fixture
def databases(postgres: EmbeddedServer) -> Iterator[tuple[str, str]]:
    """Two databases on one server, both at revision `a1` of the safe history."""
    names = [f"test_{uuid4().hex[:12]}" for _ in range(2)]
    urls = [postgres.create_database(name) for name in names]
    for url in urls:
        with psycopg.connect(url) as connection:
            connection.execute(AT_A1)
    yield urls[0], urls[1]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def host() -> Iterator[str]:
    """A service that answers, and no more."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


Run = Callable[..., Finished]


@pytest.fixture
def run(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs migrations through a session with phases of a moment, and judges what was recorded."""
    monkeypatch.setattr("harness.run.controller.IMPACT_MINIMUM_S", 0.5)
    monkeypatch.setattr("harness.run.migration_episode.IMPACT_TAIL_S", 0.2)

    def run(own: str, *migrations: MigrationPlan, also: tuple[str, ...] = ()) -> Finished:
        urls = (own, *also, *(one.database_url for one in migrations if one.database_url))
        plan = Plan(
            host=host,
            database_url=own,
            migrations=migrations,
            allow_database=tuple(_name(url) for url in urls),
            run_root=str(tmp_path),
        )
        prepared = prepare(plan, lambda _: None)
        prepared.plan = replace(plan, warmup_s=0.1, baseline_s=0.2, recover_s=0.2)
        return Session(prepared, FakeLoad(), time.sleep, lambda _: None).run()

    return run


def _name(url: str) -> str:
    return DatabaseUrl.parse(url).resolved().dbname


def _sqlalchemy(url: str) -> str:
    return DatabaseUrl.parse(url).sqlalchemy()


def _environment(url: str) -> tuple[tuple[str, str], ...]:
    return (("TEST_DATABASE_URL", _sqlalchemy(url)), ("PYTHONDONTWRITEBYTECODE", "1"))


def a_step(name: str, url: str, ini: Path = SAFE, **changes: Any) -> MigrationPlan:
    step = MigrationPlan(name, str(ini), environment=_environment(url), upgrade="head")
    return replace(step, **changes)


def gate(finished: Finished, name: str, phase: str = "migrate") -> Any:
    return next(g for g in finished.verdict.gates if g.name == name and f"phase={phase}" in g.expression)


def a_queue(url: str) -> None:
    """A reader keeps the migration waiting, and another reader waits behind that for over a second."""
    with psycopg.connect(url) as holder, psycopg.connect(url, application_name="billing") as victim:
        holder.execute("SELECT count(*) FROM notes")
        assert wait_until(lambda: waiting(url, "0 s") == 1, 30)
        with ThreadPoolExecutor() as pool:
            waits = pool.submit(victim.execute, "SELECT body FROM notes WHERE id = 1")
            assert wait_until(lambda: waiting(url, "1.2 s") == 2, 10)
            holder.rollback()
            waits.result(timeout=20)


def waiting(url: str, age: str) -> int:
    """The sessions of the database that have waited for a lock for so long."""
    query = f"{WAITING} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode(), [age]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.quiet
def test_they_run_there_in_order_and_back_in_reverse_each_on_its_own_database(
    databases: tuple[str, str], run: Run
) -> None:
    shop, billing = databases
    steps = (
        a_step(SHOP, shop, downgrade="a1", lock_timeout="5s"),
        a_step(BILLING, billing, downgrade="a1", database_url=billing, lock_timeout="9s"),
    )
    with ThreadPoolExecutor() as pool:
        queue = pool.submit(a_queue, billing)
        finished = run(shop, *steps)
        queue.result()
    verdict = finished.verdict.as_json()
    told = [(m["name"], m["direction"], m["status"], m["to"]) for m in verdict["migrations"]]
    assert told == [
        (SHOP, "upgrade", "ok", "d4"),
        (BILLING, "upgrade", "ok", "d4"),
        (BILLING, "downgrade", "ok", "a1"),
        (SHOP, "downgrade", "ok", "a1"),
    ]
    begins = [migration["begin_at"] for migration in verdict["migrations"]]
    assert begins == sorted(begins)
    assert all(migration["traced"] for migration in verdict["migrations"])
    check_what_was_watched(finished)
    check_the_blame(finished)


def check_what_was_watched(finished: Finished) -> None:
    verdict = finished.verdict.as_json()
    assert verdict["waits"]["elsewhere"][BILLING]["complete"]
    assert gate(finished, "migration").status == gate(finished, "migration", "rollback").status == "pass"
    assert gate(finished, "catalog").status == gate(finished, "catalog", "rollback").status == "pass"
    timeouts = {s["lock_timeout_s"] for s in verdict["migrations"][1]["statements"] if s["revision"] == "c3"}
    assert timeouts == {9.0}


def check_the_blame(finished: Finished) -> None:
    waited = gate(finished, "lock_wait")
    assert waited.status == "fail"
    assert "of b2 in billing (ALTER TABLE notes" in waited.why
    (blamed,) = finished.verdict.as_json()["blame"]
    assert (blamed["migration"], blamed["revision"], blamed["relation"]) == (BILLING, "b2", "notes")
    assert "in billing: ALTER TABLE notes" in finished.view.headline.sentence


def test_two_histories_of_one_database_need_two_version_tables_and_no_more(
    databases: tuple[str, str], run: Run
) -> None:
    shop, _ = databases
    with psycopg.connect(shop) as connection:
        connection.execute("DROP TABLE notes, alembic_version")
    second = a_step("stars", shop, OTHER_TABLE, environment=(("DATABASE_URL", _sqlalchemy(shop)),))
    finished = run(shop, a_step("notes", shop, upgrade="a1"), second)
    told = [(m["name"], m["status"], m["from"], m["to"]) for m in finished.verdict.as_json()["migrations"]]
    assert told == [("notes", "ok", "base", "a1"), ("stars", "ok", "base", "b2")]
    assert gate(finished, "migration").status == "pass"
    assert "elsewhere" not in finished.verdict.as_json()["waits"]


def test_none_is_started_after_one_that_failed(databases: tuple[str, str], run: Run) -> None:
    shop, billing = databases
    with psycopg.connect(shop) as connection:
        connection.execute("DROP TABLE notes, alembic_version")
    finished = run(shop, a_step(SHOP, shop, FAILING), a_step(BILLING, billing, database_url=billing))
    assert gate(finished, "migration").status == "fail"
    assert gate(finished, "migration").why.endswith("billing never began")
    (told,) = (limit for limit in finished.verdict.limits if "not started" in limit)
    assert told == "The upgrade of billing was not started: shop, before it, did not end ok."
    with psycopg.connect(billing) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]


def test_each_is_held_to_its_own_database(databases: tuple[str, str], run: Run) -> None:
    shop, billing = databases
    astray = a_step(
        BILLING, shop, database_url=billing
    )  # its env.py goes to the other's, which may be migrated
    with pytest.raises(GuardError, match=rf"another database than \S+/{_name(billing)}"):
        run(shop, a_step(SHOP, shop), astray)


def test_a_further_database_does_not_take_the_place_of_ones_own(
    databases: tuple[str, str], run: Run, tmp_path: Path
) -> None:
    shop, archive = databases
    words = f"went to {_name(archive)} alone, never to {_name(shop)}"
    astray = a_step(SHOP, archive)  # its env.py goes there, where it may go as well
    with pytest.raises(GuardError, match=words):
        run(shop, astray, also=(archive,))

    script = tmp_path / "migrate.py"  # of which no `current` is known
    script.write_text(
        f"from alembic import command\nfrom alembic.config import Config\n"
        f"command.upgrade(Config({str(SAFE)!r}), 'head')\n"
    )
    finished = run(shop, replace(astray, command=f"{sys.executable} {script}"), also=(archive,))

    assert (gate(finished, "migration").status, finished.exit_code) == ("fail", 1)
    assert words in gate(finished, "migration").why
    with psycopg.connect(shop) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]


def test_a_further_database_that_another_run_uses_is_left_alone(databases: tuple[str, str], run: Run) -> None:
    shop, archive = databases
    with (
        RunLock.acquire(DatabaseUrl.parse(archive), "another"),
        pytest.raises(UsageError, match=f"using the database {_name(archive)}: mul-run another"),
    ):
        run(shop, a_step(SHOP, shop), also=(archive,))


def test_two_urls_of_one_database_are_one_and_each_database_is_held(databases: tuple[str, str]) -> None:
    shop, billing = databases
    again = shop.replace("127.0.0.1", "localhost")
    migrations = (MigrationPlan(SHOP, database_url=again), MigrationPlan(BILLING, database_url=billing))
    found = find_databases(Plan(migrations=migrations), shop, "run")
    assert [found[url].key for url in (shop, again, billing)] == ["", "", BILLING]
    with (
        lock_databases(distinct(found), "run"),
        pytest.raises(UsageError, match=f"using the database {_name(billing)}"),
    ):
        RunLock.acquire(DatabaseUrl.parse(billing), "another")
    RunLock.acquire(DatabaseUrl.parse(billing), "another").release()


def test_every_database_must_be_named(databases: tuple[str, str]) -> None:
    shop, billing = databases
    migrations = (MigrationPlan(SHOP), MigrationPlan(BILLING, database_url=billing))
    plan = Plan(database_url=shop, migrations=migrations, allow_database=(_name(shop),))
    with pytest.raises(GuardError, match=f"The database {_name(billing)}"):
        check_databases(plan)
    check_databases(replace(plan, allow_database=(_name(shop), _name(billing))))
