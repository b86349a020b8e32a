"""What a process loads that makes no run: a worker, of which there are many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

OF_A_RUN = (
    "alembic",
    "docker",
    "plotly",
    "rich",
    "sqlalchemy",
    "harness.composition",
    "harness.db",
    "harness.report",
)

WORKER = """
import json, sys
import harness.locust
from locust.argument_parser import get_parser
assert get_parser().parse_args(["--worker"]).worker
print(json.dumps(sorted(sys.modules)))
"""


def test_a_worker_imports_nothing_of_what_makes_a_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    loaded = json.loads(done.stdout)
    assert "harness.load.hooks" in loaded
    assert [name for name in OF_A_RUN if name in loaded] == []
