"""The valve: closes the load without stopping the users, so that nothing in flight is cut off.

Locust's own stop kills users in the middle of their requests, and those then leave no trace. Closing the
valve keeps every user, of any class, from starting another task, while the task it is in may end.
"""

from __future__ import annotations

from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust.exception import StopUser
from locust.user import User
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, TaskSet

__all__ = ["Valve", "valve"]


class Valve:
    """Open at first. Users that run one long task of their own call `wait` before each piece of work."""

    def __init__(self) -> None:
        self._opened = Event()
        self._opened.set()
        self._held: set[gevent.Greenlet] = set()
        self._runner: Any = None
        self.sessions = Group()
        """Users that were started beside Locust's own (`load/arrivals.py`)."""

    @property
    def closed(self) -> bool:
        """Whether no new work may begin."""
        return not self._opened.is_set()

    def close(self) -> None:
        """Let no new work begin."""
        self._opened.clear()

    def open(self) -> None:
        """Let work begin again; users that wait go on."""
        self._opened.set()

    def wait(self) -> None:
        """Return at once while the valve is open, else when it is opened."""
        if not self.closed:
            return
        current = gevent.getcurrent()
        self._held.add(current)
        try:
            self._opened.wait()
        finally:
            self._held.discard(current)

    def install(self, runner: Any) -> None:
        """Put the valve before the start and before every task of every user of `runner`."""
        self._runner = runner
        User.run = _run_when_open  # type: ignore[method-assign,misc]
        TaskSet.execute_next_task = _execute_when_open  # type: ignore[method-assign]

    def busy_users(self) -> int:
        """How many users are in the middle of a task: neither between two tasks nor held by the valve."""
        users = self._runner.user_greenlets if self._runner is not None else ()
        greenlets = (*users, *self.sessions)
        return sum(1 for greenlet in greenlets if greenlet not in self._held and not _resting(greenlet))


def _resting(greenlet: Any) -> bool:
    """Whether a user's greenlet is over (it then has no arguments) or sleeps between two tasks."""
    return not greenlet.args or greenlet.args[0]._state == LOCUST_STATE_WAITING


_run: Any = User.run
_execute: Any = TaskSet.execute_next_task


def _run_when_open(user: User) -> None:
    valve.wait()
    _run(user)


def _execute_when_open(task_set: TaskSet) -> None:
    if valve.closed:
        user = task_set.user
        user._state = LOCUST_STATE_WAITING  # a user in this state is stopped at once
        valve.wait()
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser
        user._state = LOCUST_STATE_RUNNING
    _execute(task_set)


valve = Valve()
"""The valve of this process."""
