"""Filling the reference service's database, also where one is there already, and in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from harness.db.server import EmbeddedServer
from tests.fix_cache import command
from tests.fix_target import environment_of, run_alembic, running_service, seed

pytestmark = pytest.mark.integration


def seed_again(
    database_url: str, existing: str, rows: int, **settings: str
) -> subprocess.CompletedProcess[str]:
    arguments = ["seed", "--existing", existing, "--rows", str(rows), "--accounts", "2"]
    return subprocess.run(
        [sys.executable, "-m", "harness.target", *arguments],
        env=environment_of(database_url, **settings),
        capture_output=True,
        text=True,
    )


def state(database_url: str) -> tuple[str, int] | None:
    """The revision, and how many documents there are."""
    question = "SELECT version_num, (SELECT count(*) FROM documents) FROM alembic_version"
    with psycopg.connect(database_url) as connection:
        return connection.execute(question).fetchone()


@pytest.fixture
def database(postgres: EmbeddedServer, request: pytest.FixtureRequest) -> str:
    url = postgres.create_database(f"seed_{request.node.name[5:40]}")
    seed(url, rows=4, accounts=2)
    return url


def test_a_filled_database_is_refused(database: str) -> None:
    done = seed_again(database, "refuse", rows=6)
    assert done.returncode == 1
    assert "already holds 3 accounts" in done.stderr
    assert state(database) == ("v1", 4)


def test_a_filled_database_is_kept_as_it_is(database: str) -> None:
    run_alembic(database, "upgrade", "safe@head")
    assert seed_again(database, "keep", rows=6).returncode == 0
    assert state(database) == ("safe6", 4)


def test_what_is_kept_if_filled_is_filled_if_empty(postgres: EmbeddedServer) -> None:
    url = postgres.create_database("seed_kept_empty")
    assert seed_again(url, "keep", rows=6).returncode == 0
    assert state(url) == ("v1", 6)


def test_all_is_replaced_under_a_service_that_runs(database: str, cache_url: str, tmp_path: Path) -> None:
    own = cache_url.removesuffix("/0") + "/1"  # others have theirs in the first
    with running_service(database, tmp_path / "service.log", CACHE_URL=own) as service:
        run_alembic(database, "upgrade", "safe@head")
        command(own, "SET", "left", "over")
        assert seed_again(database, "replace", rows=6, CACHE_URL=own).returncode == 0
        assert state(database) == ("v1", 6)
        assert command(own, "EXISTS", "left") == 0
        person = service.sign_in("account-0002")
        assert len(person.get("/documents").json["items"]) == 3
