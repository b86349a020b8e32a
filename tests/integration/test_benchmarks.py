"""Every benchmark still runs, and gives all its rows; how fast anything was is nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.__main__ import BENCHMARKS

pytestmark = pytest.mark.integration


LONG = {"fidelity", "intake", "startup", "users"}
"""Those whose smallest size is whole runs, or many processes."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in BENCHMARKS]
)
def test_a_benchmark_gives_every_row_in_its_smallest_size(name: str, tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "tests.benchmarks", name, "--quick", "--json", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    read: dict[str, Any] = json.loads(file.read_text())
    rows = read["benchmarks"][name]
    assert rows, said.stderr
    assert [row for row in rows if not row["rounds"] and not row["note"]] == []
    assert read["machine"]["cores"] >= 1
    assert f"| {name} " in said.stdout
