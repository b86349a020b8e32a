"""Attempts: a migration that gives up on a lock and tries again, or is killed and started again, runs the
same statement several times.

Each run is a statement of its own, with its locks and its waits; what it did to others is the sum of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.core.trace import Statement

__all__ = ["with_attempts"]

GAVE_UP = ("55P03", "40P01", "57014")
"""SQLSTATEs of a statement that is worth another try: lock_timeout, a deadlock, statement_timeout
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def with_attempts(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """The statements; one that runs again what gave up, or was rolled back with what gave up or with the end
    of its process, has the number of the first attempt as its `attempt_of`.
    """
    told = tuple(statements)
    last_seen = _last_seen(told)
    lost: dict[tuple[str | None, str], Statement] = {}
    given_up = {s.transaction for s in told if s.sqlstate in GAVE_UP and s.transaction is not None}
    first: dict[tuple[str | None, str], int] = {}
    found = []
    for statement in told:
        key = statement.revision, " ".join(statement.sql.split())
        of = first.pop(key, None) if statement.n is not None else None
        before = lost.get(key)
        if of is None and before is not None and last_seen[before.process] < statement.started_mono:
            of = before.attempt_of or before.n
        undone = statement.transaction in given_up and statement.committed_mono is None
        if statement.n is not None and (statement.sqlstate in GAVE_UP or undone):
            first[key] = statement.n if of is None else of
        statement = statement if of is None else replace(statement, attempt_of=of)
        if statement.n is not None and statement.sqlstate is None and _is_undone(statement):
            lost[key] = statement
        else:
            lost.pop(key, None)
        found.append(statement)
    return tuple(found)


def _last_seen(statements: Iterable[Statement]) -> dict[int, float]:
    """When each process was last heard of."""
    found: dict[int, float] = {}
    for one in statements:
        found[one.process] = max(found.get(one.process, 0.0), one.ended_mono or one.started_mono)
    return found


def _is_undone(statement: Statement) -> bool:
    """Whether nothing of it stayed when its process was over."""
    if statement.transaction is None:
        return statement.ended_mono is None
    return statement.committed_mono is None
