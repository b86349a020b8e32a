"""The offered load: what was asked for, and how much of it was due, begun and shed.

Workers tell sums since the start of the run, about once a second, so a window's own are known to about a
second at each end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from harness.core.arrivals import CLOSED, OPEN_MODELS, POISSON
from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.pacing import Rates, poisson
from harness.core.record import HealthPoint, Record
from harness.core.timeline import Window

__all__ = [
    "Arrivals",
    "arrivals_in",
    "asked_rate",
    "limits_of_arrivals",
    "not_reached",
    "shed",
    "target_rate",
]

REACHED_RATIO = 0.9
"""Share of the arrivals due that must begin in a window for its target rate to count as reached."""

SHED_RATIO = 0.01
"""Share of shed arrivals from which on what the others met is no whole picture."""


@dataclass(frozen=True)
class Arrivals:
    """How many arrivals were due, of how many the task began, and how many were shed."""

    due: int
    begun: int
    shed: int


def arrivals_in(health: Iterable[HealthPoint], window: Window | None = None) -> Arrivals | None:
    """The arrivals of a window, or of the run, over all workers; None where one of them did not tell."""
    ends: dict[str, tuple[HealthPoint, HealthPoint]] = {}
    for point in health:
        if window is not None and point.at >= window.end:
            continue
        before = ends[point.worker][0] if point.worker in ends else _nothing(point)
        ends[point.worker] = (point if window and point.at < window.start else before, point)
    sums = [0, 0, 0]
    for first, last in ends.values():
        told = zip((last.due, last.begun, last.shed), (first.due, first.begun, first.shed), strict=True)
        for number, (until, since) in enumerate(told):
            if until is None or since is None:
                return None
            sums[number] += until - since
    return Arrivals(*sums) if ends else None


def _nothing(point: HealthPoint) -> HealthPoint:
    return HealthPoint(0.0, point.worker, 0, 0, None, None, (), due=0, begun=0, shed=0)


def target_rate(record: Record, window: Window) -> float | None:
    """The mean target rate of a window, per second; None where the plan has none."""
    plan = record.plan
    if plan.target_rate is None or plan.arrivals == CLOSED:
        return None
    rates = _rates(record)
    if window.duration <= 0:
        return rates.at(window.start)
    return (rates.due(window.end) - rates.due(window.start)) / window.duration


def asked_rate(record: Record, window: Window) -> float | None:
    """Arrivals of a window per second as the plan had them: of random ones those that really came, of others
    the target rate.
    """
    target = target_rate(record, window)
    if target is None or record.plan.arrivals != POISSON or window.duration <= 0:
        return target
    rates = _rates(record)
    first, end = rates.due(window.start), rates.due(window.end)
    came = takewhile(lambda number: number < end, poisson(record.plan.seed))
    return sum(number >= first for number in came) / window.duration


def _rates(record: Record) -> Rates:
    told = [event for event in record.events if event.kind == Kind.TARGET_RATE]
    rates = Rates.start(0.0, 0.0 if told else record.plan.target_rate or 0.0)
    for event in told:
        rates = rates.changed(event.at, float(event.data["rate"]), float(event.data["over_s"]))
    return rates


def not_reached(facts: Facts, phase: str) -> str:
    """Why the target rate of a phase was not reached, "" when it was."""
    window = facts.timeline.window(phase)
    found = window and arrivals_in(facts.record.health, window)
    if not window or not found or found.begun >= REACHED_RATIO * found.due:
        return ""
    rate = target_rate(facts.record, window)
    asked = f"the target rate of {rate:.3g}/s" if rate else "the pace of the users"
    return f"{asked} was not reached in {phase}: {found.begun:,} of {found.due:,} arrivals began in time"


def shed(facts: Facts) -> str:
    """Why what the clients saw is no whole picture, "" unless arrivals were shed."""
    found = arrivals_in(facts.record.health, facts.judged)
    if not found or found.shed <= SHED_RATIO * found.due:
        return ""
    return f"{found.shed:,} of {found.due:,} arrivals were shed"


def limits_of_arrivals(facts: Facts) -> Iterator[str]:
    """What of the plan's load was not offered, in sentences."""
    plan = facts.record.plan
    if why := not_reached(facts, "baseline"):
        remedy = "Lower --target-rate, or give it more"
        yield f"{why[0].upper()}{why[1:]}. {remedy} {'--max-in-flight' if plan.in_flight else '--users'}."
    found = arrivals_in(facts.record.health)
    if found and found.shed:
        yield (
            f"{found.shed:,} of {found.due:,} arrivals were shed as {plan.in_flight or 0:,} tasks were under"
            " way: what they would have met is in no figure. --max-in-flight allows more."
        )
    if plan.arrivals in OPEN_MODELS:
        yield (
            f"Arrivals are {plan.arrivals}: while a user is busy its account opens further sessions, so that"
            " one account may have several requests at once."
        )
