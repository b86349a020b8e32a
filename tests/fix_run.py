"""Starts real runs, as a person does: `locust -f locustfiles/migrate_under_load.py --headless …`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCUSTFILE = ROOT / "locustfiles" / "migrate_under_load.py"

SHORT = (
    *("--warmup-time", "2s", "--baseline-time", "7s", "--recover-time", "5s", "--probe-time", "1s"),
    *("--target-rate", "120", "--rows", "30000"),
)
"""Flags of the shortest run whose windows still hold enough samples to judge latencies."""

LIGHT = ("--target-rate", "40", "--no-gate", "errors", "--rows", "5000")
"""Flags of a load that a busy machine serves beside other tests; it is too light for a share of errors to be
judged, so let `Run.error_ratios` show that there were none.
"""

PHASES = ("--warmup-time", "1s", "--baseline-time", "5s", "--recover-time", "5s", "--probe-time", "1s")
"""Flags of the shortest phases that the harness takes."""

BRIEF = (*PHASES, *LIGHT)
"""Flags of a run of which nothing is judged by time."""

COUNTED = (
    *("--warmup-time", "1s", "--baseline-time", "7s", "--recover-time", "7s", "--probe-time", "1s"),
    *("--target-rate", "60", "--rows", "5000"),
)
"""Flags of a `BRIEF` run in which the share of errors is judged too."""

UNPROBED = ("--probe-time", "0s")
"""Flags of a run that says nothing of sessions and tokens: what tries them at its end takes a while."""

UNTIMED = tuple(
    flag
    for gate in ("throughput", "latency", "stall", "recovery", "ws_delivery", "ws_status", "generator")
    for flag in ("--no-gate", gate)
)
"""Flags of a run whose verdict must not depend on how busy the machine is: other tests may run beside it."""


@dataclass
class Run:
    """A run that was started: its process, and where its run directory will be."""

    process: subprocess.Popen[str]
    root: Path
    output: str = ""

    def wait(self, within_s: float = 150) -> int:
        """Its exit code; the output is kept."""
        self.output, _ = self.process.communicate(timeout=within_s)
        return self.process.returncode

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self.root / "latest"

    @property
    def verdict(self) -> dict[str, Any]:
        """verdict.json."""
        found: dict[str, Any] = json.loads((self.directory / "verdict.json").read_text())
        return found

    def gate(self, name: str) -> dict[str, Any]:
        """The first gate of that name."""
        return next(gate for gate in self.verdict["gates"] if gate["name"] == name)

    @property
    def error_ratios(self) -> set[float]:
        """Those of the verdict."""
        return error_ratios(self.verdict)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind so far; a line still being written is left out."""
        file = self.directory / "events.ndjson"
        lines = file.read_text().split("\n")[:-1] if file.is_file() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def phases(self) -> list[str]:
        """The phases entered so far."""
        return [event["name"] for event in self.events("phase")]


@dataclass
class Runs:
    """Starts runs, and ends what is left of them."""

    root: Path
    started: list[Run] = field(default_factory=list)

    def start(
        self, *arguments: str, environment: dict[str, str] | None = None, locustfile: Path = LOCUSTFILE
    ) -> Run:
        """Start a run without waiting for it."""
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless"]
        process = subprocess.Popen(
            [*command, "--run-dir", str(self.root), *arguments],
            cwd=self.root,
            env={**without_test_settings(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(Run(process, self.root))
        return self.started[-1]

    def __call__(
        self, *arguments: str, environment: dict[str, str] | None = None, locustfile: Path = LOCUSTFILE
    ) -> Run:
        """Run to the end."""
        run = self.start(*arguments, environment=environment, locustfile=locustfile)
        run.wait()
        return run

    def stop(self) -> None:
        """End what is left."""
        for run in self.started:
            if run.process.poll() is None:
                run.process.terminate()
                run.wait()


def error_ratios(verdict: dict[str, Any]) -> set[float]:
    """The shares of errors that the phases had: nothing but 0 if all requests were answered well."""
    ratios = (phase["error_ratio"] for phase in verdict["phases"])
    return {ratio for ratio in ratios if ratio is not None}


def without_test_settings() -> dict[str, str]:
    """The environment of a person: the tests' own process does not let Locust patch it, a run must."""
    return {key: value for key, value in os.environ.items() if key != "LOCUST_SKIP_MONKEY_PATCH"}


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Starts runs whose directories are under this test's own folder."""
    runs = Runs(tmp_path)
    yield runs
    runs.stop()


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Runs that several tests look at: the same arguments run once."""
    known: dict[tuple[str, ...], Run] = {}

    def run(*arguments: str) -> Run:
        if arguments not in known:
            known[arguments] = Runs(tmp_path_factory.mktemp("run"))(*arguments)
        return known[arguments]

    return run
