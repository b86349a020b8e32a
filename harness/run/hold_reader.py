"""The drill `hold-reader`: somebody has read the tables and idles in the transaction when the DDL comes."""

from __future__ import annotations

from collections.abc import Callable

from harness.clock import monotonic
from harness.db.clients import HeldReader
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run.drills import Noted
from harness.run.faults import Fault

__all__ = ["HoldReader"]

STARTS_WITHIN_S = 120.0
"""How long it waits for the migration's first statement before it lets go."""


class HoldReader(Fault):
    """Holds on from before the migration's first statement until its seconds have passed since, or the
    migration has ended.

    `first_statement` says whether that came, `over` whether no migration follows any more.
    """

    def __init__(
        self,
        noted: Noted,
        url: DatabaseUrl,
        first_statement: Callable[[], bool],
        over: Callable[[], bool],
    ) -> None:
        super().__init__(noted)
        self._url = url
        self._first_statement = first_statement
        self._over = over
        self._reader: HeldReader | None = None
        self._met_at: float | None = None

    @property
    def within_s(self) -> float:
        """Its own time, and what the migration takes to begin."""
        return self.drill.seconds + STARTS_WITHIN_S

    def _strike(self) -> None:
        self._reader = HeldReader.begin(self._url)
        self._seen.update(pid=self._reader.pid, tables=len(self._reader.tables))

    def _is_over(self) -> bool:
        if self._met_at is None and self._first_statement():
            self._met_at = monotonic()
        held_s = 0.0 if self._met_at is None else monotonic() - self._met_at
        if held_s < self.drill.seconds and not self._over():
            return False
        self._let_go()
        if self._met_at is None:
            raise SetupError("The migration ended without a statement.")
        return True

    def _let_go(self) -> None:
        if self._reader is not None:
            held = self._reader.holds()
            self._reader.end()
            if not held:
                raise SetupError("The reader's session was ended before its time.")

    def _end(self, done: bool, why: str = "") -> None:
        if self._reader is not None:
            self._reader.end()
        super()._end(done, why)
