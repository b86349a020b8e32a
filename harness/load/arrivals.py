"""The arrivals of this process: hands each user its next turn, and counts those that were due.

`core/pacing.py` does the arithmetic, `core/arrivals.py` has the words.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from harness.clock import monotonic
from harness.core.arrivals import CLOSED
from harness.core.pacing import Closed, Rates, Schedule, Slot, period
from harness.load.messages import RunSettings

__all__ = ["Arrivals", "Turns", "arrivals"]


class Turns(Protocol):
    """What tells a user when its next task is due."""

    def take(self, now: float) -> Slot:
        """The next turn."""


class Arrivals:
    """Between `begin` and `close` turns are due; instants are `clock.monotonic()` seconds."""

    def __init__(self) -> None:
        self._clear(None, 0.0)

    def _clear(self, settings: RunSettings | None, zero: float) -> None:
        self._settings = settings
        self._rates = Rates.start(zero, (settings and settings.target_rate) or 0.0)
        self._live: dict[int, Schedule] = {}
        self._gone = 0
        self._closed_at: float | None = None

    def begin(self, settings: RunSettings, zero: float) -> None:
        """Count a run's arrivals from nothing."""
        self._clear(settings, zero)

    def close(self, now: float) -> None:
        """Nothing more is due. The first call counts."""
        self._closed_at = now if self._closed_at is None else self._closed_at

    def turns(self, random: Random, own_period_s: float) -> Turns:
        """The turns of one more user; `own_period_s` is its pace where the run has no target rate."""
        settings, now = self._settings, monotonic()
        users, rate = (settings.users, settings.target_rate) if settings else (1, None)
        pace = period(users, rate) if rate else own_period_s
        if settings and settings.arrivals == CLOSED:
            return Closed(pace, now + random.random() * pace)
        rates, share = (self._rates, users) if rate else (Rates.start(now, 1 / pace), 1)
        schedule = Schedule(rates, share, now, random.random())
        self._live[id(schedule)] = schedule
        return schedule

    def leave(self, turns: Turns) -> None:
        """A user is gone, and with it what was due of it and had not begun."""
        schedule = self._live.pop(id(turns), None)
        if schedule is not None:
            self._gone += schedule.begun(self._until())

    def counts(self) -> dict[str, int]:
        """How many arrivals were `due` so far, and how many of them `begun`; nothing in a closed loop, where
        none is due before its user is free.
        """
        if self._settings is None or self._settings.arrivals == CLOSED:
            return {}
        until, live = self._until(), self._live.values()
        return {
            "due": self._gone + sum(schedule.due(until) for schedule in live),
            "begun": self._gone + sum(schedule.begun(until) for schedule in live),
        }

    def _until(self) -> float:
        return monotonic() if self._closed_at is None else self._closed_at


arrivals = Arrivals()
"""The arrivals of this process."""
