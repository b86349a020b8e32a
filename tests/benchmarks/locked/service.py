"""The service of one query on its database, and the command of a run of the harness against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from harness.db.server import EmbeddedServer

HERE = Path(__file__).parent


class Service:
    """The service on its database, both of this benchmark alone."""

    def __init__(self, database_url: str, process: subprocess.Popen[str], port: int) -> None:
        self.database_url = database_url
        self.host = f"http://127.0.0.1:{port}"
        self._process = process

    @classmethod
    @contextmanager
    def run(cls) -> Iterator[Service]:
        """A new database with one row, served."""
        command = [sys.executable, "-m", "tests.benchmarks.locked.server"]
        with EmbeddedServer.start() as server:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE items (id int PRIMARY KEY, v int)")
                connection.execute("INSERT INTO items VALUES (1, 7)")
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "DATABASE_URL": server.url},
            ) as process:
                assert process.stdout is not None
                yield cls(server.url, process, int(process.stdout.readline()))

    def answered(self) -> list[float]:
        """When it answered, since this was last asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        said: list[float] = json.loads(self._process.stdout.readline())
        return said

    def lock(self, after: float, seconds: float) -> None:
        """Hold the table, later."""
        time.sleep(after)
        with psycopg.connect(self.database_url) as connection:
            connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)


def harness_run(service: Service, runs: Path) -> tuple[list[str], dict[str, str]]:
    """A run against the service, and its environment; what it migrates is for further flags to say."""
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "harness_locustfile.py"), "--headless"]
    database = ["--alembic-config", str(HERE / "alembic.ini"), "--allow-database", "postgres"]
    where = ["--run-dir", str(runs), "--host", service.host, "--probe-time", "0"]
    urls = {"DATABASE_URL": service.database_url, "MUL_DATABASE_URL": service.database_url}
    return [*command, *where, *database], {**os.environ, **urls}
