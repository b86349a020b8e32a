"""Waits that are over and held back for a moment: the server's log may tell when exactly each ended."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.observation import LogEntry
from harness.core.wait_fold import end_from_log
from harness.core.waits import Wait

__all__ = ["HELD_BACK_S", "LOGGED_AFTER_S", "HeldBack"]

LOGGED_AFTER_S = 0.9
"""Waits longer than about `deadlock_timeout` (1 s) are in the log, which comes a little after their end."""

HELD_BACK_S = 2.0


class HeldBack:
    """The waits that are held back, and what the log has told lately."""

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self._acquired: list[LogEntry] = []  # the log may be read before the poll that misses the wait

    def learn(self, entries: Iterable[LogEntry], now: float) -> None:
        """Take in what the log tells."""
        self._acquired += [entry for entry in entries if entry.kind == "lock_acquired"]
        self.waits = [self._with_logged_end(wait) for wait in self.waits]
        self._acquired = [entry for entry in self._acquired if entry.at > now - HELD_BACK_S]

    def release(self, until: float) -> list[Wait]:
        """Those whose end is exact, or that were over `until` then: the log would have told of them."""
        held, self.waits = self.waits, []
        free: list[Wait] = []
        for wait in held:
            (free if wait.provenance == "exact" or wait.until <= until else self.waits).append(wait)
        return free

    def _with_logged_end(self, wait: Wait) -> Wait:
        return next((exact for entry in self._acquired if (exact := end_from_log(wait, entry))), wait)
