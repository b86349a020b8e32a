"""The generator's own fitness: sums over the workers' points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.record import HealthPoint
from harness.core.timeline import Window

__all__ = ["Fitness", "Late", "fitness", "late_stretches", "users"]

HUB_LATE_S = 0.05
"""How late a tick may come: a latency measured meanwhile is wrong by as much."""

BUSY_RATIO = 0.9
"""Share of a core from which a worker is saturated: its hub has no slack left for a late answer."""


AFTER_S = 1.0
"""How long after a wait the answers that it held back keep the hub busy."""


@dataclass(frozen=True)
class Late:
    """A stretch in which a worker's ticks came late, by up to so many seconds."""

    start: float
    end: float
    late_s: float


@dataclass(frozen=True)
class Fitness:
    """How well the generator kept time. `busy_ratio` is the share of points in which the busiest worker was
    saturated.

    None is what was not recorded.
    """

    ticks: int
    late_p99_s: float | None
    late_max_s: float | None
    busy_ratio: float | None


def fitness(
    health: Sequence[HealthPoint], window: Window | None, waits: Sequence[tuple[float, float]] = ()
) -> Fitness:
    """The workers' health within the window; all of it when the window is None.

    Ticks of the seconds in which, or right after which, sessions waited for the migration (`waits`, each from
    one instant to another) do not count, where there are others: the answers that such a wait held back come
    all at once.
    """
    points = [p for p in health if window is None or window.start <= p.at < window.end]
    quiet = [
        p for p in points if not any(start <= p.at and p.at - 1.0 < end + AFTER_S for start, end in waits)
    ]
    late = np.array([tick for point in quiet or points for tick in point.late_ms]) / 1000.0
    by_worker: dict[str, list[bool]] = defaultdict(list)
    for point in points:
        if point.cpu_ratio is not None:
            by_worker[point.worker].append(point.cpu_ratio > BUSY_RATIO)
    return Fitness(
        ticks=len(late),
        late_p99_s=float(np.quantile(late, 0.99)) if len(late) else None,
        late_max_s=float(late.max()) if len(late) else None,
        busy_ratio=max((sum(busy) / len(busy) for busy in by_worker.values()), default=None),
    )


def users(health: Iterable[HealthPoint]) -> int | None:
    """Most users that lived at once, summed over the workers."""
    highest: dict[str, int] = {}
    for point in health:
        highest[point.worker] = max(point.users, highest.get(point.worker, 0))
    return sum(highest.values()) if highest else None


def late_stretches(health: Iterable[HealthPoint], window: Window | None) -> tuple[Late, ...]:
    """When the generator itself was late, in order; of workers that were late together, each for itself."""
    before: dict[str, float] = {}
    found = []
    for point in health:
        start = before.get(point.worker, max(0.0, point.at - 1.0))
        before[point.worker] = point.at
        late_s = max(point.late_ms, default=0.0) / 1000
        if late_s > HUB_LATE_S and (window is None or window.start <= point.at < window.end):
            found.append(Late(start, point.at, late_s))
    return tuple(sorted(found, key=lambda late: late.start))
