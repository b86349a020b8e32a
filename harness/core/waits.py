"""Waits: which session waited for which lock, for whom, and for how long, as the observer saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Blocker", "Wait"]


@dataclass(frozen=True)
class Blocker:
    """A session at the root of a chain of waits: it waits for no lock itself.

    `transaction_s` is the age of its transaction and `state` that of `pg_stat_activity` (`active`, `idle in
    transaction`, …) when the wait was last seen. For a migration's backend that is idle between statements
    `query` is the last one, which may be the tracer's own question.
    """

    pid: int
    application: str = ""
    backend_type: str = ""
    state: str = ""
    query: str = ""
    transaction_s: float | None = None

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Blocker:
        """From the `root` of a line of `locks.ndjson`; unknown keys are ignored."""
        return cls(**{key: value for key, value in told.items() if key in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Wait:
    """One wait of one backend for one lock, `started_at` to `ended_at` in seconds since the start of the run.

    `lock_type` is `pg_locks.locktype` (relation, tuple, transactionid, virtualxid, …), `mode` the wanted
    mode, `relation` the name for a relation or a tuple of one, None for others. `blocking` are the pids of
    `pg_blocking_pids()`, `chain` the path from one of them to the root, root last. A lock changes hands while
    others still queue: `root` is who was the root in most sights of the wait, `blocking` and `chain` are of
    the last of those.
    `ended_at` is exact where the server log told it (`provenance` is `exact`); else it is the last sight plus
    half the polling interval (`observed`). It is None for a wait that lasted when the observer ended.
    """

    pid: int
    started_at: float
    ended_at: float | None
    last_seen_at: float
    lock_type: str
    mode: str
    relation: str | None = None
    relation_oid: int | None = None
    blocking: tuple[int, ...] = ()
    chain: tuple[int, ...] = ()
    root: Blocker | None = None
    application: str = ""
    backend_type: str = ""
    query: str = ""
    query_id: int | None = None
    provenance: str = "observed"
    interval_s: float | None = None
    seen: int = 1

    @property
    def until(self) -> float:
        """The end, or the last sight of one that has none."""
        return self.last_seen_at if self.ended_at is None else self.ended_at

    @property
    def wait_s(self) -> float:
        """Seconds waited."""
        return max(0.0, self.until - self.started_at)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Wait:
        """The wait of one line of `locks.ndjson`; unknown keys are ignored."""
        known = {key: value for key, value in line.items() if key in cls.__dataclass_fields__}
        root = known.get("root")
        known["root"] = None if root is None else Blocker.from_json(root)
        for name in ("blocking", "chain"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)
