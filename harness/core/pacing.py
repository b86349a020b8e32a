"""Pacing: when is a user's next task due? Arithmetic only; whoever asks tells it the time.

A closed loop asks less while the service stalls, so its percentiles hide the stall. A schedule is fixed
beforehand instead, every latency is measured from the instant it names, and after a stall the user catches
up without skipping a slot (https://www.scylladb.com/2021/04/22/on-coordinated-omission/).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Schedule", "Slot", "period"]


def period(users: int, rate: float) -> float:
    """Seconds between two tasks of one user when `users` together are to start `rate` tasks per second."""
    return users / rate


@dataclass(frozen=True, slots=True)
class Slot:
    """One turn of a user: the instant it was meant for, and how long to wait until then (0 when late)."""

    intended: float
    wait_s: float


@dataclass(slots=True)
class Schedule:
    """One user's slots: `start + (phase + n) * period_s` for n = 0, 1, 2 …

    `phase`, 0–1 of a period, is drawn anew for each user: users that start together would otherwise stay in
    lockstep and measure their own herd.
    """

    start: float
    period_s: float
    phase: float
    _taken: int = field(default=0, init=False)

    def take(self, now: float) -> Slot:
        """The next slot; slots that have gone by are handed out one after the other, none is left out."""
        # Multiplied, not summed up: a long run gathers no rounding error.
        intended = self.start + (self.phase + self._taken) * self.period_s
        self._taken += 1
        return Slot(intended, max(0.0, intended - now))
