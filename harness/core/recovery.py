"""How service, database and clients came back from a fault, judged from what the clients recorded.

A fault is followed until the next one begins, the load ends, or as long as the plan's recovery lasts. A is
for answers that were all ok again within the drill's bound, with nothing left; B for later ones; C for
sessions that have to be ended by hand; D for what did not come back, and for writes or messages that were
lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from harness.core.client import broken_before
from harness.core.counted import counted
from harness.core.drill_events import Told
from harness.core.drills import DrillResult, Grade
from harness.core.durations import format_duration
from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.record import HealthPoint, WebSocketPoint
from harness.core.samples import Outcome, SampleTable
from harness.core.timeline import Window
from harness.core.verdict import rounded

__all__ = ["BOUNDS_S", "SLOW_S", "Recovery", "grade_fault", "graded"]

BOUNDS_S: Mapping[str, float] = {
    "restart-database": 10.0,
    "pause-database": 2.0,
    "disconnect-database": 10.0,
    "limit-cpu": 5.0,
    "fill-disk": 15.0,
    "terminate-backends": 3.0,
    "drop-websockets": 5.0,
    "kill-service": 10.0,
    "kill-cache": 10.0,
    "expire-tokens": 10.0,
}
"""Within how many seconds everything must be well again for grade A, besides the time a drill is kept up."""

SLOW_S = 1.0
"""A request that took longer than this while the fault lasted was not answered well, as for gate `stall`."""

TAIL_S = 2.0
"""The last stretch of what is followed, in which no more than `FAILING_RATIO` of the requests may fail."""

FAILING_RATIO = 0.1

AFTERGLOW_S = 2.0
"""How long after the end of the fault a slow request is still laid to it; others that were due before such a
one was answered stood in the same queue."""

BEFORE_S = 10.0
"""A write that was acknowledged so long before the fault may still be lost by it."""

ENOUGH = 20
"""Answers after the fault that tell that the service is well again."""

CAUSES = 5

P = TypeVar("P", HealthPoint, WebSocketPoint)


@dataclass(frozen=True)
class Left:
    """What clients had open in the database when the recovery was over; `unread`: why that is not known."""

    sessions: int = 0
    long_transactions: int = 0
    waiting: int = 0
    prepared: int = 0
    unread: str = ""

    def words(self) -> str:
        """What somebody has to end by hand, "" for nothing."""
        told = (
            (self.long_transactions, "sessions with an old transaction"),
            (self.waiting, "sessions that wait for a lock"),
            (self.prepared, "prepared transactions"),
        )
        return ", ".join(f"{count} {what}" for count, what in told if count)


@dataclass(frozen=True)
class Recovery:
    """What followed a fault. `outage_s` is from its begin to the last answer that was not well; `answered`
    are the ok answers since; `silent` the endpoints that were asked and never answered ok again; `waiting`
    the requests that had long waited when it was followed no further, after `followed_s`. `connections` are
    the WebSockets before it and at the end, `connected_s` is when the last of them was connected anew;
    `passed` are messages of the time without one that no service would give again. `failing_ratio` is the
    share of failures at the end of it.
    """

    followed_s: float
    outage_s: float
    answered: int
    failed: int
    slow: int
    errors: Mapping[str, int]
    silent: tuple[str, ...] = ()
    waiting: int = 0
    failing_ratio: float = 0.0
    logins: int | None = None
    reconnects: int | None = None
    missed: int | None = None
    passed: int | None = None
    connections: tuple[int, int] | None = None
    connected_s: float | None = None
    lost_writes: int = 0
    left: Left | None = None

    @property
    def took_s(self) -> float:
        """From the fault's begin until requests were answered well and WebSockets were connected."""
        return max(self.outage_s, self.connected_s or 0.0)


def grade_fault(told: Told, facts: Facts) -> DrillResult:
    """The result of a drill on the service or its database."""
    for what, name in (("connections", "WebSocket was connected"), ("backends", "client had a session")):
        if told.seen.get(what) == 0:
            return told.ungraded(f"no {name} that it could have struck")
    found = _recovery(told, facts)
    bound_s = BOUNDS_S[told.drill.name] + told.drill.lasts_s
    grade, why = _came_back(told, found, bound_s)
    end_at = max(told.end_at, told.begin_at + found.took_s) if grade in ("A", "B", "C") else None
    return told.result(grade, why, end_at, {**_seen(told), **_evidence(found, bound_s)})


def _came_back(told: Told, found: Recovery, bound_s: float) -> tuple[Grade | None, str]:
    if told.seen.get("back") is False:
        return "D", str(told.seen.get("why") or "it did not come back")
    return graded(found, bound_s)


