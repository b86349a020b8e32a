"""A worker as the master knows it: what it was told and has answered, and how its clock stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.load.mail import Inbox

__all__ = ["Data", "Worker"]

Data = Mapping[str, Any]
Letter = tuple[Callable[["Worker", Data], None], Data]
"""What came from a worker, and what is to be done with it when its turn comes."""


@dataclass
class Worker:
    """What is known of one worker in this run; `zero` is by its own clock."""

    id: str
    inbox: Inbox[Letter] = field(default_factory=Inbox)
    heard_at: float = 0.0
    joined: bool = False
    refused: str = ""
    pid: int | None = None
    zero: float = 0.0
    round_trip_s: float = float("inf")
    offset_s: float = 0.0
    pongs: int = 0
    probed: bool = False
    isolating: bool = False
    dropped: int | None = None
    drained: int | None = None
    read: bool = False
    final: bool = False
    lost: bool = False
    lost_at: float = 0.0
    live_at: float = float("-inf")
    live: Mapping[str, Any] = field(default_factory=dict)
    ended: int = 0

    def measure(self, sent: float, received: float, clock: float) -> None:
        """Take a ping's answer; an offset within the error of its own measurement is none at all."""
        self.pongs += 1
        round_trip = received - sent
        if round_trip < self.round_trip_s:
            offset = (sent + received) / 2 - clock
            self.round_trip_s = round_trip
            self.offset_s = offset if abs(offset) > round_trip / 2 else 0.0
