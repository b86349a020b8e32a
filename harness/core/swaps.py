"""Swaps: the instants at which a migration puts another table, or a rewritten one, in the place of the old.

Rewrites are not MVCC-safe: a transaction whose snapshot is older than the commit finds the new table empty
(https://www.postgresql.org/docs/current/mvcc-caveats.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.core.migrations import Migration
from harness.core.timeline import Window
from harness.core.trace import Statement

__all__ = ["swaps_of"]


def swaps_of(migrations: Iterable[Migration], end_at: float) -> tuple[Window, ...]:
    """From the end of each statement that may have replaced a table to its commit, in run time. A migration
    that was not traced may have done so at any time; one without an end went on until `end_at`.
    """
    return tuple(window for migration in migrations for window in _of(migration, end_at))


def _of(migration: Migration, end_at: float) -> Iterator[Window]:
    if migration.placebo or migration.status == "nothing":
        return
    if not migration.traced:
        yield Window("swap", migration.begin_at, end_at if migration.end_at is None else migration.end_at)
        return
    for statement in migration.trace.statements:
        start, end = migration.at(statement.ended_mono), migration.at(statement.committed_mono)
        if start is not None and end is not None and _may_replace(statement):
            yield Window("swap", start, end)


def _may_replace(statement: Statement) -> bool:
    exclusive = any(lock.mode == "AccessExclusiveLock" for lock in statement.locks)
    return bool(statement.rewrites) or exclusive or statement.transaction is None
