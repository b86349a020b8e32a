"""The migration's statements: each on the timeline, and equal ones of a revision together in the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.words import clean, count, plural, seconds, shorten

__all__ = ["EFFECTS", "SHORT_SQL", "Span", "Statement", "grouped", "spans"]

SHORT_SQL = 96
"""Characters of a statement where it is only mentioned."""

EFFECTS = {
    "all": "blocks reads and writes",
    "writes": "blocks writes",
    "none": "blocks neither",
    "unknown": "locks not recorded",
}
"""What the strongest lock of a statement does to others' reads and writes of the same table."""

_EFFECT_OF = {
    "AccessExclusiveLock": "all",
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
    "ShareUpdateExclusiveLock": "none",
    "RowExclusiveLock": "none",
    "RowShareLock": "none",
    "AccessShareLock": "none",
}
"""From the conflict table in https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES;
strongest first."""


@dataclass(frozen=True)
class Span:
    """One statement as it was executed; instants in seconds since the start of the run."""

    revision: str
    sql: str
    start: float
    duration: float | None  # of all executions together; None: its end was not seen
    end: float  # where there is no duration, the end of the migration
    executions: int  # more than one: the tracer kept only the sum of fast repeats
    effect: str  # a key of EFFECTS
    locks: tuple[str, ...]
    rows: int | None
    error: str
    lock_timeout: str
    blocked: str


@dataclass(frozen=True)
class Statement:
    """The same SQL of one revision, executed `times` times; every number already in words."""

    revision: str
    sql: str
    short: str
    times: str
    started: str
    duration: str  # all executions together
    longest: str
    longest_s: float  # of fast repeats, whose longest is unknown, the mean
    unfinished: bool
    rows: str
    lock_timeout: str
    effect: str
    locks: tuple[str, ...]
    blocked: str
    error: str


def spans(statements: Iterable[Mapping[str, Any]], until: float) -> tuple[Span, ...]:
    """The statements that were begun, in their order; `until` is when the migration ended."""
    return tuple(_span(s, until) for s in statements if s.get("started_at") is not None)


def grouped(executed: Sequence[Span]) -> tuple[Statement, ...]:
    """Equal statements of a revision as one, in the order of their first execution.

    A backfill in batches is one statement to its author, not two hundred.
    """
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in executed:
        groups.setdefault((span.revision, span.sql), []).append(span)
    return tuple(_statement(group) for group in groups.values())


def _span(statement: Mapping[str, Any], until: float) -> Span:
    locks = statement.get("locks") or ()
    start, duration = float(statement["started_at"]), statement.get("duration_s")
    return Span(
        revision=clean(statement.get("revision") or "no revision"),
        sql=clean(statement.get("sql") or "").strip(),
        start=start,
        duration=duration,
        end=max(start, until) if duration is None else start + duration,
        executions=int(statement.get("executions") or 1),
        effect=_effect(str(lock.get("mode")) for lock in locks),
        locks=(*map(_lock, locks), *(f"rewrites {clean(name)}" for name in statement.get("rewrites") or ())),
        rows=statement.get("rows"),
        error=_error(statement),
        lock_timeout=_timeout(statement.get("lock_timeout_s")),
        blocked=_blocked(statement.get("blocked") or {}),
    )


def _statement(group: Sequence[Span]) -> Statement:
    longest = max(group, key=_length)
    rows = [span.rows for span in group if span.rows is not None]
    errors = dict.fromkeys(span.error for span in group if span.error)
    known = [span.duration for span in group if span.duration is not None]
    times = sum(span.executions for span in group)
    return Statement(
        revision=longest.revision,
        sql=longest.sql,
        short=shorten(longest.sql, SHORT_SQL),
        times=f"× {count(times)}" if times > 1 else "",
        started=seconds(group[0].start),
        duration=seconds(sum(known) if known else None),
        longest=_longest(longest, folded=times > len(group)),
        longest_s=_length(longest),
        unfinished=longest.duration is None,
        rows=count(sum(rows) if rows else None),
        lock_timeout=longest.lock_timeout,
        effect=longest.effect,
        locks=longest.locks,
        blocked=longest.blocked,
        error="; ".join(errors),
    )


def _length(span: Span) -> float:
    """Seconds of one execution: of fast repeats, their mean."""
    return (span.end - span.start) / span.executions


def _longest(span: Span, folded: bool) -> str:
    """Among executions of which only a sum is known, one took at least their mean."""
    if span.duration is None:
        return "no end seen"
    return f"at least {seconds(_length(span))}" if folded else seconds(span.duration)


def _error(statement: Mapping[str, Any]) -> str:
    state, error = statement.get("sqlstate"), shorten(clean(statement.get("error") or ""), 160)
    return ": ".join(part for part in (f"SQLSTATE {clean(state)}" if state else "", error) if part)


def _effect(modes: Iterable[str]) -> str:
    effects = {_EFFECT_OF.get(mode, "unknown") for mode in modes}
    return next((effect for effect in EFFECTS if effect in effects), "unknown")


def _lock(lock: Mapping[str, Any]) -> str:
    return f"{clean(lock.get('mode'))} on {clean(lock.get('relation'))}, held {seconds(lock.get('hold_s'))}"


def _timeout(value: float | None) -> str:
    """PostgreSQL's `lock_timeout` of 0 waits for ever."""
    return "none" if value == 0 else seconds(value)


def _blocked(blocked: Mapping[str, Any]) -> str:
    if not blocked.get("sessions"):
        return ""
    longest = seconds(blocked.get("longest_s"))
    return f"{plural(blocked['sessions'], 'session')} waited, the longest {longest}"
