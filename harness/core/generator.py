"""The generator's own fitness, and the WebSockets it held: sums over the workers' points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.record import HealthPoint, WebSocketPoint
from harness.core.timeline import Window

__all__ = ["Fitness", "WebSockets", "fitness", "users", "websockets"]

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
    return _most((point.worker, point.users) for point in health)


def _most(values: Iterable[tuple[str, int]]) -> int | None:
    highest: dict[str, int] = {}
    for worker, value in values:
        highest[worker] = max(value, highest.get(worker, 0))
    return sum(highest.values()) if highest else None


@dataclass(frozen=True)
class WebSockets:
    """What came over the WebSockets of all workers; None where nothing was recorded."""

    connections: int | None
    delivered: int | None
    missed: int | None
    duplicated: int | None
    reordered: int | None
    reconnects: int | None
    delays_s: tuple[float, ...]


def websockets(points: Sequence[WebSocketPoint], window: Window | None = None) -> WebSockets:
    """The points within the window; all of them when it is None."""
    found = [p for p in points if window is None or window.start <= p.at < window.end]
    if not found:
        return WebSockets(None, None, None, None, None, None, ())
    return WebSockets(
        connections=_most((point.worker, point.connections) for point in found),
        delivered=sum(point.delivered for point in found),
        missed=sum(point.missed for point in found),
        duplicated=sum(point.duplicated for point in found),
        reordered=sum(point.reordered for point in found),
        reconnects=sum(point.reconnects for point in found),
        delays_s=tuple(delay for point in found for delay in point.delays_s),
    )
