"""The observer child as its parent has it: started before the load, told of the migration, stopped after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.clock import Sleep, monotonic, wait_until
from harness.core.counted import counted
from harness.core.observation import ENDED
from harness.db.migration import TraceTail
from harness.db.observer_order import Order
from harness.environ import child_environment

__all__ = ["ObserverChild"]

STOP_WITHIN_S = 5.0
TERMINATE_WITHIN_S = 2.0


class ObserverChild:
    """A process and session of its own, so that Ctrl-C in the terminal does not reach it.

    It ends with its standard input, so a harness that is killed does not leave it behind.
    """

    def __init__(self, order: Order, log_file: Path) -> None:
        self._order = order
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = TraceTail(order.directory / "database.ndjson")
        self._waiting = 0
        self._backends: dict[int, str] = {}
        self._progress = ""
        self._told: tuple[bool, tuple[int, ...]] = (False, ())
        self._stopped = False

    def start(self) -> None:
        """Start it and give it its order."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.db.observer"],
                bufsize=0,
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell(self._order.as_json())

    @property
    def died(self) -> str:
        """How it ended without being told to; empty while it runs, and after `stop`."""
        if self._process is None or self._stopped:
            return ""
        code = self._process.poll()
        if code is None:
            return ""
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def migrating(self, running: bool, pids: Sequence[int] = ()) -> None:
        """Say that the migration runs, and which backends are known to be its; the same is not said twice."""
        if (running, tuple(pids)) != self._told:
            if running and not self._told[0]:
                self._backends.clear()
            self._told = (running, tuple(pids))
            self._progress = ""
            now = monotonic() - self._order.zero
            self._tell({"migrating": running, "pids": list(pids), "at": now})

    def measure(self, name: str, pid: int) -> None:
        """Have a process measured that was started since."""
        self._tell({"processes": {name: pid}})

    def says(self) -> str:
        """What it last saw, in a few words: how far a command is, how many sessions wait; mostly nothing."""
        self._read()
        waiting = f"{counted(self._waiting, 'session')} waiting" if self._waiting else ""
        return ", ".join(filter(None, (self._progress, waiting)))

    def backends(self) -> dict[int, str]:
        """The backends that it has seen to be the migration's since that began, and by what."""
        self._read()
        return dict(self._backends)

    def _read(self) -> None:
        for line in self._seen.read():
            if line.get("what") == "point":
                self._waiting = int(line.get("waiting") or 0)
            elif line.get("what") == "progress":
                self._progress = _progress(line)
            elif line.get("what") == "backend":
                self._backends[int(line["pid"])] = str(line["by"])

    def stop(self, sleep: Sleep = time.sleep) -> None:
        """Have it write what is left and end, within about ten seconds. Idempotent."""
        process = self._process
        if process is None or self._stopped:
            return
        self._tell({"stop": True})
        self._stopped = True
        if process.stdin is not None:
            process.stdin.close()
        for number, within_s in (
            (None, STOP_WITHIN_S),
            (signal.SIGTERM, TERMINATE_WITHIN_S),
            (signal.SIGKILL, 2),
        ):
            if number is not None and process.poll() is None:
                os.killpg(process.pid, number)
            if wait_until(lambda: process.poll() is not None, within_s, sleep):
                return

    def _tell(self, line: dict[str, Any]) -> None:
        """A line that it does not take is lost with it: `died` then says so."""
        stdin = self._process.stdin if self._process is not None else None
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(json.dumps(line).encode() + b"\n")
        except BrokenPipeError:
            return


def _progress(line: Any) -> str:
    if line.get("phase") == ENDED:
        return ""
    ratio = line.get("done_ratio")
    percent = "" if ratio is None else f" {100 * float(ratio):.0f} %"
    return f"{line.get('command')}: {line.get('phase')}{percent}"
