"""How far the clock that stamps changes is ahead of a worker's own, between two bounds that are surely true.

Whoever stamps a change, the service or its database, has a clock that may be off by minutes. Two things are
sure: a change was stamped before its message arrived; and not before the record was asked to be created that
the message is the first to tell of, nor before a stream was asked for that began right before the change. So

    stamp - arrived  <=  offset  <=  stamp - asked

and of many messages the shortest ways there and back tell most, as the shortest round trip does in
Cristian's algorithm (https://doi.org/10.1007/BF01784024). No clock need be named, and no answer trusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["TRUSTED_S", "ClockBounds", "ClockOffset", "offset_between"]

TRUSTED_S = 0.25
"""An offset that is known no better than this tells no delay."""

DRIFT_S = 0.05
"""So far may the bounds contradict each other: clocks drift, and are slewed, while a run lasts."""

_MOST = 10_000


@dataclass(frozen=True)
class ClockOffset:
    """`ahead_s` is what to take off a stamp to have it in the worker's time, right within `error_s`."""

    ahead_s: float
    error_s: float


def offset_between(bounds: Iterable[tuple[float | None, float | None]]) -> ClockOffset | None:
    """The offset that all pairs of bounds (lower, upper; None: not known) allow.

    None where it is not known well enough, or where they contradict each other: then the clock was set
    meanwhile, or it is not one clock.
    """
    pairs = list(bounds)
    low = max((low for low, _ in pairs if low is not None), default=-math.inf)
    high = min((high for _, high in pairs if high is not None), default=math.inf)
    error = max(abs(high - low) / 2, 0.0)
    if low - high > DRIFT_S or not error <= TRUSTED_S:
        return None
    return ClockOffset((low + high) / 2, error)


class ClockBounds:
    """Gathers the bounds of one process; instants that come in are of its own wall clock."""

    def __init__(self) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self._sent: dict[str, float] = {}
        self._stamped: dict[str, float] = {}

    def sending(self, record: str, at: float) -> None:
        """A request goes out that is to create the record."""
        self._sent[record] = at
        _keep_few(self._sent)

    def named(self, key: str, record: str) -> None:
        """The service calls the record that was sent as `key` by another id."""
        sent = self._sent.pop(key, None)
        if sent is None:
            return
        self._sent[record] = sent
        if (stamp := self._stamped.pop(record, None)) is not None:
            self.after(self._sent.pop(record), stamp)

    def after(self, asked: float, stamp: float) -> None:
        """What was stamped so came about after something that was asked for."""
        high = stamp - asked
        self.high = high if self.high is None else min(self.high, high)

    def arrived(self, record: str | None, stamp: float, at: float) -> None:
        """A message came that a clock stamped, about the record."""
        low = stamp - at
        self.low = low if self.low is None else max(self.low, low)
        if record is None:
            return
        if record in self._sent:
            self.after(self._sent.pop(record), stamp)
        elif record not in self._stamped:
            self._stamped[record] = stamp
            _keep_few(self._stamped)


def _keep_few(known: dict[str, float]) -> None:
    if len(known) > _MOST:
        del known[next(iter(known))]
