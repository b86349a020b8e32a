"""PostgreSQL's table-level locks: which mode waits for which, and what users wait for while some are held.

Source of the table: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.core.trace import Lock

__all__ = ["CONFLICTS", "MODES", "OPERATIONS", "blocked_by", "blocks", "strength", "strongest"]

MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""From weakest to strongest, as in `pg_locks.mode`."""

CONFLICTS: Mapping[str, frozenset[str]] = {
    "AccessShareLock": frozenset(MODES[7:]),
    "RowShareLock": frozenset(MODES[6:]),
    "RowExclusiveLock": frozenset(MODES[4:]),
    "ShareUpdateExclusiveLock": frozenset(MODES[3:]),
    "ShareLock": frozenset(MODES[2:]) - {"ShareLock"},
    "ShareRowExclusiveLock": frozenset(MODES[2:]),
    "ExclusiveLock": frozenset(MODES[1:]),
    "AccessExclusiveLock": frozenset(MODES),
}
"""Mode → the modes of other sessions it waits for, and which wait for it."""

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE")

_WANTED = {
    "SELECT": "AccessShareLock",
    "INSERT": "RowExclusiveLock",
    "UPDATE": "RowExclusiveLock",
    "DELETE": "RowExclusiveLock",
    "SELECT FOR UPDATE": "RowShareLock",
}
_INDEXES = ("i", "I")  # pg_class.relkind
_SEQUENCE = "S"
_MATERIALIZED_VIEW = "m"
_NEXTVAL = "RowExclusiveLock"  # commands/sequence.c, lock_and_open_sequence


def strength(mode: str) -> int:
    """Where a mode stands in MODES; one that is no table lock is weaker than all."""
    return MODES.index(mode) if mode in MODES else -1


def strongest(modes: Iterable[str]) -> str | None:
    """The strongest of `modes`, None of none."""
    return max(modes, key=strength, default=None)


def blocks(locks: Iterable[Lock], relation: str) -> tuple[str, ...]:
    """Which of OPERATIONS on `relation` would wait while `locks` are held.

    The planner locks every index of a table in the mode of the query, even one it will not use
    (optimizer/util/plancat.c, get_relation_info), INSERT opens them all to write, and reading or writing a
    long value locks the TOAST table: locks on all of these count like locks on the table. INSERT also locks
    an owned sequence by nextval(); one that brings its own key does not. Not counted: locks on partitions of
    `relation`, on the parents of its foreign keys, and row locks.
    """
    found = [lock for lock in locks if lock.relation == relation or lock.of == relation]
    kinds = {lock.kind for lock in found if lock.of is None}
    possible = ("SELECT",) if _MATERIALIZED_VIEW in kinds else OPERATIONS
    return tuple(operation for operation in possible if any(_blocks(lock, operation) for lock in found))


def _blocks(lock: Lock, operation: str) -> bool:
    if lock.kind == _SEQUENCE and lock.of is not None:
        return operation == "INSERT" and lock.mode in CONFLICTS[_NEXTVAL]
    return lock.mode in CONFLICTS[_WANTED[operation]]


def blocked_by(locks: Iterable[Lock]) -> dict[str, tuple[str, ...]]:
    """For every table with one of `locks` on it or on what belongs to it, what would wait; tables for which
    nothing would are left out."""
    held = list(locks)
    no_tables = (*_INDEXES, _SEQUENCE)  # those whose table is not known
    tables: dict[str, list[Lock]] = {}
    for lock in held:
        if lock.of or lock.kind not in no_tables:
            tables.setdefault(lock.of or lock.relation, []).append(lock)
    found = {table: blocks(own, table) for table, own in tables.items()}
    return {table: operations for table, operations in found.items() if operations}
