"""The clocks. Everything that needs the time is told it, or asks here.

`time.monotonic` is CLOCK_MONOTONIC on Linux, one clock for every process of a machine, so the records of
the controller, the migration child and the load workers on one machine compare directly
(https://man7.org/linux/man-pages/man2/clock_gettime.2.html).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Sleep", "monotonic", "utc_now", "wait_until"]

Sleep = Callable[[float], object]
"""A way to wait for some seconds: `time.sleep`, which gevent replaces in a Locust process."""


monotonic = time.monotonic
"""Seconds on this machine's monotonic clock."""


def utc_now() -> datetime:
    """The wall clock, in UTC. For names and people, never for measuring."""
    return datetime.now(UTC)


def wait_until(
    condition: Callable[[], bool], within: float, sleep: Sleep = time.sleep, every: float = 0.02
) -> bool:
    """Poll `condition` until it holds or `within` seconds have passed; returns whether it held."""
    deadline = monotonic() + within
    while not condition():
        if monotonic() >= deadline:
            return condition()
        sleep(every)
    return True
