"""What PostgreSQL's server log says about locks, deadlocks and errors, from its three formats.

stderr with `LOG_LINE_PREFIX`, csvlog and jsonlog
(https://www.postgresql.org/docs/current/runtime-config-logging.html). The texts of lock waits are English
only; an error is known by its SQLSTATE whatever the language.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Protocol

from harness.core.observation import LogEntry

__all__ = [
    "LOG_LINE_PREFIX",
    "CsvLog",
    "JsonLog",
    "LogFormat",
    "LogMessage",
    "StderrLog",
    "as_entry",
    "shorten",
]

LOG_LINE_PREFIX = '%m [%p] %e %Q "%a" '
"""Time, pid, SQLSTATE, query id and application of the servers that the harness starts."""

QUERY_HEAD, QUERY_TAIL = 3000, 500
"""How much of a long query is kept: SQLCommenter's comment, which has the trace, stands at its end."""

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) \S+ \[(?P<pid>\d+)\] (?P<sqlstate>[0-9A-Z]{5}) "
    r'(?P<query_id>-?\d+) "(?P<application>.*?)" (?P<severity>[A-Z0-9]+):  (?P<text>.*)',
    re.DOTALL,
)
LOCK = re.compile(
    r"process (?P<pid>\d+) (?P<what>still waiting for|acquired) (?P<mode>\w+) on (?P<object>.+?)"
    r" after (?P<ms>\d+\.\d+) ms"
)
RELATION = re.compile(r"\brelation (\d+) of database")
BLOCKED = re.compile(r"Process (\d+) waits for .+; blocked by process \d+\.")
SIDE = re.compile(r"^Process (\d+): ", re.MULTILINE)

DEADLOCK = "40P01"
CONTINUATIONS = {"DETAIL": "detail", "STATEMENT": "statement"}
PARTS = frozenset({*CONTINUATIONS, "HINT", "CONTEXT", "QUERY", "LOCATION", "BACKTRACE"})


@dataclass(frozen=True)
class LogMessage:
    """One message; `time` is the server's, in seconds since the epoch."""

    time: float
    pid: int
    sqlstate: str
    severity: str
    text: str
    application: str = ""
    detail: str = ""
    statement: str = ""
    database: str | None = None


class LogFormat(Protocol):
    """Parses a log as it grows. A message is handed back once it is known to be whole."""

    def feed(self, text: str) -> list[LogMessage]:
        """The messages that `text`, whole lines, completes; with no text, what was held back."""


def shorten(query: str) -> str:
    """The query, without the middle of a very long one."""
    if len(query) <= QUERY_HEAD + QUERY_TAIL:
        return query
    return f"{query[:QUERY_HEAD]} … {query[-QUERY_TAIL:]}"


def as_entry(message: LogMessage, at: float) -> LogEntry | None:
    """What of the message belongs into the record, at run time `at`; None for everything else."""
    kind = _kind(message)
    if kind is None:
        return None
    entry = LogEntry(
        at=at,
        kind=kind,
        pid=message.pid,
        sqlstate=None if message.sqlstate == "00000" else message.sqlstate,
        message=message.text[:QUERY_HEAD],
        query=shorten(message.statement),
        application=message.application,
        relation=_relation(message.text) or _relation(message.detail),
    )
    if kind == "deadlock":
        sides = _sides(message)
        return replace(entry, pids=tuple(sides), queries=tuple(map(shorten, sides.values())))
    if found := LOCK.search(message.text):
        return replace(entry, pids=(int(found["pid"]),), wait_s=float(found["ms"]) / 1000)
    return entry


def _kind(message: LogMessage) -> str | None:
    if found := LOCK.match(message.text):
        return "lock_acquired" if found["what"] == "acquired" else "lock_wait"
    if message.severity in ("FATAL", "PANIC"):
        return "fatal"
    if message.sqlstate[:2] in ("00", "01", "02") or message.severity in ("LOG", "WARNING", "NOTICE"):
        return None
    return "deadlock" if message.sqlstate == DEADLOCK else "error"


