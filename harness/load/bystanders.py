"""Who else is told of our own requests: the listeners of Locust's `request` event, but for the recorder.

The recorder listens to the event for the sake of other clients. Of ours it knows already, and to tell it once
more, only to be passed over, costs half as much as the sample.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from locust import log
from locust.event import EventHook
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from harness.load.recorder import recorder

__all__ = ["Bystanders", "bystanders_of"]

_MEANT = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)


class Bystanders:
    """The listeners of an event, but for one who has been told."""

    def __init__(self, event: EventHook, told: Callable[..., object]) -> None:
        self._event = event
        self._told = told
        self._seen: list[Callable[..., object]] = []
        self._others: list[Callable[..., object]] = []

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Fire the event for them, as `EventHook.fire` does: what a listener raises is logged, unless it is
        meant for the user.
        """
        listeners = self._event._handlers  # nothing public tells who listens
        if listeners != self._seen:
            self._seen = listeners.copy()
            self._others = [one for one in listeners if one != self._told]
        for one in self._others:
            try:
                one(**fields)
            except _MEANT:
                raise
            except Exception:  # noqa: BLE001 - whatever a listener raises
                logging.error("Uncaught exception in event handler: \n%s", traceback.format_exc())
                log.unhandled_greenlet_exception = True


@lru_cache(maxsize=16)
def bystanders_of(event: EventHook) -> Bystanders:
    """All listeners but the recorder; one object for all the sessions of a process."""
    return Bystanders(event, recorder.on_request)
