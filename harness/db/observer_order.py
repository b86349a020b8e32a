"""What the observer child is told, on its standard input, as lines of JSON."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Commands", "Order"]


@dataclass(frozen=True)
class Order:
    """What to watch. `zero` is CLOCK_MONOTONIC at the start of the run, `log` the file of a server that the
    harness started, `processes` those to measure, `application` what the migration's sessions are called,
    `replica` the URL of a replica to read besides."""

    directory: Path
    url: str = field(repr=False)
    zero: float
    log: str | None
    processes: Mapping[str, int]
    application: str
    replica: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Order:
        """The order of the first line."""
        return cls(**{**line, "directory": Path(line["directory"])})

    def as_json(self) -> dict[str, Any]:
        """The first line. The database's password is in it: it goes to the child's input and nowhere else."""
        return {**asdict(self), "directory": str(self.directory.absolute())}


class Commands:
    """Standard input, line by line; waiting for a line is how the observer sleeps."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = b""
        self._lines: list[dict[str, Any]] = []
        self.ended = False

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """The lines that came within `seconds`, at once when there are some."""
        if not self._lines and not self.ended:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, seconds))
            if ready:
                self._read()
        lines, self._lines = self._lines, []
        return lines

    def first(self) -> dict[str, Any] | None:
        """The first line, waiting for it; None when there is none."""
        while not self._lines and not self.ended:
            self._read()
        return self._lines.pop(0) if self._lines else None

    def _read(self) -> None:
        new = os.read(self._descriptor, 1 << 16)
        self.ended = not new
        *lines, self._begun = (self._begun + new).split(b"\n")
        self._lines += [json.loads(line) for line in lines]
