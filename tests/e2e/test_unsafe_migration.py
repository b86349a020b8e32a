"""What a hurried migration does under load is found, and laid to its statement."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fix_run import SHORT, Run

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

SharedRuns = Callable[..., Run]


@pytest.fixture
def unsafe(shared_runs: SharedRuns) -> Run:
    return shared_runs(*SHORT[:-1], "150000", "--upgrade", "unsafe@head")


def test_analyze_reproduces_the_verdict_byte_for_byte(unsafe: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "analyze", str(unsafe.directory), "--out", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    for name in ("verdict.json", "junit.xml", "summary.md", "report.html"):
        assert (tmp_path / name).read_bytes() == (unsafe.directory / name).read_bytes()


def test_an_unsafe_migration_fails_and_is_named(unsafe: Run) -> None:
    assert unsafe.process.returncode == 1, unsafe.output
    assert unsafe.gate("stall")["status"] == "fail"
    assert unsafe.gate("latency")["status"] == "fail"
    assert unsafe.gate("migration")["status"] == "pass"
    revision = unsafe.verdict["migration"]["statements"][0]["revision"]
    assert revision in unsafe.output


def test_an_unsafe_migration_is_blamed_for_what_its_users_felt(unsafe: Run) -> None:
    worst = unsafe.verdict["blame"][0]
    assert (worst["revision"], worst["relation"], worst["mode"]) == (
        "unsafe1",
        "documents",
        "AccessExclusiveLock",
    )
    assert worst["blocked_sessions"] > 0
    assert worst["longest_wait_s"] > 1
    assert worst["requests_affected"] > 0
    assert worst["advice"]
    assert "traceparent" in worst["tie"]
    assert unsafe.gate("lock_wait")["status"] == "fail"
    verdict = " ".join(unsafe.output.partition("FAIL")[2].split())
    requests = f"{worst['requests_affected']:,} requests affected"
    for said in (
        f"Statement {worst['statement']} of revision unsafe1",
        "AccessExclusiveLock on documents",
        requests,
    ):
        assert said in verdict, unsafe.output
