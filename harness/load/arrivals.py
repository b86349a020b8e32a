"""The arrivals of this process: tells each user when its next task is due, and counts what was due.

`core/pacing.py` does the arithmetic, `core/arrivals.py` has the words. Scheduled users and closed loops go by
a clock of their own. Open arrivals know no user: each is given to one that is free. Where none is, the users
in turn open one more *session* of their account, with a connection, a memory and random numbers of its own
and the same login: what one session does stays in order, as in one tab of a browser. Sessions stay and are
used again, the users themselves first; when `max_in_flight` tasks run, an arrival is shed, and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Protocol

import gevent
from gevent.event import Event

from harness.clock import monotonic
from harness.core.arrivals import CLOSED, OPEN_MODELS, POISSON
from harness.core.pacing import Closed, Rates, Schedule, Slot, even, period, poisson
from harness.core.plan import Plan
from harness.errors import UsageError
from harness.load.messages import RunSettings
from harness.load.valve import valve

__all__ = ["Arrivals", "Turns", "Worker", "arrivals", "check_workers"]


class Turns(Protocol):
    """What tells a user when its next task is due."""

    def take(self, now: float) -> Slot:
        """The next turn. Open arrivals are waited for, and a rate that may change; the slot then is now."""


class Worker(Protocol):
    """What open arrivals need of a user (`load/users.py`)."""

    def open_session(self, turns: Turns) -> None:
        """Start one more session of the account, which takes its turns from `turns`."""


class Arrivals:
    """Between `begin` and `close` turns are due; instants are `clock.monotonic()` seconds."""

    def __init__(self) -> None:
        self._clear(None, 0.0)

    def _clear(self, settings: RunSettings | None, zero: float) -> None:
        self._settings = settings
        self._rates = Rates.start(zero, (settings and settings.target_rate) or 0.0)
        self._changed = Event()
        self._live: dict[int, Schedule] = {}
        self._gone = 0
        self._closed_at: float | None = None
        self._flow: _Flow | None = None
        if settings is not None and settings.arrivals in OPEN_MODELS:
            self._flow = _Flow(settings, self._rates)

    def begin(self, settings: RunSettings, zero: float) -> None:
        """Count a run's arrivals from nothing."""
        self.end()
        self._clear(settings, zero)

    def change(self, at: float, rate: float, over_s: float) -> None:
        """Have the target rate go to `rate` within `over_s` seconds from the instant `at` on."""
        self._rates = self._rates.changed(at, rate, over_s)
        for schedule in self._live.values():
            schedule.follow(self._rates)
        if self._flow is not None:
            self._flow.follow(self._rates)
        changed, self._changed = self._changed, Event()
        changed.set()

    def close(self, now: float) -> None:
        """Nothing more is due. The first call counts."""
        self._closed_at = now if self._closed_at is None else self._closed_at
        if self._flow is not None:
            self._flow.close()

    def end(self) -> None:
        """End the sessions that were opened beside the users."""
        self.close(monotonic())
        valve.sessions.kill(block=False)

    def turns(self, random: Random, own_period_s: float, user: Worker) -> Turns:
        """The turns of one more user; `own_period_s` is its pace where the run has no target rate."""
        settings, now = self._settings, monotonic()
        if self._flow is not None:
            return self._flow.join(user)
        rate = settings.target_rate if settings else None
        pace = period(settings.users, rate) if settings and rate else own_period_s
        if settings and settings.arrivals == CLOSED:
            return Closed(pace, now + random.random() * pace)
        if settings is None or rate is None:
            return self._counted(Schedule(Rates.start(now, 1 / pace), 1, now, random.random()))
        schedule = self._counted(Schedule(self._rates, settings.users, now, random.random()))
        return _Following(self, schedule) if settings.rate_changes else schedule

    def leave(self, turns: Turns) -> None:
        """A user is gone, and with it what was due of it and had not begun."""
        if self._flow is not None:
            self._flow.leave(turns)
        schedule = self._live.pop(id(turns.schedule if isinstance(turns, _Following) else turns), None)
        if schedule is not None:
            self._gone += schedule.begun(self._until())

    def counts(self) -> dict[str, int]:
        """How many arrivals were `due` so far, how many of them `begun`, and how many were `shed`; nothing in
        a closed loop, where none is due before its user is free.
        """
        if self._settings is None or self._settings.arrivals == CLOSED:
            return {}
        if self._flow is not None:
            return {"due": self._flow.due, "begun": self._flow.begun, "shed": self._flow.shed}
        until, live = self._until(), self._live.values()
        return {
            "due": self._gone + sum(schedule.due(until) for schedule in live),
            "begun": self._gone + sum(schedule.begun(until) for schedule in live),
            "shed": 0,
        }

    def wait_for_change(self, within_s: float) -> None:
        """Return when the rate has changed, or after so many seconds."""
        self._changed.wait(min(within_s, _LONG_S))

    def _counted(self, schedule: Schedule) -> Schedule:
        self._live[id(schedule)] = schedule
        return schedule

    def _until(self) -> float:
        return monotonic() if self._closed_at is None else self._closed_at


