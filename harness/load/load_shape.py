"""A locustfile's LoadTestShape: it moves the users while the phases go on.

Locust ends a test whose shape is over at once, with the requests in flight
(`locust/runners.py`, `Runner.shape_worker`). So the shape's end is told to the run first, which drains its
users in order and then ends Locust.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from locust.shape import LoadTestShape

__all__ = ["hold"]

log = logging.getLogger("harness")


def hold(shape: LoadTestShape, ended: Callable[[str], None]) -> None:
    """Have `shape` keep its last number of users when it is over, and call `ended` with the cause.

    `ended` is called at every tick from then on. A shape that fails is over too.
    """
    tick, reset = shape.tick, shape.reset_time
    name = type(shape).__name__
    last: Any = (1, 1.0)
    cause = ""

    def held() -> Any:
        nonlocal last, cause
        if not cause:
            try:
                order = tick()
            except Exception as error:
                log.exception("The load shape %s failed.", name)
                cause = f"the load shape {name} failed: {type(error).__name__}"
            else:
                if order is not None:
                    last = order
                    return order
                cause = f"the load shape {name} was over: its tick() returned None"
        ended(cause)
        return last

    def started_again() -> None:
        nonlocal last, cause
        last, cause = (1, 1.0), ""
        reset()  # type: ignore[no-untyped-call]

    shape.tick = held  # type: ignore[method-assign]
    shape.reset_time = started_again  # type: ignore[method-assign]
