"""Descriptors: may this process open as many connections as its part of the load takes?

A process that runs out of them fails requests that the service never saw (`EMFILE`).
"""

from __future__ import annotations

import math
import resource
from collections.abc import Sequence
from typing import Any

from harness.errors import SetupError
from harness.load.hooks import on_begin
from harness.load.messages import RunSettings

__all__ = ["check_descriptors", "needed"]

BESIDE = 100
"""Descriptors of everything else: Locust's own sockets, logs, children."""


def needed(users: int, tasks: int | None, websockets: bool) -> int:
    """Descriptors that so many users take: a connection for their tasks and one for what they do beside, and
    a WebSocket; each of `tasks` that may be under way beyond one a user takes one more.
    """
    return users * (3 if websockets else 2) + max(0, (tasks or 0) - users) + BESIDE


def check_descriptors(count: int) -> None:
    """See to it that this process may open so many; raises SetupError when it may not, and cannot change it.

    The soft limit is the process's own to raise (setrlimit(2)); Locust raises it to 10,000 where it can.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard == resource.RLIM_INFINITY or hard >= count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        return
    raise SetupError(
        f"The load takes about {count:,} open files (connections) in one process, which may have {hard:,}.",
        f"Raise it (ulimit -Hn {count}), give it more --processes, or lower --users or --max-in-flight.",
    )


@on_begin
def check_here(settings: RunSettings, users: Sequence[type[Any]]) -> None:
    """Check a worker's own part."""
    workers = settings.worker_count
    tasks = None if settings.max_in_flight is None else math.ceil(settings.max_in_flight / workers)
    websockets = any(getattr(user, "stream", None) for user in users)
    check_descriptors(needed(math.ceil(settings.users / workers), tasks, websockets))