_LONG_S = 3600.0
"""A rate that is still 0 names no instant; a timer needs one."""


class _Following:
    """The turns of a scheduled user whose rate may change while it waits for the next."""

    def __init__(self, arrivals: Arrivals, schedule: Schedule) -> None:
        self.schedule = schedule
        self._arrivals = arrivals

    def take(self, now: float) -> Slot:
        """The next turn, when it is due."""
        while wait_s := self.schedule.next(now).wait_s:
            self._arrivals.wait_for_change(wait_s)
            now = monotonic()
        return self.schedule.take(now)


class _Flow:
    """Open arrivals: those of this worker, from the moment on that its first user is there."""

    def __init__(self, settings: RunSettings, rates: Rates) -> None:
        make = poisson(settings.seed, settings.worker_index, settings.worker_count)
        if settings.arrivals != POISSON:
            make = even(settings.worker_index, settings.worker_count)
        self.due = self.begun = self.shed = 0
        self._numbers: Iterator[float] = make
        self._number = next(make)
        self._rates = rates
        self._limit = _share(settings.max_in_flight or settings.users, settings)
        self._users: deque[_Seat] = deque()
        self._idle: tuple[deque[_Seat], deque[_Seat]] = (deque(), deque())  # users, and sessions beside them
        self._sessions = 0
        self._going: gevent.Greenlet | None = None

    def join(self, user: Worker) -> _Seat:
        """A user has come."""
        seat = _Seat(self, user)
        self._users.append(seat)
        self._sessions += 1
        if self._going is None:
            self._skip_until(monotonic())
            self._going = gevent.spawn(self._go)
        return seat

    def leave(self, turns: Turns) -> None:
        """A user, or a session, is gone."""
        if isinstance(turns, _Seat):
            self._sessions -= 1
            if turns in self._users:
                self._users.remove(turns)

    def follow(self, rates: Rates) -> None:
        """Go by `rates` from now on."""
        self._rates = rates
        if self._going is not None:  # it sleeps until an instant of the old rates
            self._going.kill(block=False)
            self._going = gevent.spawn(self._go)

    def close(self) -> None:
        """Nothing more is due."""
        if self._going is not None:
            self._going.kill(block=False)

    def take(self, seat: _Seat) -> float:
        """The instant of the arrival that this session is given, when it is."""
        if seat.given is None:
            idle = self._idle[seat.beside]
            idle.append(seat)
            try:
                seat.called.wait()
            finally:
                if seat.given is None:  # it is stopped
                    idle.remove(seat)
        given, seat.given = seat.given or 0.0, None
        seat.called.clear()
        self.begun += not valve.closed
        return given

    def _skip_until(self, now: float) -> None:
        while self._rates.when(self._number) < now:
            self._number = next(self._numbers)

    def _go(self) -> None:
        while True:
            at = self._rates.when(self._number)
            wait_s = at - monotonic()
            if wait_s > 0:
                gevent.sleep(min(wait_s, _LONG_S))
                continue
            self._number = next(self._numbers)
            self.due += 1
            self._give(at)

    def _give(self, at: float) -> None:
        for idle in self._idle:
            if idle:
                idle.popleft().call(at)
                return
        if not self._users or self._sessions >= self._limit:
            self.shed += 1
            return
        self._users.rotate(-1)
        user = self._users[-1].user
        self._sessions += 1
        user.open_session(_Seat(self, user, beside=True, given=at))


class _Seat:
    """Where one session waits for the arrival that it is given."""

    def __init__(self, flow: _Flow, user: Worker, beside: bool = False, given: float | None = None) -> None:
        self.user = user
        self.beside = beside
        self.given = given
        self.called = Event()
        self._flow = flow

    def take(self, now: float) -> Slot:  # noqa: ARG002 - the flow has a clock of its own
        """The arrival that this session is given, when it is."""
        return Slot(self._flow.take(self), 0.0)

    def call(self, at: float) -> None:
        """Give it the arrival that is due `at`."""
        self.given = at
        self.called.set()


def _share(limit: int, settings: RunSettings) -> int:
    """This worker's part of a limit for all."""
    return limit // settings.worker_count + (settings.worker_index < limit % settings.worker_count)


def check_workers(plan: Plan, workers: int) -> None:
    """Raise UsageError when a worker would have open arrivals and no user to take them."""
    if plan.arrivals in OPEN_MODELS and plan.users < workers:
        raise UsageError(
            f"--arrivals {plan.arrivals} on {workers} workers needs a user on each, but --users is"
            f" {plan.users}.",
            f"Give at least --users {workers}.",
        )


arrivals = Arrivals()
"""The arrivals of this process."""
