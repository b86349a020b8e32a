"""One embedded server per test session, one empty database per test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from harness.db.server import EmbeddedServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A running server; its log is `postgres.log` in a temporary folder of the session."""
    with EmbeddedServer.start(log=tmp_path_factory.mktemp("postgres") / "postgres.log") as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[str]:
    """The URL of an empty database, password included; dropped with whoever is still connected."""
    name = f"test_{uuid4().hex[:12]}"
    yield postgres.create_database(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
