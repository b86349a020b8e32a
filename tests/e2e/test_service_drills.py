"""Drills on the service, its database and its migration, in real runs under load."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from harness.clock import wait_until
from tests.fix_run import COUNTED, UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FAULTS = (
    "restart-database=fast",
    "pause-database=1s",
    "terminate-backends",
    "drop-websockets",
    "kill-service",
    "expire-tokens",
)


UNHURRIED = ("--target-rate", "50", "--baseline-time", "7s", "--recover-time", "7s")
"""A load that a busy machine serves, and the time that it takes to be through with what piled up."""


@pytest.fixture
def drilled(shared_runs: Callable[..., Run]) -> Run:
    """A run with every drill on service and database, one after the other."""
    flags = [flag for drill in FAULTS for flag in ("--drill", drill)]
    return shared_runs(*COUNTED, *UNTIMED, *UNHURRIED, *flags)


def _result(run: Run, name: str) -> dict[str, Any]:
    return next(result for result in run.verdict["drills"] if result["name"].startswith(name))


def test_everything_comes_back_from_every_fault(drilled: Run) -> None:
    grades = {result["name"]: (result["grade"], result["why"]) for result in drilled.verdict["drills"]}
    assert list(grades) == list(FAULTS)
    assert {grade for grade, _ in grades.values()} <= {"A", "B"}, grades
    assert drilled.gate("drills")["status"] == "pass"


def test_no_acknowledged_write_and_no_message_is_lost(drilled: Run) -> None:
    assert drilled.gate("lost_writes")["status"] == "pass", drilled.gate("lost_writes")
    assert drilled.gate("ws_missed")["status"] == "pass", drilled.gate("ws_missed")


def test_the_migration_is_judged_undisturbed(drilled: Run) -> None:
    for gate in ("errors", "migration", "continuity", "lock_wait", "deadlocks"):
        assert drilled.gate(gate)["status"] == "pass", drilled.gate(gate)
    assert drilled.phases()[5:] == ["probe", *["drill", "drill_recover"] * len(FAULTS), "drain", "final_read"]
    assert drilled.verdict["complete"] is True


def test_each_fault_leaves_its_marks_in_the_evidence(drilled: Run) -> None:
    assert _result(drilled, "restart-database")["evidence"]["failed"] > 0
    assert _result(drilled, "pause-database")["evidence"]["fault_s"] >= 1.0
    assert _result(drilled, "terminate-backends")["evidence"]["backends"] > 0
    dropped = _result(drilled, "drop-websockets")["evidence"]
    assert dropped["connections"] == dropped["reconnects"] == 30
    assert _result(drilled, "kill-service")["evidence"]["failed"] > 0
    expired = _result(drilled, "expire-tokens")["evidence"]
    assert expired["logins"] >= 30
    assert expired["errors"].get("HTTP 401", 0) > 0


@pytest.fixture
def interrupted(runs: Runs) -> Run:
    """A run with the drills on the migration, interrupted while the database is paused."""
    run = runs.start(
        *(*COUNTED, *UNTIMED, *UNHURRIED, "--drill", "hold-reader=2s", "--drill", "old-code-new-schema"),
        *("--drill", "pause-database=2min"),
    )
    assert wait_until(lambda: len(run.events("drill_begin")) == 3, 100, every=0.1), run.phases()
    run.process.send_signal(signal.SIGINT)
    run.wait()
    return run


def test_drills_on_the_migration_and_an_interruption(interrupted: Run) -> None:
    held = _result(interrupted, "hold-reader")
    assert held["grade"] in ("A", "B"), held
    releases = _result(interrupted, "old-code-new-schema")
    assert releases["grade"] == "B", releases
    assert releases["evidence"]["n on new"] == "works"
    assert "create 500" in releases["evidence"]["n+1 on old"]
    paused = _result(interrupted, "pause-database")
    assert (paused["grade"], paused["why"]) == (None, "the run ended while it lasted")
    assert interrupted.process.returncode == 130
    assert interrupted.gate("lost_writes")["status"] == "pass"  # the database answered the final read
    pids = interrupted.events("run_start")[0]["processes"].values()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
