"""What came over the WebSockets of all workers, what did not, and whom the migration's status reached.

A connection counts from its greeting, or its first message, to its end. A status is *due* to every connection
that counted when it was announced, unless the connection, or the load, ended before the status was late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.core.clock_offset import ClockOffset, offset_between
from harness.core.events import Event, Kind
from harness.core.quantiles import quantile
from harness.core.record import SocketChange, WebSocketPoint
from harness.core.timeline import Window

__all__ = ["STATUS_WITHIN_S", "Broadcasts", "WebSockets", "broadcasts", "websockets"]

STATUS_WITHIN_S = 2.0
"""How soon a status must have reached everybody who is connected."""

_EXAMPLES = 5


@dataclass(frozen=True)
class WebSockets:
    """Sums over the workers; None where nothing was recorded.

    `resumed` were made while an account was away and came afterwards, `passed` likewise by a service that
    does not send them again. Of connections that are `unsettled` nobody knows whether the last changes came.
    `delays_s` are from a change's stamp to its arrival, with `offset` taken off; `why_no_delay` says why
    there are none. `ends` counts why connections ended, `odd` what could not be read or did not come about.
    """

    connections: int | None = None
    delivered: int | None = None
    missed: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    reconnects: int | None = None
    resumed: int | None = None
    passed: int | None = None
    longest_silence_s: float | None = None
    reconnect_p99_s: float | None = None
    settled: int | None = None
    unsettled: int | None = None
    delays_s: tuple[float, ...] = ()
    offset: ClockOffset | None = None
    why_no_delay: str = ""
    ends: Mapping[str, int] = field(default_factory=dict)
    odd: Mapping[str, int] = field(default_factory=dict)

    @property
    def delivery_p99_s(self) -> float | None:
        """Of the delays, None where there are none."""
        return quantile(np.array(self.delays_s), 0.99)


def websockets(
    points: Sequence[WebSocketPoint], changes: Sequence[SocketChange] = (), load: Window | None = None
) -> WebSockets:
    """All that was recorded; silence counts while there was `load`, None: always."""
    if not points:
        return WebSockets()
    silences = [p.silence_s for p in points if load is None or load.start <= p.at < load.end]
    away = np.array([change.away_s for change in changes if change.away_s is not None])
    delays, offset, why = _delays(points)
    return WebSockets(
        connections=_most(points),
        delivered=sum(point.delivered for point in points),
        missed=sum(point.missed for point in points),
        duplicated=sum(point.duplicated for point in points),
        reordered=sum(point.reordered for point in points),
        reconnects=sum(point.reconnects for point in points),
        resumed=_all(point.resumed for point in points),
        passed=sum(point.passed for point in points),
        longest_silence_s=max((s for s in silences if s is not None), default=None),
        reconnect_p99_s=quantile(away, 0.99),
        settled=sum(point.settled for point in points),
        unsettled=sum(point.unsettled for point in points),
        delays_s=delays,
        offset=offset,
        why_no_delay=why,
        ends=_counted([(change.ended, 1) for change in changes if change.ended]),
        odd=_counted([item for point in points for item in point.odd.items()]),
    )


def _all(counts: Iterable[int | None]) -> int | None:
    """Their sum, None when one of them is not known."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _most(points: Iterable[WebSocketPoint]) -> int:
    """Most connections that were open at once, summed over the workers."""
    highest: dict[str, int] = {}
    for point in points:
        highest[point.worker] = max(point.connections, highest.get(point.worker, 0))
    return sum(highest.values())


def _delays(points: Sequence[WebSocketPoint]) -> tuple[tuple[float, ...], ClockOffset | None, str]:
    """The delays without the clocks' offset, and the offset that is known worst; none at all, and why, where
    a worker that received something cannot tell its own.
    """
    delays: list[float] = []
    worst: ClockOffset | None = None
    for worker in dict.fromkeys(point.worker for point in points):
        own = [point for point in points if point.worker == worker]
        told = [delay for point in own for delay in point.delays_s]
        if not told:
            continue
        offset = offset_between(point.clock for point in own)
        if offset is None:
            return (), None, _why_unknown(own)
        delays += (max(delay + offset.ahead_s, 0.0) for delay in told)
        worst = offset if worst is None or offset.error_s > worst.error_s else worst
    if any(point.delivered for point in points) and not delays:
        return (), None, "no change tells when it was made"
    return tuple(delays), worst, ""


def _why_unknown(points: Sequence[WebSocketPoint]) -> str:
    unknown = "how far the clock that stamps changes is from this machine's is not known"
    if all(point.clock[1] is None for point in points):
        return f"{unknown}: neither a new record nor a new stream told of it (Stream's record, greeting)"
    return f"{unknown} well enough, or it was set meanwhile"


def _counted(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, number in items:
        counts[name] += number
    return dict(sorted(counts.items()))


# the migration's status


@dataclass(frozen=True)
class Broadcasts:
    """`due` counts pairs of a status and a connection; `delays_s` are of those that came, from the
    announcement on. `missing` names some of those that never did.
    """

    announced: int
    refused: int
    due: int
    delays_s: tuple[float, ...]
    missing: tuple[str, ...] = ()

    @property
    def delivered(self) -> int:
        """How many came, however late."""
        return len(self.delays_s)

    @property
    def p99_s(self) -> float | None:
        """p99 of the time to arrive; None where so many never came that there is none."""
        if not self.due:
            return None
        times = sorted(self.delays_s) + [np.inf] * (self.due - self.delivered)
        p99 = times[int(np.ceil(0.99 * self.due)) - 1]
        return float(p99) if np.isfinite(p99) else None


@dataclass
class _Connection:
    """When a connection counted, in run time."""

    account: str
    opened_at: float
    ended_at: float = float("inf")


def broadcasts(
    events: Sequence[Event],
    points: Sequence[WebSocketPoint],
    changes: Sequence[SocketChange],
    load_end: float,
) -> Broadcasts:
    """Whom each announcement of the harness should have reached, and when it did."""
    announced = [event for event in events if event.kind == Kind.ANNOUNCED]
    taken = [event for event in announced if not event.data.get("error")]
    connections = _connections(changes)
    arrived: dict[tuple[int, str, int], float] = {}
    for point in points:
        for announcement, number, ago_s in point.statuses:
            arrived.setdefault((announcement, point.worker, number), point.at - ago_s)
    due, delays, missing = 0, [], []
    for event in taken:
        number, late_at = int(event.data["number"]), event.at + STATUS_WITHIN_S
        for (worker, connection), lasted in connections.items():
            came_at = arrived.get((number, worker, connection))
            if came_at is not None:
                due += 1
                delays.append(max(came_at - event.at, 0.0))
            elif lasted.opened_at <= event.at and late_at <= min(lasted.ended_at, load_end):
                due += 1
                missing.append(f"{event.data.get('status')} (announcement {number}) to {lasted.account}")
    return Broadcasts(
        announced=len(announced),
        refused=len(announced) - len(taken),
        due=due,
        delays_s=tuple(delays),
        missing=tuple(missing[:_EXAMPLES]),
    )


def _connections(changes: Iterable[SocketChange]) -> dict[tuple[str, int], _Connection]:
    found: dict[tuple[str, int], _Connection] = {}
    for change in changes:
        key = change.worker, change.connection
        if not change.ended:
            found[key] = _Connection(change.account, change.at)
        elif key in found:
            found[key].ended_at = change.at
    return found
