"""The process of a migration, as its episode and the drills see it (`harness/db/migration.py` is one)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.clock import Sleep

__all__ = ["Child", "Order"]


class Order(Protocol):
    """What a migration's process runs."""

    @property
    def command(self) -> Sequence[str]:
        """Its command line."""

    @property
    def log_file(self) -> Path:
        """Where its output goes."""


class Child(Protocol):
    """The migration's process."""

    @property
    def order(self) -> Order:
        """What it runs."""

    @property
    def backend_pids(self) -> Sequence[int]:
        """PostgreSQL's processes that serve it, as far as its records were read."""

    @property
    def unreadable(self) -> int:
        """Lines of its trace that could not be read."""

    def start(self) -> None:
        """Start it."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def records(self) -> Sequence[Mapping[str, Any]]:
        """What its tracer wrote since the last call."""

    def stop(
        self, terminate: Callable[[Sequence[int]], object], *, sleep: Sleep
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """End it and its backends, in bounded time; how, and the records it still wrote."""
