"""Every benchmark still runs, and gives all its rows; how fast anything was is nobody's business here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.__main__ import BENCHMARKS
from tests.fix_run import without_test_settings

pytestmark = pytest.mark.integration


LONG = {"fidelity", "intake", "startup", "users"}
"""Those whose smallest size is whole runs, or many processes."""
WITHIN_S = 150.0


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in BENCHMARKS]
)
def test_a_benchmark_gives_every_row_in_its_smallest_size(name: str, tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "tests.benchmarks", name, "--quick", "--json", str(file)]
    said, complaints = finished(command)
    read: dict[str, Any] = json.loads(file.read_text())
    rows = read["benchmarks"][name]
    assert rows, complaints
    assert [row for row in rows if not row["rounds"] and not row["note"]] == []
    assert read["machine"]["cores"] >= 1
    assert f"| {name} " in said


def finished(command: list[str]) -> tuple[str, str]:
    """What it says, and what it complains of; it is given time to stop what it started."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=without_test_settings()
    ) as process:
        try:
            return process.communicate(timeout=WITHIN_S)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            raise
