"""The generator's own fitness: sums over the workers' points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.record import HealthPoint
from harness.core.timeline import Window

__all__ = ["Arrivals", "Fitness", "arrivals_of", "fitness", "users"]

BUSY_RATIO = 0.9
"""Share of a core from which a worker is saturated: its hub has no slack left for a late answer."""


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


def fitness(health: Sequence[HealthPoint], window: Window | None) -> Fitness:
    """The workers' health within the window; all of it when the window is None."""
    points = [p for p in health if window is None or window.start <= p.at < window.end]
    late = np.array([tick for point in points for tick in point.late_ms]) / 1000.0
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


@dataclass(frozen=True)
class Arrivals:
    """How many arrivals were due, and of how many the task began."""

    due: int
    begun: int


def arrivals_of(health: Iterable[HealthPoint]) -> Arrivals | None:
    """The arrivals of the run, over all workers; None where one of them did not tell."""
    last = {point.worker: point for point in health}
    told = [(p.due, p.begun) for p in last.values() if p.due is not None and p.begun is not None]
    if not last or len(told) < len(last):
        return None
    return Arrivals(sum(due for due, _ in told), sum(begun for _, begun in told))
