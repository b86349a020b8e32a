"""Replica lag: how far replicas fell behind in a window, and how well they were watched."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.measured import Measured
from harness.core.observation import ReplicaPoint
from harness.core.record import Record
from harness.core.timeline import Window

__all__ = ["LAG_SAMPLES", "NONE_SEEN", "Replica", "longest_lag", "replica_lag_max", "replicas_of"]

LAG_SAMPLES = 5
"""Looks at replicas that a longest lag needs: there are two in a second."""

UNSEEN_S = 3.0
"""A longer time without a look at a replica could hide a lag of as long."""

NONE_SEEN = "no replica streamed from the database while it was watched"


@dataclass(frozen=True)
class Replica:
    """One replica, as its `source` told of it: the primary, or itself. Several databases may have it."""

    name: str
    source: str
    points: tuple[ReplicaPoint, ...]

    @property
    def measured(self) -> tuple[ReplicaPoint, ...]:
        """The points at which its lag was known."""
        return tuple(point for point in self.points if point.lag_s is not None)

    def longest(self, window: Window) -> float | None:
        """Its longest lag within the window, None where none was measured."""
        lags = [p.lag_s for p in self.measured if window.start <= p.at < window.end and p.lag_s is not None]
        return max(lags, default=None)

    def most_behind(self, window: Window) -> int:
        """The most bytes of WAL that it had yet to replay within the window."""
        within = (p.behind_bytes or 0 for p in self.points if window.start <= p.at < window.end)
        return max(within, default=0)

    def before(self, at: float) -> float:
        """Its lag at the last look before an instant; 0 where there was none."""
        return next((p.lag_s or 0.0 for p in reversed(self.measured) if p.at <= at), 0.0)

    def why_unseen(self, window: Window) -> str:
        """Why its longest lag in the window is not known, "" when it is."""
        begin = max(window.start, self.points[0].at)
        looks = [point.at for point in self.measured if point.at < window.end]
        edges = [begin, *(at for at in looks if at >= begin), window.end]
        unseen_s = max(later - earlier for earlier, later in pairwise(edges))
        if unseen_s <= UNSEEN_S:
            return ""
        why = next((p.why for p in reversed(self.points) if p.at < window.end and p.why), "")
        return f"replica {self.name} was not seen for {format_duration(unseen_s)}{f': {why}' if why else ''}"


def replicas_of(record: Record) -> tuple[Replica, ...]:
    """The replicas of all databases that were watched, in the order in which they were first seen."""
    found: defaultdict[tuple[str, str], list[ReplicaPoint]] = defaultdict(list)
    for database, watch in record.watches.items():
        for line in watch.database:
            if isinstance(line, ReplicaPoint):
                of = f" of {database}" if database else ""
                found[f"{line.replica}{of}", line.source].append(line)
    return tuple(Replica(name, source, tuple(points)) for (name, source), points in found.items())


def replica_lag_max(facts: Facts, window: Window, _endpoint: str | None) -> Measured:
    """The longest lag of any replica; not known when one of them was out of sight."""
    seconds, looks, why = longest_lag(facts, window)
    return Measured(None if why else seconds, looks, why)


def longest_lag(facts: Facts, window: Window) -> tuple[float | None, int, str]:
    """The longest lag that was seen, at how many looks, and why there may have been a longer one."""
    replicas = [one for one in replicas_of(facts.record) if one.points[0].at < window.end]
    if not replicas:
        return None, 0, _why_none(facts)
    lags = [one.longest(window) for one in replicas]
    looks = sum(window.start <= p.at < window.end for one in replicas for p in one.measured)
    why = next((why for one in replicas if (why := one.why_unseen(window))), "")
    return max((lag for lag in lags if lag is not None), default=None), looks, why


def _why_none(facts: Facts) -> str:
    """That there was none can be said only where somebody looked all the time."""
    for watch in facts.record.watches.values():
        observed = watch.observed
        if observed.began_at is None or observed.ended_at is None or not observed.polls:
            return "nobody watched the database to its end"
    return NONE_SEEN
