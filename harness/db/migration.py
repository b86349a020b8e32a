"""The migration child: Alembic's command or the user's own, in its own interpreter and session, traced.

Nothing of theirs is rewritten or parsed: the command finds its database as it always does (ini, env.py,
environment), and its output goes to a file. Which database that was is checked by the tracer before the first
statement; what the migration reached is read from the version table (`harness.db.migrator`), the exit code
second.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import psycopg

from harness.clock import Sleep, wait_until
from harness.core.trace import Record, parse
from harness.db.guard import Identity, connect
from harness.db.url import DatabaseUrl
from harness.environ import child_environment
from harness.errors import SetupError

__all__ = [
    "WRONG_DATABASE",
    "MigrationChild",
    "MigrationOrder",
    "TraceTail",
    "expectation",
    "read_relfilenodes",
    "terminate_backends",
    "tracer_environment",
    "try_to_terminate",
]

log = logging.getLogger("harness")

TRACER = Path(__file__).parent / "tracer"

WRONG_DATABASE = 3
"""Exit code of a migration that went to another database than the guarded one, before its first statement."""

Stopped = Literal["ended", "interrupted", "terminated", "killed"]


@dataclass(frozen=True)
class MigrationOrder:
    """What to run. `target` is anything Alembic takes: a revision, `head`, `branch@head`, `-1`, `base`.

    `own_command` runs in place of Alembic's, in `folder`; Alembic's runs in the folder of its ini file.
    `environment` is laid over the parent's for the child, for an env.py that reads its URL there.
    `lock_timeout` and `statement_timeout` (`5s`, `500ms`) are session defaults, which a SET of the migration
    overrides; they do not reach a connection whose URL has an `options` of its own. `expect_database` is
    `expectation(identity)`.
    """

    direction: Literal["upgrade", "downgrade"]
    target: str
    alembic_config: Path | None
    run_id: str
    trace_file: Path
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    lock_timeout: str | None = None
    statement_timeout: str | None = None
    expect_database: str | None = None
    own_command: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The command line. `-P`: a folder named alembic beside the ini must not shadow the library."""
        if self.own_command:
            return self.own_command
        ini = str(self._ini.absolute())
        return (sys.executable, "-P", "-m", "alembic", "-c", ini, self.direction, self.target)

    @property
    def cwd(self) -> Path:
        """The folder the command runs in."""
        if self.own_command:
            return (self.folder or Path()).absolute()
        return self._ini.absolute().parent

    @property
    def _ini(self) -> Path:
        if self.alembic_config is None:
            raise ValueError("an order without a command needs an Alembic configuration")
        return self.alembic_config

    @property
    def application_name(self) -> str:
        """What psycopg and psycopg2 connections call themselves; asyncpg does not read PGAPPNAME."""
        return f"mul-migration {self.run_id}"[:63]

    @property
    def defaults(self) -> dict[str, str]:
        """The server settings every connection of the migration starts with."""
        given = {"lock_timeout": self.lock_timeout, "statement_timeout": self.statement_timeout}
        return {name: value for name, value in given.items() if value is not None}

    def child_environment(self) -> dict[str, str]:
        """The environment of the child: the parent's, the order's, and what starts the tracer."""
        base = child_environment(self.environment)
        ours = {
            **tracer_environment(base, self.trace_file),
            "PGAPPNAME": self.application_name,
            "MUL_DEFAULT_OPTIONS": json.dumps(self.defaults),
            "MUL_EXPECT_DATABASE": self.expect_database or "",
        }
        options = " ".join(f"-c {name}={_escaped(value)}" for name, value in self.defaults.items())
        if options:
            # libpq lets the last -c win: an option the user gives overrides ours.
            ours["PGOPTIONS"] = _before(options, base.get("PGOPTIONS", ""), " ")
        return base | ours


def tracer_environment(base: Mapping[str, str], trace_file: Path) -> dict[str, str]:
    """What, laid over the environment `base`, starts the tracer in every Python below it."""
    return {
        "PYTHONPATH": _before(str(TRACER), base.get("PYTHONPATH", ""), os.pathsep),
        "MUL_TRACE_FILE": str(trace_file.absolute()),
    }


def _before(first: str, second: str, separator: str) -> str:
    return separator.join(part for part in (first, second) if part)


