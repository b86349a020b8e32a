"""Pacing: when is the next task due? Arithmetic only; whoever asks tells it the time.

A closed loop asks less while the service stalls, so its percentiles hide the stall. A schedule is fixed
beforehand instead, every latency is measured from the instant it names, and after a stall the user catches
up without skipping a slot (https://www.scylladb.com/2021/04/22/on-coordinated-omission/).

All schedules count in *arrivals due*, the integral of the target rate over time, and turn that into an
instant last: so they follow a rate that changes, and lose or double no arrival where it does.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count, islice

import numpy as np

__all__ = ["Closed", "Rates", "Schedule", "Slot", "even", "period", "poisson"]

_GAPS_AT_ONCE = 1024


def period(users: int, rate: float) -> float:
    """Seconds between two tasks of one user when `users` together are to start `rate` tasks per second."""
    return users / rate


@dataclass(frozen=True, slots=True)
class _Knot:
    """From the instant `at` on, when so many arrivals were due, the rate is `rate + slope * (t - at)`."""

    at: float
    due: float
    rate: float
    slope: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """The target rate over time, arrivals per second: 0 until `start`, then steps and straight ramps."""

    knots: tuple[_Knot, ...]

    @classmethod
    def start(cls, at: float, rate: float) -> Rates:
        """A rate that is constant from the instant `at` on."""
        return cls((_Knot(at, 0.0, rate),))

    def changed(self, at: float, rate: float, over_s: float = 0.0) -> Rates:
        """The same until `at`; from there straight to `rate` within `over_s` seconds, and constant then.

        An `at` before the start is the start.
        """
        at = max(at, self.knots[0].at)
        before = tuple(knot for knot in self.knots if knot.at < at)
        due, now = self.due(at), self.at(at)
        if over_s <= 0:
            return Rates((*before, _Knot(at, due, rate)))
        ramp = _Knot(at, due, now, (rate - now) / over_s)
        return Rates((*before, ramp, _Knot(at + over_s, due + (now + rate) / 2 * over_s, rate)))

    def at(self, instant: float) -> float:
        """The target rate at an instant."""
        knot = self._knot(instant)
        return knot.rate + knot.slope * (instant - knot.at) if knot else 0.0

    def due(self, instant: float) -> float:
        """How many arrivals are due by an instant, fractions included."""
        knot = self._knot(instant)
        if knot is None:
            return 0.0
        seconds = instant - knot.at
        return knot.due + seconds * (knot.rate + knot.slope / 2 * seconds)

    def when(self, due: float) -> float:
        """The instant by which so many arrivals are due; infinity when the rate stays at 0 before that."""
        knot = self.knots[max(0, bisect_right(self.knots, due, key=lambda knot: knot.due) - 1)]
        left = max(0.0, due - knot.due)
        if not left:
            return knot.at if knot.rate or knot.slope else math.inf
        # The root of slope/2 t² + rate t = left in the form that loses no digits when the slope is small.
        speed = knot.rate + math.sqrt(max(0.0, knot.rate**2 + 2 * knot.slope * left))
        return knot.at + 2 * left / speed if speed else math.inf

    def _knot(self, instant: float) -> _Knot | None:
        index = bisect_right(self.knots, instant, key=lambda knot: knot.at)
        return self.knots[index - 1] if index else None


@dataclass(frozen=True, slots=True)
class Slot:
    """One turn of a user: the instant it was meant for, and how long to wait until then (0 when late).

    `intended` is None where none was fixed beforehand: latency then counts from the send.
    """

    intended: float | None
    wait_s: float


@dataclass(slots=True)
class Schedule:
    """The slots of one of `users` users, from the instant `start` on: each time its share of the arrivals has
    grown by one, a slot is due.

    `phase`, 0–1 of a slot, is drawn anew for each user: users that start together would otherwise stay in
    lockstep and measure their own herd.
    """

    rates: Rates
    users: int
    start: float
    phase: float
    _first: float = field(init=False)
    _taken: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._first = self.rates.due(self.start) / self.users + self.phase

    def follow(self, rates: Rates) -> None:
        """Go by `rates` from now on, which are the old ones until some instant that has not long passed."""
        self.rates = rates

    def take(self, now: float) -> Slot:
        """The next slot; slots that have gone by are handed out one after the other, none is left out."""
        slot = self.next(now)
        self._taken += 1
        return slot

    def next(self, now: float) -> Slot:
        """What `take` would hand out."""
        # Multiplied, not summed up: a long run gathers no rounding error.
        intended = self.rates.when((self._first + self._taken) * self.users)
        return Slot(intended, max(0.0, intended - now))

    def due(self, now: float) -> int:
        """How many slots are due by now."""
        return max(0, math.floor(self.rates.due(now) / self.users - self._first) + 1)

    def begun(self, now: float) -> int:
        """How many of them were taken."""
        return min(self._taken, self.due(now))


@dataclass(slots=True)
class Closed:
    """The turns of a user in a closed loop: the next is due a period after the last one began, or when the
    user is free, if that is later. Turns that go by meanwhile never come.
    """

    period_s: float
    next_at: float

    def take(self, now: float) -> Slot:
        """The next turn."""
        at = max(now, self.next_at)
        self.next_at = at + self.period_s
        return Slot(None, at - now)


def even(index: int = 0, workers: int = 1) -> Iterator[float]:
    """The arrivals of one worker in an even flow, each as the number of arrivals due before it.

    >>> list(islice(even(1, workers=4), 3))
    [1.0, 5.0, 9.0]
    """
    return (float(number) for number in count(index, workers))


def poisson(seed: int, index: int = 0, workers: int = 1) -> Iterator[float]:
    """The same of a Poisson process: the gaps between all workers' arrivals are random, exponentially
    distributed with mean 1, and the same for a seed whatever the number of workers.
    """
    return islice(accumulate(_gaps(seed)), index, None, workers)


def _gaps(seed: int) -> Iterator[float]:
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.standard_exponential(_GAPS_AT_ONCE).tolist()
