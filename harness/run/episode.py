"""An episode of a run: what the controller drives and judges by, and one in which nothing is migrated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.core.events import Kind
from harness.core.timeline import IMPACT_MINIMUM_S

__all__ = ["Announce", "EpisodeRun", "Note", "PlaceboEpisode"]

Note = Callable[..., float]
"""Writes an event: `note(kind, at=None, **data)`; returns the event's instant in run time."""

Announce = Callable[..., None]
"""Tells the service's users: `announce(status, **what)`."""


class EpisodeRun(Protocol):
    """What the controller drives: `begin()`, `step()` until `ended`, then `abort()` whatever happened."""

    direction: str
    status: str
    ended: bool
    first_statement_at: float | None
    impact_until: float  # after its end, when clients are surely through with what it had locked

    @property
    def doing(self) -> str:
        """What it does now, in a few words; empty when nothing."""

    def begin(self) -> None:
        """Start."""

    def step(self) -> None:
        """See what has happened since the last step; never waits."""

    def abort(self) -> None:
        """End it if it still runs. Idempotent."""


class PlaceboEpisode:
    """No migration: an episode of the shortest impact window, in which nothing is done."""

    direction = "upgrade"
    status = "ok"
    ended = True
    doing = "placebo: nothing"

    def __init__(self, note: Note) -> None:
        self._note = note
        self.first_statement_at: float | None = None
        self.impact_until = 0.0

    def begin(self) -> None:
        """Write the event that marks the window."""
        self.first_statement_at = self._note(
            Kind.MIGRATION_BEGIN, episode=1, direction="upgrade", placebo=True, attempt=1, target=None
        )
        self.impact_until = self.first_statement_at + IMPACT_MINIMUM_S

    def step(self) -> None:
        """Nothing happens."""

    def abort(self) -> None:
        """Nothing runs."""