def graded(found: Recovery, bound_s: float) -> tuple[Grade | None, str]:
    """The grade and its reason; none when too little was asked after the fault to tell."""
    if bad := _lost(found):
        return "D", bad
    if unwell := _unwell(found):
        followed = f"{unwell} within {format_duration(found.followed_s)}"
        if found.followed_s >= bound_s:
            return "D", followed
        return None, f"{followed}, and it was followed no longer: give it more with --recover-time"
    if found.answered < ENOUGH:
        return None, f"needs {ENOUGH} ok answers after it, has {found.answered}"
    if found.left is not None and found.left.unread:
        return None, f"what was left is not known: {found.left.unread}"
    noticed = f"all was well {format_duration(found.took_s)} after it began"
    well = noticed if found.took_s else "no client noticed it"
    slow = f"{found.slow} {'was' if found.slow == 1 else 'were'} slow"
    what = f"{well}; {counted(found.failed, 'request')} failed, {slow}"
    if found.left is not None and (left := found.left.words()):
        return "C", f"{what}; left: {left}"
    if found.took_s > bound_s:
        return "B", f"{what}; the bound is {format_duration(bound_s)}"
    return "A", what


def _lost(found: Recovery) -> str:
    if found.lost_writes:
        return f"{counted(found.lost_writes, 'acknowledged write was', 'acknowledged writes were')} lost"
    if found.missed:
        return f"{counted(found.missed, 'message')} never came over WebSockets"
    return ""


def _unwell(found: Recovery) -> str:
    if found.silent:
        return f"{', '.join(found.silent)} did not answer ok again"
    if found.failing_ratio > FAILING_RATIO:
        return f"{found.failing_ratio:.0%} of the requests still failed, and not all was well again"
    if found.waiting:
        return f"{counted(found.waiting, 'request')} still waited, and not all was well again"
    if found.connections is not None and found.connections[1] < found.connections[0]:
        before, after = found.connections
        were = "was" if before - after == 1 else "were"
        return f"{before - after} of {counted(before, 'WebSocket')} {were} not connected again"
    return ""


def _seen(told: Told) -> dict[str, Any]:
    """What the harness itself saw of the fault."""
    kept = {
        key: told.seen[key]
        for key in ("backends", "connections", "down_s", "server_ended")
        if key in told.seen
    }
    return {"fault_s": rounded(told.end_at - told.begin_at), **kept}


def _evidence(found: Recovery, bound_s: float) -> dict[str, Any]:
    left = found.left
    return {
        "outage_s": rounded(found.outage_s),
        "bound_s": bound_s,
        "followed_s": rounded(found.followed_s),
        "answered_after": found.answered,
        "failed": found.failed,
        "slow": found.slow,
        "errors": dict(found.errors),
        "logins": found.logins,
        "reconnects": found.reconnects,
        "reconnected_s": rounded(found.connected_s),
        "missed": found.missed,
        "passed": found.passed,
        "lost_writes": found.lost_writes,
        "sessions_left": None if left is None or left.unread else left.sessions,
        "left": None if left is None or left.unread else left.words(),
    }


# from the record


def _recovery(told: Told, facts: Facts) -> Recovery:
    window = _followed(told, facts)
    asked = _since(facts.record.samples, window)
    samples = asked.where(asked.end < window.end)
    ok = samples.outcome == Outcome.OK
    long = samples.latency > SLOW_S
    failed = (samples.outcome == Outcome.ERROR) | (samples.outcome == Outcome.UNFINISHED) & long
    slow = ok & long & (samples.at < _queue_end(samples.where(ok & long), told.end_at + AFTERGLOW_S))
    well_at = float(np.max(samples.end[failed | slow], initial=window.start))
    after = ok & (samples.at >= well_at)
    return Recovery(
        followed_s=window.duration,
        outage_s=well_at - window.start,
        answered=int(np.count_nonzero(after)),
        failed=int(np.count_nonzero(failed)),
        slow=int(np.count_nonzero(slow)),
        errors=_causes(samples, failed),
        silent=_silent(samples, told.end_at),
        waiting=int(np.count_nonzero((asked.end >= window.end) & (asked.at < window.end - SLOW_S))),
        failing_ratio=_failing_ratio(samples.where(samples.end >= window.end - TAIL_S)),
        logins=_logins(facts, window),
        reconnects=_counted(facts, window, "reconnects"),
        missed=_counted(facts, window, "missed"),
        passed=_counted(facts, window, "passed"),
        connections=_connections(facts, window),
        connected_s=_connected_s(facts, window),
        lost_writes=_lost_writes(facts, window),
        left=_left(told, facts),
    )


