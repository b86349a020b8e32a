"""The observer's process on a real server, and clients that wait there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.clock import monotonic, wait_until
from harness.core.observation import LogEntry, Observed, observed, observer_line
from harness.core.waits import Wait
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.server import EmbeddedServer

MIGRATION = "mul-migration test"


@dataclass
class Watch:
    """A running observer and what it has written."""

    child: ObserverChild
    directory: Path
    zero: float

    @property
    def now(self) -> float:
        return monotonic() - self.zero

    def lines(self, name: str) -> list[dict[str, Any]]:
        file = self.directory / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def text(self, name: str) -> str:
        return (self.directory / name).read_text()

    @property
    def state(self) -> Observed:
        return observed(json.loads((self.directory / "observer.json").read_text()))

    def waits(self) -> list[Wait]:
        """Its waits, once it was stopped."""
        self.child.stop()
        return [Wait.from_json(line) for line in self.lines("locks.ndjson")]

    def log(self, kind: str) -> list[LogEntry]:
        found = [observer_line(line) for line in self.lines("database.ndjson")]
        return [entry for entry in found if isinstance(entry, LogEntry) and entry.kind == kind]

    def points(self) -> list[dict[str, Any]]:
        return [line for line in self.lines("database.ndjson") if line["what"] == "point"]


Start = Callable[..., Watch]


@pytest.fixture
def watch(tmp_path: Path, postgres: EmbeddedServer, database: str) -> Iterator[Start]:
    started = []

    def start(url: str = database, log: Path | None = postgres.log, **processes: int) -> Watch:
        (tmp_path / "logs").mkdir()
        zero = monotonic()
        order = Order(tmp_path, url, zero, str(log) if log else None, processes, MIGRATION)
        child = ObserverChild(order, tmp_path / "logs" / "observer.log")
        child.start()
        started.append(child)
        found = Watch(child, tmp_path, zero)
        assert wait_until(lambda: bool(found.points()), within=10), _said(tmp_path)
        return found

    yield start
    for child in started:
        child.stop()


def _said(directory: Path) -> str:
    return (directory / "logs" / "observer.log").read_text()


def connect(url: str, name: str = "app") -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, application_name=name)


@dataclass
class Client:
    """A session in a thread that runs one statement and times it by its own clock."""

    url: str
    sql: str
    name: str = "app"
    pid: int = 0
    waited_s: float = 0.0
    error: str | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.connection = connect(self.url, self.name)
        self.pid = self.connection.info.backend_pid
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        begun = monotonic()
        try:
            self.connection.execute(self.sql)
        except psycopg.Error as error:
            self.error = error.sqlstate
        self.waited_s = monotonic() - begun

    def join(self) -> None:
        self.thread.join(20)
        self.connection.close()


def blocked(url: str, count: int) -> bool:
    """Whether so many sessions of this database wait for a lock."""
    with connect(url, "test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return bool(row and row[0] == count)
