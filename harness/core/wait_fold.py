"""Folds what successive polls saw of waiting sessions into waits, and follows each to its root blocker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.core.observation import LogEntry
from harness.core.waits import Blocker, Wait

__all__ = ["SessionSeen", "Sight", "WaitFold", "chain_to_root", "end_from_log"]

UNWATCHED_S = 1.0
"""A poll so late says nothing of when in between a wait ended: it counts as if it had come after so long."""

ENDS_A_TRANSACTION = frozenset({"commit", "end", "rollback", "abort"})

SAME_START_S = 0.1
"""How far apart the log's and the poll's start of one wait may lie; both go through one clock offset."""


@dataclass(frozen=True)
class Sight:
    """One backend seen waiting in one poll.

    `waitstart` is the server's own time, as seconds since the epoch; None in the moment before PostgreSQL has
    set it (https://www.postgresql.org/docs/current/view-pg-locks.html). `blocking` is `pg_blocking_pids()`,
    in which 0 stands for a prepared transaction.
    """

    pid: int
    waitstart: float | None
    lock_type: str
    mode: str
    relation: str | None = None
    relation_oid: int | None = None
    blocking: tuple[int, ...] = ()


@dataclass(frozen=True)
class SessionSeen:
    """What `pg_stat_activity` says of one backend."""

    pid: int
    application: str = ""
    backend_type: str = ""
    state: str = ""
    query: str = ""
    query_id: int | None = None
    transaction_s: float | None = None

    def as_blocker(self) -> Blocker:
        """The same, as the root of a chain."""
        return Blocker(
            self.pid, self.application, self.backend_type, self.state, self.query, self.transaction_s
        )


def chain_to_root(
    pid: int, blocking: Mapping[int, Sequence[int]], age_s: Mapping[int, float] | None = None
) -> tuple[tuple[int, ...], bool]:
    """The shortest path from who blocks `pid` to one that waits for nobody, and whether there is one.

    `blocking` has every waiting pid. Of several roots equally near, the one of the oldest transaction is
    taken. In a deadlock nobody waits for nobody: then the path goes once round the cycle.
    """
    ages = age_s or {}
    seen = {pid}
    paths: list[tuple[int, ...]] = [(first,) for first in blocking.get(pid, ())]
    longest: tuple[int, ...] = ()
    while paths:
        roots = [path for path in paths if path[-1] not in blocking]
        if roots:
            return max(roots, key=lambda path: (ages.get(path[-1], -1.0), -path[-1])), True
        longest = paths[0]
        further = []
        for path in paths:
            if path[-1] not in seen:
                seen.add(path[-1])
                further += [(*path, following) for following in blocking[path[-1]]]
        paths = further
    return longest, False


def end_from_log(wait: Wait, entry: LogEntry) -> Wait | None:
    """The wait with the exact end that the server logged, None when the entry is of another wait."""
    if entry.kind != "lock_acquired" or entry.wait_s is None or wait.pid not in entry.pids:
        return None
    if abs(entry.at - entry.wait_s - wait.started_at) > SAME_START_S:
        return None
    return replace(wait, ended_at=wait.started_at + entry.wait_s, provenance="exact")


@dataclass
class _Open:
    """A wait that goes on; with the pid, `waitstart` tells it apart. `roots` counts the sights of each root,
    `leader` is the one with most, of equals the first."""

    wait: Wait
    waitstart: float | None = None
    roots: Counter[int | None] = field(default_factory=Counter)
    leader: int | None = None

    def goes_on(self, sight: Sight) -> bool:
        if self.waitstart is not None and sight.waitstart is not None:
            return self.waitstart == sight.waitstart
        known = (self.wait.lock_type, self.wait.mode, self.wait.relation_oid)
        return known == (sight.lock_type, sight.mode, sight.relation_oid)

    def leads(self, root: int | None) -> bool:
        """Count a sight of this root; whether it is the leader now."""
        self.roots[root] += 1
        if self.roots[root] > self.roots[self.leader]:
            self.leader = root
        return self.leader == root


class WaitFold:
    """Takes polls in the order of time; hands back the waits that each found to have ended."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    @property
    def open(self) -> tuple[Wait, ...]:
        """The waits seen in the last poll."""
        return tuple(found.wait for found in self._open.values())

    def wanted(self, sights: Iterable[Sight]) -> tuple[int, ...]:
        """The sessions to look up for this poll: who began to wait, and who blocks without waiting."""
        waiting = {sight.pid: sight for sight in sights}
        fresh = {pid for pid, sight in waiting.items() if not self._goes_on(pid, sight)}
        blockers = {blocker for sight in waiting.values() for blocker in sight.blocking}
        return tuple(sorted(fresh | (blockers - set(waiting) - {0})))

    def poll(
        self,
        at: float,
        sights: Sequence[Sight],
        sessions: Mapping[int, SessionSeen],
        interval_s: float,
        ahead_s: float = 0.0,
    ) -> list[Wait]:
        """Take in one poll made at `at`, `interval_s` after the one before; returns the ended waits.

        `ahead_s` is the server's clock less the run's. A wait that is gone ended halfway between its last
        sight and this poll, unless its backend has begun another since, or nobody looked for long.
        """
        now = {sight.pid: sight for sight in sights}
        blocking = {pid: sight.blocking for pid, sight in now.items()}
        ages = {pid: seen.transaction_s for pid, seen in sessions.items() if seen.transaction_s is not None}
        ended = []
        for pid in list(self._open):
            if not self._goes_on(pid, now.get(pid)):
                next_start = now[pid].waitstart if pid in now else None
                ended.append(self._end(pid, at, None if next_start is None else next_start - ahead_s))
        for pid, sight in now.items():
            found = self._open.setdefault(pid, _Open(_begun(at, sight, sessions.get(pid))))
            if found.waitstart is None and sight.waitstart is not None:
                found.waitstart = sight.waitstart
                found.wait = replace(found.wait, started_at=sight.waitstart - ahead_s)
            chain, has_root = chain_to_root(pid, blocking, ages)
            if chain and found.leads(chain[-1] if has_root else None):
                root = _root(found.wait.root, chain, has_root, sessions)
                found.wait = replace(found.wait, blocking=sight.blocking, chain=chain, root=root)
            seen = found.wait.seen + 1
            found.wait = replace(found.wait, last_seen_at=at, interval_s=interval_s, seen=seen)
        return ended

    def lost(self, interval_s: float) -> list[Wait]:
        """The connection is gone: what was open ended at an unknown instant soon after its last sight."""
        return [self._end(pid, found.wait.last_seen_at + interval_s) for pid, found in [*self._open.items()]]

    def last(self) -> list[Wait]:
        """The observer ends: what still waits has no end."""
        left = list(self.open)
        self._open.clear()
        return left

    def _goes_on(self, pid: int, sight: Sight | None) -> bool:
        return sight is not None and pid in self._open and self._open[pid].goes_on(sight)

    def _end(self, pid: int, at: float, next_start: float | None = None) -> Wait:
        wait = self._open.pop(pid).wait
        end = wait.last_seen_at + min(at - wait.last_seen_at, UNWATCHED_S) / 2
        if next_start is not None and wait.last_seen_at < next_start < at:
            end = min(end, next_start)
        return replace(wait, ended_at=end)


def _root(
    before: Blocker | None, chain: tuple[int, ...], has_root: bool, sessions: Mapping[int, SessionSeen]
) -> Blocker | None:
    """The root of the chain, as it was seen before where it has let go meanwhile, or is just about to:
    who ends a transaction is known by what it did before, not by its COMMIT."""
    if not has_root:
        return None
    if chain[-1] == 0:
        return Blocker(0, state="prepared transaction")
    found = sessions.get(chain[-1])
    if before is not None and before.pid == chain[-1]:
        if found is None or found.transaction_s is None:
            return before
        if found.query.strip(" ;").lower() in ENDS_A_TRANSACTION:
            return replace(before, transaction_s=found.transaction_s)
    return found.as_blocker() if found is not None else Blocker(chain[-1])


def _begun(at: float, sight: Sight, session: SessionSeen | None) -> Wait:
    seen = session or SessionSeen(sight.pid)
    return Wait(
        pid=sight.pid,
        started_at=at,
        ended_at=None,
        last_seen_at=at,
        lock_type=sight.lock_type,
        mode=sight.mode,
        relation=sight.relation,
        relation_oid=sight.relation_oid,
        application=seen.application,
        backend_type=seen.backend_type,
        query=seen.query,
        query_id=seen.query_id,
        seen=0,
    )
