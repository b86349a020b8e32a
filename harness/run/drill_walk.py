"""The drill `kill-migrator@each` in a run: its walk is a process of its own, which starts when the load is
over and whose lines become events.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.clock import Sleep, wait_until
from harness.core.events import Kind
from harness.db.migration import TraceTail
from harness.environ import child_environment
from harness.run.drills import Noted
from harness.run.services import end_of_log
from harness.run.walk import WalkOrder

__all__ = ["WALK_WITHIN_S", "WalkDrill"]

WALK_WITHIN_S = 900.0
"""How long a walk may take; what was not walked by then leaves the drill without a grade."""

ENDS_WITHIN_S = 10.0


class WalkDrill:
    """Drives the process (`harness.run.drills.DrillRun`); its lines go to `lines`, complaints to `log`."""

    def __init__(self, noted: Noted, order: WalkOrder, lines: Path, log: Path, sleep: Sleep) -> None:
        self.ended = False
        self.doing = ""
        self._noted = noted
        self._order = order
        self._lines = lines
        self._log = log
        self._sleep = sleep
        self._tail = TraceTail(lines)
        self._process: subprocess.Popen[bytes] | None = None
        self._places = self._walked = 0

    def begin(self) -> None:
        """Start the process and give it its order."""
        with self._lines.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.run.walk"],
                bufsize=0,
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        self.doing = "rehearses the migration on a copy"
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended: `step` says so
                self._process.stdin.write(json.dumps(asdict(self._order)).encode() + b"\n")

    def step(self) -> None:
        """Take in what it told; see whether it ended."""
        process = self._process
        if process is None or self.ended:
            return
        code = process.poll()
        for line in self._tail.read():
            self._take(dict(line))
        if code is not None:
            self.ended = True
            said = end_of_log(self._log, 3)
            self._noted.end(done=False, why=f"the walk ended with exit code {code} before its end. {said}")

    def abort(self) -> None:
        """End the process; it ends the migration that it runs."""
        process = self._process
        if process is None:
            return
        self._noted.end(done=False, why=f"the run ended after {self._walked} of {self._places} places")
        self.ended = True
        if process.stdin is not None:
            process.stdin.close()
        if not wait_until(lambda: process.poll() is not None, ENDS_WITHIN_S, self._sleep):
            os.killpg(process.pid, signal.SIGKILL)
            wait_until(lambda: process.poll() is not None, 2.0, self._sleep)

    def _take(self, line: dict[str, Any]) -> None:
        kind = line.pop("kind", None)
        if kind == "plan":
            self._places = int(line["places"])
            self._noted.begin(**line)
        elif kind == "cell":
            self._walked = int(line["number"])
            self._noted.note(Kind.DRILL_CELL, drill=self._noted.number, **line)
        elif kind == "end":
            self._noted.end(done=self._walked > 0, why=line.get("why", ""))
            self.ended = True
        self.doing = f"killed at {self._walked} of {self._places} places"
