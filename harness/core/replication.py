"""Replication: how far a streaming replica is behind, from where the primary and it were seen to be.

PostgreSQL tells a replica's lag in time only while there is traffic
(https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW). Its
position in the WAL it always tells; when the primary was there, the observer remembers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.core.observation import ReplicaPoint

__all__ = ["PRIMARY", "REPLICA", "Positions", "Reading", "ReplicaFold", "Sender"]

PRIMARY, REPLICA = "primary", "replica"

HIDDEN = "the database's role may not see what it replays: GRANT pg_monitor"
NOT_STANDBY = "it is no standby: it does not replay anything"


@dataclass(frozen=True)
class Sender:
    """A row of `pg_stat_replication`; `replayed` is a position in the WAL, in bytes. What the role may not
    see is None.
    """

    pid: int
    application: str
    address: str
    state: str | None = None
    replayed: int | None = None
    write_lag_s: float | None = None
    flush_lag_s: float | None = None
    replay_lag_s: float | None = None


@dataclass(frozen=True)
class Reading:
    """What a replica said of itself at an instant, or `why` it did not.

    `replayed_at` is the time of the last transaction that it replayed, by the primary's clock, in seconds
    since the epoch. `conflicts` are totals as the replica has them.
    """

    at: float
    replayed: int | None = None
    replayed_at: float | None = None
    conflicts: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


class Positions:
    """Where the primary's WAL had come to, and when that was first seen."""

    def __init__(self) -> None:
        self._at: list[float] = []
        self._position: list[int] = []

    def add(self, at: float, position: int) -> None:
        """A later look. One that goes back is of another history of the WAL, which begins anew."""
        if self._position and position < self._position[-1]:
            self._at, self._position = [], []
        if not self._position or position > self._position[-1]:
            self._at.append(at)
            self._position.append(position)

    def behind(self, replayed: int) -> int | None:
        """Bytes from there to the last position seen, None before any was."""
        return max(0, self._position[-1] - replayed) if self._position else None

    def lag_s(self, at: float, replayed: int, told_s: float | None) -> float | None:
        """Seconds since the primary was first seen past `replayed`. Where that is longer ago than anything
        seen, the time that PostgreSQL itself told counts if it is longer.
        """
        if not self._position:
            return None
        passed = bisect_right(self._position, replayed)
        if passed == len(self._position):
            return 0.0
        seen_s = max(0.0, at - self._at[passed])
        return max(seen_s, told_s or 0.0) if passed == 0 else seen_s


class ReplicaFold:
    """From what primary and replica say to points of each replica."""

    def __init__(self, name: str = "") -> None:
        """`name` is what the replica that tells of itself is called."""
        self._name = name
        self._positions = Positions()
        self._last: dict[str, int] = {}
        self._conflicts: Counter[str] = Counter()
        self._read = False

    def primary(self, at: float, position: int | None, senders: Iterable[Sender]) -> list[ReplicaPoint]:
        """The primary's position, and the replicas that stream from it."""
        if position is not None:
            self._positions.add(at, position)
        return [self._of_sender(at, name, sender) for name, sender in _named(senders)]

    def _of_sender(self, at: float, name: str, sender: Sender) -> ReplicaPoint:
        where = sender.replayed
        lag_s = None if where is None else self._positions.lag_s(at, where, sender.replay_lag_s)
        return ReplicaPoint(
            at,
            name,
            PRIMARY,
            lag_s,
            None if where is None else self._positions.behind(where),
            HIDDEN if where is None else "",
            sender.state,
            sender.write_lag_s,
            sender.flush_lag_s,
            sender.replay_lag_s,
        )

    def replica(self, reading: Reading, ahead_s: float) -> ReplicaPoint:
        """What the replica said; the primary's clock is `ahead_s` ahead of the run's."""
        if reading.why or reading.replayed is None:
            return ReplicaPoint(reading.at, self._name, REPLICA, why=reading.why or NOT_STANDBY)
        told_s = None if reading.replayed_at is None else reading.at + ahead_s - reading.replayed_at
        return ReplicaPoint(
            reading.at,
            self._name,
            REPLICA,
            self._positions.lag_s(reading.at, reading.replayed, told_s),
            self._positions.behind(reading.replayed),
            conflicts=self._counted(reading.conflicts),
        )

    def _counted(self, totals: Mapping[str, int]) -> dict[str, int]:
        """Since the first reading; a replica that was started anew counts from 0."""
        for kind, total in totals.items():
            before = self._last.get(kind, 0) if self._read else total
            self._conflicts[kind] += total - before if total >= before else total
        self._last, self._read = dict(totals), True
        return dict(self._conflicts)


def _named(senders: Iterable[Sender]) -> Iterator[tuple[str, Sender]]:
    """By application and address; of several alike the later ones are numbered, by their pids."""
    count: Counter[str] = Counter()
    for sender in sorted(senders, key=lambda sender: sender.pid):
        name = f"{sender.application or 'no name'} at {sender.address or 'a local socket'}"
        count[name] += 1
        yield (name if count[name] == 1 else f"{name} #{count[name]}"), sender
