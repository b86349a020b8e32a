"""Numbering: which numbers of an account's stream have come, in which order, and which never did."""

from __future__ import annotations

from enum import Enum

__all__ = ["Arrival", "Numbering"]

_MOST_GAPS = 1000
"""Gaps that are kept for what comes late; of more, the oldest are given up."""


class Arrival(Enum):
    """How a numbered message came."""

    IN_ORDER = "in order"
    LATE = "after a later one"
    AGAIN = "a second time"


class Numbering:
    """Which numbers of a stream have come. `last` is the highest, None before the stream has begun."""

    def __init__(self) -> None:
        self.last: int | None = None
        # Half-open and in order: a service that counts wildly may leave out more numbers than memory holds.
        self._gaps: list[tuple[int, int]] = []
        self._given_up = 0

    def begin(self, last: int) -> None:
        """The stream goes on after `last`; has no effect on a stream that has begun."""
        if self.last is None:
            self.last = last

    def begin_anew(self) -> None:
        """The stream goes on somewhere: what came between cannot be had."""
        self.last = None

    def arrive(self, number: int) -> Arrival:
        """Take note of a message."""
        if self.last is None or number > self.last:
            if self.last is not None and number > self.last + 1:
                self._leave_out(self.last + 1, number)
            self.last = number
            return Arrival.IN_ORDER
        for place, (start, end) in enumerate(self._gaps):
            if start <= number < end:
                rest = [(start, number), (number + 1, end)]
                self._gaps[place : place + 1] = [gap for gap in rest if gap[0] < gap[1]]
                return Arrival.LATE
        return Arrival.AGAIN

    def end(self, last: int) -> None:
        """Nothing more comes, and the latest was `last`: what is missing up to it was left out."""
        if self.last is not None and last > self.last:
            self._leave_out(self.last + 1, last + 1)
            self.last = last

    def give_up(self) -> int:
        """How many numbers were left out for good, once nothing more can come; they are counted once."""
        count = self._given_up + sum(end - start for start, end in self._gaps)
        self._gaps, self._given_up = [], 0
        return count

    def _leave_out(self, start: int, end: int) -> None:
        self._gaps.append((start, end))
        if len(self._gaps) > _MOST_GAPS:
            first, last = self._gaps.pop(0)
            self._given_up += last - first
