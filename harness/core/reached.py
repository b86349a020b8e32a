"""Whether a migration left every schema where it was to be."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set

from harness.core.trace import Trace

__all__ = ["elsewhere", "reached"]


def reached(direction: str, expected: Set[str], tables: Sequence[Collection[str] | None]) -> bool | None:
    """`tables` are the revisions in each version table after it, None where that could not be found.

    An upgrade may leave other branches where they are; a downgrade leaves nothing above its target. None when
    no table says no, but one says nothing.
    """
    answers = [None if held is None else _is_there(direction, expected, set(held)) for held in tables]
    if False in answers:
        return False
    return None if None in answers or not answers else True


def elsewhere(trace: Trace, own: str) -> str:
    """What tells that a migration never came to its `own` database, but to others that it may go to as well;
    "" when it did, or when it is not known where it went."""
    visited = {context.table.database or own for context in trace.contexts}
    if not visited or own in visited:
        return ""
    return f"went to {' and '.join(sorted(visited))} alone, never to {own}, the database that it is meant for"


def _is_there(direction: str, expected: Set[str], held: Set[str]) -> bool:
    return expected <= held if direction == "upgrade" else expected == held
