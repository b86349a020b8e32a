"""The load's workers: which were lost, which came too late, and how much of the load went with the lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from harness.core.events import Event, Kind
from harness.core.record import HealthPoint
from harness.core.timeline import Window

__all__ = ["lost_ratio", "lost_workers", "why_less"]


def lost_workers(events: Iterable[Event]) -> frozenset[str]:
    """Workers that were lost and did not come back, or joined and never delivered their last data."""
    lost: set[str] = set()
    waited_for: set[str] = set()
    for event in events:
        match event.kind:
            case Kind.WORKER_JOINED:
                waited_for.add(str(event.data["worker"]))
            case Kind.WORKER_FINAL:
                waited_for.discard(str(event.data["worker"]))
            case Kind.WORKER_LOST:
                lost.add(str(event.data["worker"]))
            case Kind.WORKER_BACK:
                lost.discard(str(event.data["worker"]))
    return frozenset(lost | waited_for)


def lost_ratio(health: Sequence[HealthPoint], lost: Collection[str], window: Window | None) -> float | None:
    """The share of the window's load that went with the workers in `lost`: users × seconds from the last that
    was heard of each, of all users × seconds. None where it is not known.
    """
    if not lost:
        return 0.0
    users: dict[str, int] = {}
    until: dict[str, float] = {}
    for point in health:
        users[point.worker] = max(point.users, users.get(point.worker, 0))
        until[point.worker] = max(point.at, until.get(point.worker, 0.0))
    whole = sum(users.values())
    if window is None or window.duration <= 0 or not whole or not set(lost) <= set(users):
        return None
    gone = sum(
        users[worker] * (window.end - min(max(until[worker], window.start), window.end)) for worker in lost
    )
    return gone / (whole * window.duration)


def why_less(events: Iterable[Event], lost: Collection[str], ratio: float | None) -> str:
    """Why there was less load than the plan asks for, "" when there was not: what was measured may be right,
    and yet not answer the plan's question.
    """
    return "; ".join(_reasons(events, lost, ratio))


def _reasons(events: Iterable[Event], lost: Collection[str], ratio: float | None) -> Iterator[str]:
    if lost:
        share = "" if ratio is None else f", and {ratio:.1%} of the load with them"
        yield f"workers lost: {', '.join(sorted(lost))}{share}"
    if late := {str(event.data["worker"]) for event in events if event.kind == Kind.WORKER_LATE}:
        yield f"workers that came after the run had begun took users away: {', '.join(sorted(late))}"
