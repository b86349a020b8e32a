"""Blame: which statement made whom wait, and which requests suffered."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Blame", "BlockedQuery"]


@dataclass(frozen=True)
class BlockedQuery:
    """The waiting queries of one shape: `query_id` where PostgreSQL computes it, else None."""

    query: str
    query_id: int | None
    sessions: int
    session_seconds: float
    longest_s: float


@dataclass(frozen=True)
class Blame:
    """What one statement of the migration did to others.

    `statement` is its number `n`, `phase` migrate or rollback. `relation` and `mode` are those of the lock that
    the longest wait was for. `sessions` counts distinct backends; `session_seconds` is the sum of the waits'
    overlap with the statement's holds. `root` is text naming another session that was the true root (a reader
    idle in its transaction before whom the migration queued), "" when the migration was the root.
    `requests`: requests affected, None when there is no evidence for any; `tie` says by what they were tied:
    traceparent (exact) or overlap (in time). `provenance`: exact, observed (every p ms), inferred.
    """

    statement: int
    phase: str
    relation: str | None
    mode: str | None
    sessions: int
    session_seconds: float
    longest_s: float
    requests: int | None
    endpoints: tuple[str, ...]
    errors: dict[str, int]
    queries: tuple[BlockedQuery, ...]
    root: str
    tie: str
    provenance: str
