"""A plan file decides a run, `harness plan` prints it, and a wrong one is refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fix_run import LOCUSTFILE, without_test_settings

pytestmark = [pytest.mark.e2e]

PLAN = f"""
[load]
locustfile = "{LOCUSTFILE}"
users = 12

[phases]
warmup = "4s"

[verdict]
gates = ["slow: p95{{phase=migrate}} < 800ms"]
no-gates = ["ws_missed"]
"""


def started(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**without_test_settings(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_harness_plan_prints_what_a_dry_run_does(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text(PLAN)
    flags = ("--warmup-time", "5s", "--no-gate", "stall")
    planned = started(tmp_path, "harness", "plan", *flags, MUL_DRAIN_TIME="3s")
    dry = started(
        tmp_path, "locust", "-f", str(LOCUSTFILE), "--headless", "--dry-run", *flags, MUL_DRAIN_TIME="3s"
    )
    assert (planned.returncode, dry.returncode) == (0, 0), planned.stderr + dry.stderr
    assert planned.stdout == dry.stdout
    plan = json.loads(planned.stdout)
    assert (plan["users"], plan["warmup_s"], plan["drain_s"]) == (12, 5.0, 3.0)
    assert plan["no_gates"] == ["ws_missed", "stall"]
    assert [path.name for path in tmp_path.iterdir()] == ["harness.toml"]


def test_harness_plan_needs_no_locustfile(tmp_path: Path) -> None:
    planned = started(tmp_path, "harness", "plan")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["websocket"] is True
    assert "no locustfile" in planned.stderr


def test_what_only_the_run_can_refuse_is_said_in_the_files_words(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[verdict]\nno-gates = ['latncy']")
    planned = started(tmp_path, "harness", "plan", "-f", str(LOCUSTFILE), "--plan", "my.toml")
    assert planned.returncode == 2
    assert planned.stderr.startswith(
        "harness: my.toml: [verdict] no-gates latncy: there is no such gate. Known gates: errors, "
    )
    assert planned.stderr.count("\n") == 1


def test_a_wrong_file_is_refused_before_any_load(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text("[load]\nusres = 3")
    run = started(tmp_path, "locust", "-f", str(LOCUSTFILE), "--headless")
    assert run.returncode == 2
    assert "harness: harness.toml: [load] has no key usres. Did you mean users?" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["harness.toml"]
