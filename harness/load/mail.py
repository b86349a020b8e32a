"""Mail: how what a worker says reaches the master whole, once and in order, or is known to be missing.

Locust's connection loses what is under way when it breaks, and nobody is told (locust/rpc/zmqrpc.py: ZeroMQ
queues for a peer, and drops the queue with it). So each letter is numbered, kept until it is acknowledged,
and sent again when that takes long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["RESEND_S", "Inbox", "Letter", "Outbox"]

RESEND_S = 2.0
"""How long a letter may go unacknowledged before it is sent again; the wait doubles each time."""

T = TypeVar("T")


@dataclass
class Letter:
    """A message on its way, due to be sent again at `again_at`."""

    number: int
    kind: str
    data: Mapping[str, Any]
    again_at: float
    wait_s: float = RESEND_S


class Outbox:
    """A worker's letters of one run; told the time, by any clock."""

    def __init__(self) -> None:
        self._written = 0
        self._kept: dict[int, Letter] = {}

    @property
    def empty(self) -> bool:
        """Whether all was acknowledged."""
        return not self._kept

    def write(self, kind: str, data: Mapping[str, Any], now: float) -> Letter:
        """The next letter; the caller sends it."""
        letter = Letter(self._written, kind, data, now + RESEND_S)
        self._kept[letter.number] = letter
        self._written += 1
        return letter

    def acknowledged(self, expected: int) -> None:
        """The other side has all letters before number `expected`."""
        for number in [number for number in self._kept if number < expected]:
            del self._kept[number]

    def due(self, now: float) -> list[Letter]:
        """The letters to send again now, oldest first."""
        found = [letter for letter in self._kept.values() if letter.again_at <= now]
        for letter in found:
            letter.wait_s *= 2
            letter.again_at = now + letter.wait_s
        return found


class Inbox(Generic[T]):
    """What came from one worker; takes each letter once and gives them out in their order."""

    def __init__(self) -> None:
        self.expected = 0
        self._early: dict[int, T] = {}

    def take(self, number: int, letter: T) -> list[T]:
        """A letter came; returns those whose turn it is now, none if it came before or too early."""
        if number >= self.expected:
            self._early[number] = letter
        found = []
        while self.expected in self._early:
            found.append(self._early.pop(self.expected))
            self.expected += 1
        return found

    def rest(self) -> list[T]:
        """What came and waited for a letter that never did, in order. Nothing older is taken afterwards."""
        found = [self._early[number] for number in sorted(self._early)]
        self.expected = max(self._early, default=self.expected - 1) + 1
        self._early = {}
        return found
