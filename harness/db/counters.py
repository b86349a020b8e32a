"""PostgreSQL's counters, from when the observer began."""

from __future__ import annotations

from harness.core.observation import DatabasePoint

__all__ = ["Counters"]

COUNTERS = ("deadlocks", "temp_bytes", "commits", "rollbacks", "wal_bytes")


class Counters:
    """Totals since the first count; a server that lost its statistics in a crash counts from 0."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def count(self, point: DatabasePoint, own: int) -> dict[str, int]:
        """What `point` makes them, less the `own` transactions of who watches since the last count."""
        given = {name: value for name in COUNTERS if (value := getattr(point, name)) is not None}
        for name, value in given.items():
            before = self._last.get(name)
            more = 0 if before is None else value - before if value >= before else value
            less = own if name == "commits" and before is not None else 0
            self._counted[name] = self._counted.get(name, 0) + more - less
        self._last = given
        return {name: max(0, self._counted[name]) for name in given}