def _escaped(value: str) -> str:
    """A value inside PGOPTIONS, where a blank ends it
    (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS)."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


class TraceTail:
    """The records appended to a trace file since the last look; a line still being written waits for the
    next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.unreadable = 0

    def read(self) -> list[Record]:
        """New records, in the order they were written; [] while the file does not exist."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        records, unreadable = parse([*whole.decode(errors="replace").splitlines(), ""])
        self.unreadable += unreadable
        return records


class Process(Protocol):
    """What is used of `subprocess.Popen`, which gevent replaces in a Locust process."""

    pid: int

    def poll(self) -> int | None: ...


class MigrationChild:
    """One run of an order: `start`, then `poll` and `records` until it ended, or `stop`."""

    def __init__(self, order: MigrationOrder, spawn: Callable[..., Process] = subprocess.Popen) -> None:
        self.order = order
        self._spawn = spawn
        self._process: Process | None = None
        self._tail = TraceTail(order.trace_file)
        self._backends: set[int] = set()

    def start(self) -> None:
        """Start the command in a session of its own; its output is appended to the order's log file.

        Raises SetupError when there is no such program, or folder.
        """
        with self.order.log_file.open("ab") as log:
            try:
                self._process = self._spawn(
                    self.order.command,
                    cwd=self.order.cwd,
                    env=self.order.child_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise SetupError(
                    f"{self.order.command[0]} could not be started in {self.order.cwd}: {error.strerror}.",
                    "Check the command and its folder.",
                ) from None

    def poll(self) -> int | None:
        """The exit code, None while it runs; negative is the number of the signal that killed it."""
        if self._process is None:
            raise RuntimeError("the migration child has not been started")
        return self._process.poll()

    def records(self) -> list[Record]:
        """The trace records since the last call."""
        records = self._tail.read()
        self._backends.update(record["backend"] for record in records if record.get("kind") == "conn")
        return records

    @property
    def unreadable(self) -> int:
        """Lines of the trace that could not be read so far."""
        return self._tail.unreadable

    @property
    def backend_pids(self) -> tuple[int, ...]:
        """Server processes of the migration, as far as `records` has been called."""
        return tuple(sorted(self._backends))

    def kill(self) -> None:
        """SIGKILL to all of its session, which its backends outlive for as long as they do not notice."""
        self._signal(signal.SIGKILL)

    def stop(
        self, terminate: Callable[[Sequence[int]], object], *, sleep: Sleep = time.sleep, grace_s: float = 3.0
    ) -> tuple[Stopped, list[Record]]:
        """End it within about three times `grace_s`: SIGINT, then `terminate(backend_pids)`, then SIGKILL.

        psycopg2 does not answer SIGINT within a statement, and a backend outlives its killed client, so
        `terminate` is called after SIGKILL too. An error of `terminate` is logged: SIGKILL follows all the
        same. Returns what it took and the records since the last `records()`.
        """
        found: list[Record] = []
        steps: list[tuple[Stopped, Callable[[], object]]] = [
            ("interrupted", lambda: self._signal(signal.SIGINT)),
            ("terminated", lambda: self._terminate(terminate)),
            ("killed", lambda: self._signal(signal.SIGKILL)),
        ]
        how: Stopped = "ended"
        try:
            for name, step in steps:
                found += self.records()
                if self.poll() is not None:
                    break
                how = name
                step()
                wait_until(lambda: self.poll() is not None, grace_s, sleep)
        finally:
            self._signal(signal.SIGKILL)  # also what the command itself had started
        found += self.records()
        if how == "killed":
            self._terminate(terminate)
        return how, found

    def _terminate(self, terminate: Callable[[Sequence[int]], object]) -> None:
        try_to_terminate(terminate, self.backend_pids)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # nothing is left of the session


def expectation(*identities: Identity) -> str:
    """The order's `expect_database` for the databases that may be migrated."""
    return ",".join(f"{found.system_identifier}:{found.database_oid}" for found in identities)


def try_to_terminate(terminate: Callable[[Sequence[int]], object], pids: Sequence[int]) -> None:
    """Call `terminate(pids)` on the way to SIGKILL, which must follow: what it raises is logged."""
    try:
        terminate(pids)
    except Exception as error:  # noqa: BLE001 - whatever it is, the process must be killed
        said = error if isinstance(error, SetupError) else type(error).__name__
        log.warning("The migration's backends could not be ended: %s", said)


def terminate_backends(url: DatabaseUrl, pids: Sequence[int], databases: Sequence[str] = ()) -> int:
    """`pg_terminate_backend` for those of `pids` that are clients of this database, or of other `databases`
    of its server; returns how many there were. Raises SetupError when the database does not answer or the
    role may not do it."""
    if not pids:
        return 0
    try:
        with connect(url, application_name="mul-terminate") as connection:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = ANY(%s) AND backend_type = 'client backend'"
                " AND (datname = current_database() OR datname = ANY(%s))",
                [list(pids), list(databases)],
            ).fetchall()
    except psycopg.Error as error:
        user = url.resolved().user
        raise SetupError(
            f"The migration's backends could not be ended as {user}: {_reason(error)}.",
            f"Connect as the migration's role, or GRANT pg_signal_backend TO {user}.",
        ) from None
    return len(found)


def _reason(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__


def read_relfilenodes(url: DatabaseUrl) -> dict[int, int]:
    """Oid → file node of every table and materialized view of the database, against which rewrites are
    told. Raises SetupError when the database does not answer."""
    try:
        with connect(url, application_name="mul-catalog") as connection:
            rows = connection.execute(
                "SELECT oid::int8, relfilenode::int8 FROM pg_class"
                " WHERE oid >= 16384 AND relkind IN ('r', 'm') AND relfilenode <> 0"
            ).fetchall()
    except psycopg.Error as error:
        raise SetupError(f"The tables of {url.masked} could not be listed: {_reason(error)}.") from None
    return dict(rows)