def _relation(text: str) -> str | None:
    found = RELATION.search(text)
    return found[1] if found else None


def _sides(message: LogMessage) -> dict[int, str]:
    """Every side of a deadlock with its query, the victim first."""
    waits, *_ = SIDE.split(message.detail, maxsplit=1)
    sides = {message.pid: message.statement} | {int(pid): "" for pid in BLOCKED.findall(waits)}
    parts = SIDE.split(message.detail)[1:]
    said = {int(pid): query.rstrip("\n") for pid, query in zip(parts[::2], parts[1::2], strict=True)}
    return sides | {pid: query for pid, query in said.items() if pid in sides}


class StderrLog:
    """stderr with `LOG_LINE_PREFIX`. Lines that another prefix begins belong to nobody and are left out."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._held: LogMessage | None = None
        self._part = ""

    def feed(self, text: str) -> list[LogMessage]:
        """A message is whole when the next begins."""
        if not text:
            return self._release()
        done = []
        for line in _lines(text):
            if line.startswith("\t"):
                self._append("\n" + line[1:])
                continue
            found = LINE.fullmatch(line)
            if found and found["severity"] in PARTS:
                self._part = CONTINUATIONS.get(found["severity"], "")
                self._append(found["text"])
                continue
            done += self._release()
            if found:
                self._held, self._part = self._begin(found), "text"
        return done

    def _begin(self, found: re.Match[str]) -> LogMessage:
        time = datetime.fromisoformat(found["time"]).replace(tzinfo=self._zone).timestamp()
        pid, sqlstate, application = int(found["pid"]), found["sqlstate"], found["application"]
        return LogMessage(time, pid, sqlstate, found["severity"], found["text"], application)

    def _append(self, text: str) -> None:
        if self._held is not None and self._part:
            before = getattr(self._held, self._part)
            self._held = replace(self._held, **{self._part: before + text})

    def _release(self) -> list[LogMessage]:
        held, self._held, self._part = self._held, None, ""
        return [] if held is None else [held]


class CsvLog:
    """csvlog, whose records may have line breaks within quotes."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._begun = ""

    def feed(self, text: str) -> list[LogMessage]:
        """A record is whole when its quotes are closed."""
        return [self._message(row) for row in csv.reader(self._records(text)) if len(row) > 22]

    def _records(self, text: str) -> Iterator[str]:
        for line in _lines(text):
            self._begun += line + "\n"
            if self._begun.count('"') % 2 == 0:
                record, self._begun = self._begun, ""
                yield record

    def _message(self, row: list[str]) -> LogMessage:
        return LogMessage(
            time=_epoch(row[0], self._zone),
            pid=int(row[3]),
            sqlstate=row[12],
            severity=row[11],
            text=row[13],
            application=row[22],
            detail=row[14],
            statement=row[19],
            database=row[2] or None,
        )


class JsonLog:
    """jsonlog (since PostgreSQL 15): one object a line."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def feed(self, text: str) -> list[LogMessage]:
        """A line is a message."""
        return [self._message(json.loads(line)) for line in _lines(text) if line.startswith("{")]

    def _message(self, line: dict[str, object]) -> LogMessage:
        def said(name: str) -> str:
            return str(line.get(name, ""))

        return LogMessage(
            time=_epoch(said("timestamp"), self._zone),
            pid=int(said("pid")),
            sqlstate=said("state_code") or "00000",
            severity=said("error_severity"),
            text=said("message"),
            application=said("application_name"),
            detail=said("detail"),
            statement=said("statement"),
            database=said("dbname") or None,
        )


def _epoch(text: str, zone: tzinfo) -> float:
    """`2026-01-31 12:00:00.123 CET`: the abbreviation is ambiguous, so the zone is `log_timezone`'s."""
    return datetime.fromisoformat(text.rpartition(" ")[0]).replace(tzinfo=zone).timestamp()


def _lines(text: str) -> list[str]:
    """`str.splitlines` would part a query at a form feed, too."""
    return text.removesuffix("\n").split("\n") if text else []
