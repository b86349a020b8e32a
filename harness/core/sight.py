"""Sight: whether the database was watched well enough for silence to mean that nothing happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.migrations import Migration
from harness.core.observation import BLIND_S, LogEntry
from harness.core.record import Watch
from harness.core.timeline import Window

__all__ = ["why_unreadable", "why_unseen"]

UNCONNECTED_S = 0.9
"""A time without a connection in which a wait of a second could begin and end unseen."""

EDGE_S = 1.0
"""How much of a phase's edge the observer may miss: it starts before it and ends after it."""


def why_unseen(facts: Facts, phase: str) -> str:
    """Why a wait of a second in the phase may not have been seen; "" when it would have been."""
    window = facts.timeline.window(phase)
    if window is None:
        return f"the run never came to phase {phase}, or no statement ran in it"
    migrations = facts.in_phase(phase)
    for database in dict.fromkeys(migration.database for migration in migrations) or ("",):
        if why := _why_unwatched(facts, window, database):
            return f"{database}: {why}" if database else why
    if not migrations:
        return "none of the migration's sessions is known"
    return next((why for migration in migrations if (why := _why_unknown(migration))), "")


def _why_unknown(migration: Migration) -> str:
    """Why a wait for the migration could be taken for one for somebody else; a guessed session may be
    somebody else's."""
    if migration.backends - migration.guessed:
        return ""
    sessions = f"the sessions of {migration.name}" if migration.name else "the migration's sessions"
    return f"none of {sessions} is known{' for sure' if migration.guessed else ''}"


def _why_unwatched(facts: Facts, window: Window, database: str) -> str:
    """The same of one of the phase's databases."""
    watch = facts.record.watches.get(database, Watch())
    observed = watch.observed
    if observed.why_blind:
        return observed.why_blind
    if observed.began_at is None or not observed.polls:
        return "nobody watched the database's waits"
    if observed.ended_at is None:
        return "the observer of the database died before its end"
    if observed.began_at > window.start + EDGE_S or observed.ended_at < _last(facts, window) - EDGE_S:
        return "the observer of the database did not watch the whole phase"
    if (gap_s := _longest_within(window, observed.gaps)) > UNCONNECTED_S:
        return f"the observer had no connection to the database for {format_duration(gap_s)}"
    blind_s = _longest_within(window, observed.blind)
    if blind_s > BLIND_S and not (observed.log_read and observed.waits_logged):
        return f"the observer of the database was blind for {format_duration(blind_s)}"
    for file in ("locks.ndjson", "database.ndjson"):
        if why := why_unreadable(facts, file, database):
            return why
    return _unseen_in_log(watch, window)


def why_unreadable(facts: Facts, file: str, database: str = "") -> str:
    """Why nothing follows from what a file of an observer does not tell; "" when it was read whole."""
    name = f"{database}/{file}" if database else f" {file}"
    return next((text for text in facts.record.missing if name in f" {text}"), "")


def _longest_within(window: Window, times: Iterable[tuple[float, float]]) -> float:
    return max((min(end, window.end) - max(start, window.start) for start, end in times), default=0.0)


def _unseen_in_log(watch: Watch, window: Window) -> str:
    """The first wait in the window that the server's log tells of, and the observer not, or not as long."""
    seen: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for wait in watch.waits:
        seen[wait.pid].append((wait.started_at, wait.until))
    for entry in watch.database:
        if not isinstance(entry, LogEntry) or entry.kind not in ("lock_wait", "lock_acquired"):
            continue
        began = entry.at - (entry.wait_s or 0.0)
        in_window = entry.at >= window.start and began < window.end
        for pid in entry.pids if in_window else ():
            if not any(start <= entry.at <= end + BLIND_S for start, end in seen[pid]):
                waited = format_duration(entry.wait_s or 0.0)
                return f"the server's log tells of a wait of {waited} by session {pid} that was not seen"
    return ""


def _last(facts: Facts, window: Window) -> float:
    return min(window.end, facts.timeline.load_end)
