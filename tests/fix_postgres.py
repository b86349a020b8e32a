"""One embedded server per test session, one empty database per test; servers of other major versions on
demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from harness.db.server import EmbeddedServer, find_binaries
from tests.postgres_versions import MAJORS, programs

Servers = Callable[[str], EmbeddedServer]
"""From a major version, such as "15", to a running server of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        metavar="MAJOR,…",
        type=_majors,
        help=f"run the catalogue whole, on these PostgreSQL versions of {', '.join(MAJORS)}"
        " (default: on 18, a part of it on 15 too)",
    )


def _majors(text: str) -> tuple[str, ...]:
    majors = tuple(text.split(","))
    if unknown := set(majors) - set(MAJORS):
        raise pytest.UsageError(f"--postgres takes {', '.join(MAJORS)}, not {', '.join(sorted(unknown))}.")
    return majors


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A running server; its log is `postgres.log` in a temporary folder of the session."""
    with EmbeddedServer.start(log=tmp_path_factory.mktemp("postgres") / "postgres.log") as server:
        yield server


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Servers]:
    """A running server of any major version, started when it is first asked for; its log is
    `postgres.log` in a temporary folder of the session. The wheel's own version is the `postgres` fixture."""
    packaged = find_binaries().version.partition(".")[0]
    running: dict[str, EmbeddedServer] = {}

    with ExitStack() as stack:

        def server(major: str) -> EmbeddedServer:
            if major == packaged:
                found: EmbeddedServer = request.getfixturevalue("postgres")
                return found
            if major not in running:
                log = tmp_path_factory.mktemp(f"postgres{major}") / "postgres.log"
                started = EmbeddedServer.start(postgres_bin=programs(major), log=log)
                running[major] = stack.enter_context(started)
            return running[major]

        yield server


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[str]:
    """The URL of an empty database, password included; dropped with whoever is still connected."""
    name = f"test_{uuid4().hex[:12]}"
    yield postgres.create_database(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