def _followed(told: Told, facts: Facts) -> Window:
    """From the begin of the fault for as long as what is seen is laid to it."""
    others = [event.at for event in facts.record.events if event.kind == Kind.DRILL_BEGIN]
    following = (at for at in others if at > told.begin_at)
    end = min(told.end_at + facts.record.plan.recover_s, facts.timeline.load_end, *following)
    return Window(told.drill.name, told.begin_at, max(end, told.begin_at))


def _since(samples: SampleTable, window: Window) -> SampleTable:
    """What was in flight when the fault began, or asked since; endpoints that failed before are left out."""
    broken = [samples.endpoints.index(name) for name in broken_before(samples, window)]
    mask = (samples.end >= window.start) & (samples.at < window.end) & ~np.isin(samples.endpoint, broken)
    return samples.where(mask)


def _queue_end(slow: SampleTable, until: float) -> float:
    """When the queue was through that the fault had made: until then slow requests were due without a gap."""
    for at, end in zip(slow.at, slow.end, strict=True):  # ordered by `at`
        if at > until:
            break
        until = max(until, float(end))
    return until


def _causes(samples: SampleTable, failed: npt.NDArray[np.bool_]) -> dict[str, int]:
    """The commonest causes of what failed, with their numbers."""
    bad = samples.where(failed)
    causes = Counter(
        "unfinished" if outcome == Outcome.UNFINISHED else bad.causes[cause] or "no cause was told"
        for outcome, cause in zip(bad.outcome, bad.cause, strict=True)
    )
    return dict(sorted(causes.most_common(CAUSES), key=lambda pair: (-pair[1], pair[0])))


def _failing_ratio(samples: SampleTable) -> float:
    """The share of errors, 0 where fewer than five requests ended."""
    return float(np.mean(samples.outcome == Outcome.ERROR)) if len(samples) >= 5 else 0.0


def _silent(samples: SampleTable, end_at: float) -> tuple[str, ...]:
    """Endpoints that were asked at least five times after the fault and never answered ok."""
    after = samples.where(samples.at >= end_at)
    size = len(after.endpoints)
    asked = np.bincount(after.endpoint, minlength=size)
    answered = np.bincount(after.endpoint[after.outcome == Outcome.OK], minlength=size)
    return tuple(after.endpoints[number] for number in np.flatnonzero((asked >= 5) & (answered == 0)))


def _points(points: Iterable[P], window: Window) -> list[P]:
    """Those that tell of the window alone: the one after its end tells of what struck then, too."""
    return [point for point in points if window.start <= point.at < window.end]


def _logins(facts: Facts, window: Window) -> int | None:
    known = [p.logins for p in _points(facts.record.health, window) if p.logins is not None]
    return sum(known) if known else None


def _counted(facts: Facts, window: Window, name: str) -> int | None:
    points = _points(facts.record.websocket, window)
    return sum(int(getattr(point, name)) for point in points) if points else None


def _connections(facts: Facts, window: Window) -> tuple[int, int] | None:
    """How many WebSockets were connected before the fault and at its end, None where there was none."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for point in sorted(facts.record.websocket, key=lambda point: point.at):
        if point.at < window.start:
            before[point.worker] = point.connections
        if point.at < window.end:
            after[point.worker] = point.connections
    return (sum(before.values()), sum(after.values())) if before else None


def _connected_s(facts: Facts, window: Window) -> float | None:
    """Seconds from the fault's begin to the last time a WebSocket was connected anew, None where none was."""
    anew = [p.at for p in _points(facts.record.websocket, window) if p.reconnects]
    return max(anew) - window.start if anew else None


def _lost_writes(facts: Facts, window: Window) -> int:
    """Records that are lost and of which something was acknowledged around the fault."""
    return sum(
        offender.kind == "lost"
        and any(
            operation.outcome == OperationOutcome.OK
            and operation.kind != OperationKind.READ
            and window.start - BEFORE_S <= operation.ended < window.end
            for operation in offender.history
        )
        for offender in facts.ledger.offenders
    )


def _left(told: Told, facts: Facts) -> Left | None:
    """What was left, None where there was no database to ask."""
    event = next(
        (e for e in facts.record.events if e.kind == Kind.DRILL_LEFT and e.data.get("drill") == told.number),
        None,
    )
    if event is None:
        return None
    data = event.data
    if data.get("unread"):
        return Left(unread=str(data["unread"]))
    return Left(data["sessions"], data["long_transactions"], data["waiting"], data["prepared"])
