"""A PostgreSQL server on 127.0.0.1 that the harness started: what a run and its drills do with it, whether it
runs as processes of this machine (`harness.db.server`) or in a container (`harness.run.postgres_container`).
"""

from __future__ import annotations

import re
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from harness.db.log_messages import LOG_LINE_PREFIX
from harness.errors import UsageError

__all__ = [
    "PORT_ATTEMPTS",
    "READY_WITHIN_S",
    "SETTINGS",
    "LocalServer",
    "answers",
    "config_text",
    "free_port",
]

READY_WITHIN_S = 30.0
PORT_ATTEMPTS = 5

SETTINGS = {
    "compute_query_id": "on",  # as where pg_stat_statements is loaded
    "deadlock_timeout": "1s",
    "dynamic_shared_memory_type": "mmap",  # with the data, so that a killed server leaves none behind
    "fsync": "on",
    "log_line_prefix": LOG_LINE_PREFIX,
    "log_lock_waits": "on",
    "log_min_error_statement": "error",
    "log_timezone": "UTC",
    "max_wal_size": "4GB",
    "min_wal_size": "1GB",  # as on a server that has run for long: segments are reused, not made anew
    "shared_buffers": "512MB",
    "track_activity_query_size": "4kB",  # SQLCommenter's comment stands at a query's end
}
"""As in production where it matters to a migration."""


class LocalServer(ABC):
    """A running server; `stop` it, or use it as a context manager. Its superuser is `postgres`."""

    def __init__(self, port: int, password: str, log: Path) -> None:
        self.port = port
        self.log = log
        self._password = password

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, password included."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The URL of the database `name`, password included."""
        return _url(self.port, self._password, name)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create the database `name`, a copy of `template` (which nobody may be using); returns its URL."""
        command = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            command += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with _connect(self.port, self._password) as connection:
            connection.execute(command)
        return self.database_url(name)

    def checkpoint(self) -> None:
        """Have it write its buffers to its files."""
        with _connect(self.port, self._password) as connection:
            connection.execute("CHECKPOINT")

    def answers(self) -> bool:
        """Whether a session can be had now."""
        return answers(self.port, self._password)

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The postmaster's process; None where it is not one of this machine's."""

    @abstractmethod
    def settle(self) -> None:
        """Write to disk what filling the databases left in memory.

        Else the kernel writes it back some ten to thirty seconds later, and every commit waits meanwhile.
        """

    @abstractmethod
    def alive(self) -> bool:
        """Whether the server still runs."""

    @abstractmethod
    def shut_down(self, how: signal.Signals = signal.SIGINT) -> None:
        """Have it end: SIGINT ends its sessions first (fast), SIGQUIT does not, so that it recovers from its
        log at the next start (immediate). Does not wait; `alive` says when it is over.
        """

    @abstractmethod
    def launch(self) -> None:
        """Serve the same data at the same address once more, after its end. Does not wait; see `answers`."""

    @abstractmethod
    def pause(self) -> None:
        """Stop all its processes where they are; its connections stay open and nothing answers on them.

        Raises SetupError when it has ended.
        """

    @abstractmethod
    def resume(self) -> None:
        """Have its processes go on. Does nothing to a server that was not paused."""

    @abstractmethod
    def keep(self, database: str) -> str:
        """Leave it running when this process ends, until another start sweeps it; returns the command that
        opens `database`.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop the server within a few seconds and remove its data; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def answers(port: int, password: str) -> bool:
    """Whether a session of the superuser can be had on 127.0.0.1 at that port."""
    try:
        _connect(port, password).close()
    except psycopg.OperationalError:
        return False
    return True


def _url(port: int, password: str, database: str) -> str:
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/{database}"


def _connect(port: int, password: str) -> psycopg.Connection:
    # hostaddr and sslmode are said outright because PGHOSTADDR and PGSSLMODE would otherwise apply
    url = _url(port, password, "postgres")
    return psycopg.connect(url, hostaddr="127.0.0.1", sslmode="disable", connect_timeout=2, autocommit=True)


def config_text(settings: Mapping[str, str]) -> str:
    """Lines for postgresql.conf; on the command line they would outrank ALTER SYSTEM."""
    lines = []
    for name, value in settings.items():
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", name) or "\n" in value:
            raise UsageError(f"{name!r} is not a PostgreSQL setting on one line.", "Write it as name=value.")
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{escaped}'\n")
    return "".join(lines)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
