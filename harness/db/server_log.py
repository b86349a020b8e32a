"""Reads the server's log as it grows: the file of a server that the harness started, or through SQL.

Another server's log is read by `pg_read_binary_file` where it is csvlog or jsonlog and the role may.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg

from harness.core.observation import LogEntry
from harness.db.log_messages import CsvLog, JsonLog, LogFormat, StderrLog, as_entry

__all__ = ["LogTail", "fold_repeats", "open_log", "why_no_file", "zone_of"]

CHUNK = 1 << 20
CHUNKS_PER_READ = 8

FORMATS: dict[str, Callable[[tzinfo], LogFormat]] = {"jsonlog": JsonLog, "csvlog": CsvLog}

WRITES_NEITHER = (
    "The server writes neither csvlog nor jsonlog: set logging_collector = on and "
    "log_destination = 'stderr,csvlog'."
)


class LogTail:
    """The entries of a log since it was opened; `read` hands back the bytes since its last call."""

    def __init__(self, read: Callable[[], bytes], parser: LogFormat, database: str | None = None) -> None:
        self._read = read
        self._parser = parser
        self._database = database
        self._begun = b""

    def entries(self, ahead_s: float) -> list[LogEntry]:
        """What was logged since the last call; `ahead_s` is the server's clock less the run's."""
        new = self._begun + self._read()
        whole = new[: new.rfind(b"\n") + 1]
        self._begun = new[len(whole) :]
        return self._entries(whole.decode(errors="replace"), ahead_s) if whole or not new else []

    def last(self, ahead_s: float) -> list[LogEntry]:
        """The same once more, with a message that might have gone on."""
        return self.entries(ahead_s) + self._entries("", ahead_s)

    def _entries(self, text: str, ahead_s: float) -> list[LogEntry]:
        found = (
            as_entry(message, message.time - ahead_s)
            for message in self._parser.feed(text)
            if message.database in (None, self._database)
        )
        return [entry for entry in found if entry is not None]


def fold_repeats(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """The same error of the same application, many times over, becomes one entry with its `count`."""
    folded: dict[object, LogEntry] = {}
    for number, entry in enumerate(entries):
        key = (entry.sqlstate, entry.message, entry.application) if entry.kind == "error" else number
        first = folded.get(key)
        folded[key] = entry if first is None else replace(first, count=first.count + entry.count)
    return list(folded.values())


def open_log(file: str | None, connection: psycopg.Connection) -> tuple[LogTail | None, str]:
    """The log from now on, or None and why it cannot be read, with the remedy.

    `file` is the log of a server that the harness started; without one the server is asked for its own.
    """
    if file is not None:
        try:
            return LogTail(_File(Path(file)), StderrLog(UTC)), ""
        except OSError as error:
            return None, why_no_file(error)
    try:
        return _through_sql(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        return None, f"The server's log may not be read ({error.diag.message_primary}): {_grant(connection)}"
    except psycopg.Error as error:
        return None, f"The server's log cannot be read: {error.diag.message_primary or type(error).__name__}."


def why_no_file(error: OSError) -> str:
    """Why the log of a server that the harness started cannot be read; its folder is not named."""
    name = os.path.basename(str(error.filename or "")) or "file"
    return f"The server's log {name} cannot be read: {error.strerror or type(error).__name__}."


class _File:
    """The bytes appended to a file since it was opened; raises OSError when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def __call__(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        return new


class _ServerFile:
    """The same of the server's current log file, followed when the server begins another."""

    def __init__(self, connection: psycopg.Connection, kind: str, path: str) -> None:
        self._connection = connection
        self._kind = kind
        self._path = path
        self._offset = _size(connection, path)

    def __call__(self) -> bytes:
        new = self._rest()
        current = _current(self._connection, self._kind)
        if current is not None and current != self._path:
            self._path, self._offset = current, 0
            new += self._rest()
        return new

    def _rest(self) -> bytes:
        found = b""
        for _ in range(CHUNKS_PER_READ):
            row = self._connection.execute(
                "SELECT pg_read_binary_file(%s, %s, %s, true)", [self._path, self._offset, CHUNK]
            ).fetchone()
            chunk = bytes(row[0]) if row and row[0] is not None else b""
            self._offset += len(chunk)
            found += chunk
            if len(chunk) < CHUNK:
                break
        return found


def _through_sql(connection: psycopg.Connection) -> tuple[LogTail | None, str]:
    row = connection.execute("SELECT current_setting('log_timezone'), current_database()").fetchone()
    zone_name, database = row or ("", "")
    kinds = [(kind, path) for kind in FORMATS if (path := _current(connection, kind))]
    if not kinds:
        return None, WRITES_NEITHER
    kind, path = kinds[0]
    zone = zone_of(zone_name)
    if zone is None:
        return None, f"The server's log_timezone {zone_name} is not known here: set it to UTC."
    read = _ServerFile(connection, kind, path)
    read()  # whether the role may
    return LogTail(read, FORMATS[kind](zone), database), ""


def zone_of(name: str) -> tzinfo | None:
    """The time zone of that name; None where it is not known.

    UTC needs no database of time zones, which small container images lack.
    """
    if name in ("UTC", "Etc/UTC", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _current(connection: psycopg.Connection, kind: str) -> str | None:
    if kind == "jsonlog" and connection.info.server_version < 150000:
        return None
    row = connection.execute("SELECT pg_current_logfile(%s)", [kind]).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _size(connection: psycopg.Connection, path: str) -> int:
    row = connection.execute(
        "SELECT size FROM pg_ls_logdir() WHERE name = %s", [os.path.basename(path)]
    ).fetchone()
    return int(row[0]) if row else 0


def _grant(connection: psycopg.Connection) -> str:
    role = psycopg.sql.Identifier(connection.info.user).as_string(None)
    named = f"GRANT EXECUTE ON FUNCTION pg_current_logfile(text) TO {role}; "  # pg_monitor's from 16 on
    return (
        f"GRANT pg_monitor TO {role}; "
        f"{named if connection.info.server_version < 160000 else ''}"
        f"GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO {role};"
    )
