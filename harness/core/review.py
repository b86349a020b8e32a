"""Review: a migration's statements, as they were measured, put before the rules of advice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from harness.core.advice import Advice, Traced, advise
from harness.core.blame import Blame
from harness.core.migrations import Migration
from harness.core.schema_state import SchemaState, sizes
from harness.core.shape import Parse

__all__ = ["advice_on"]

MOST_PREVIOUS = 500
"""Statements of one transaction that a rule is shown; the earliest, as they hold their locks the longest."""


def advice_on(
    migration: Migration,
    parse: Parse,
    before: SchemaState | None = None,
    ignored: Mapping[str, str] | None = None,
    blame: Sequence[Blame] = (),
    watched: bool = False,
) -> tuple[Advice, ...]:
    """What the rules say of the migration.

    `before` is the schema it found, by which tables are large or small; `ignored` are rules with the reason
    they are ignored for, besides those that its own files name; `watched` says whether all that waited is in
    `blame`.
    """
    statements = tuple(_traced(migration, parse, blame, watched))
    reasons = {**migration.ignored, **(ignored or {})}
    if before is None:
        return advise(statements, {}, reasons)
    return advise(statements, sizes(before), reasons, before.indexes)


def _traced(migration: Migration, parse: Parse, blame: Sequence[Blame], watched: bool) -> Iterator[Traced]:
    nobody = (0, 0.0) if watched else (None, None)
    shape = lru_cache(maxsize=None)(parse)
    blamed = {one.statement: one for b in blame if b.is_of(migration) for one in b.attempts}
    earlier: dict[int, list[Traced]] = defaultdict(list)
    for statement in migration.trace.migration_statements:
        own = blamed.get(statement.n)
        before = () if statement.transaction is None else tuple(earlier[statement.transaction])
        traced = Traced(
            statement,
            shape(statement.sql),
            blocked_sessions=nobody[0] if own is None else own.sessions,
            blocked_s=nobody[1] if own is None else own.session_seconds,
            previous=before,
        )
        if statement.transaction is not None and len(before) < MOST_PREVIOUS:
            earlier[statement.transaction].append(traced)
        yield traced
