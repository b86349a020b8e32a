"""What the load did in about the last second, for people while a run goes on; nothing is judged by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LiveNumbers", "live_numbers", "points_of"]

_POINTS = 20  # of each worker, a second: one in twenty is beyond the 95th percentile


@dataclass(frozen=True)
class LiveNumbers:
    """What the load did in about the last second."""

    rate: float = 0.0  # requests sent per second
    p95_s: float | None = None  # of the latencies of requests that ended
    errors: int = 0  # in that second
    requests: int = 0  # ended since the run began


def points_of(latencies: Sequence[float]) -> list[float]:
    """A few points of the distribution, each for an equal share of the latencies; all where they are few."""
    if len(latencies) <= _POINTS:
        return list(latencies)
    ordered, share = sorted(latencies), len(latencies) / _POINTS
    return [round(ordered[int((number + 0.5) * share)], 6) for number in range(_POINTS)]


def live_numbers(told: Iterable[Mapping[str, Any]], requests: int) -> LiveNumbers:
    """The numbers of all workers; each told its `sent`, `ended` and `errors` in so many `seconds`, and
    points of its `latencies`.
    """
    told = tuple(told)
    points = [(point, one["ended"] / len(one["latencies"])) for one in told for point in one["latencies"]]
    return LiveNumbers(
        rate=sum(one["sent"] / one["seconds"] for one in told),
        p95_s=_weighted_p95(sorted(points)) if points else None,
        errors=sum(one["errors"] for one in told),
        requests=requests,
    )


def _weighted_p95(points: Sequence[tuple[float, float]]) -> float:
    """The first point that 95 % of the weight is at or below."""
    beyond = 0.05 * sum(weight for _, weight in points) + 1e-9
    for point, weight in reversed(points):
        beyond -= weight
        if beyond < 0.0:
            return point
    return points[0][0]
