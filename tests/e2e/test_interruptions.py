"""Whatever happens, the run ends in bounded time, stops what it started, and still writes its verdict."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from harness.clock import wait_until
from tests.fix_run import BRIEF, LIGHT, UNPROBED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LONG_PHASES = ("--warmup-time", "1s", "--baseline-time", "60s", *LIGHT)
FAULTS = Path(__file__).parent.parent / "migrations"


def _started(run: Run) -> list[psutil.Process]:
    """Every process under the run's own, and the services it says it started."""
    found: list[psutil.Process] = psutil.Process(run.process.pid).children(recursive=True)
    return found


def _assert_nothing_is_left(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == [], [process.cmdline() for process in alive]


def _in_phase(run: Run, phase: str) -> None:
    assert wait_until(lambda: phase in run.phases(), within=60), run.phases()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_in_the_baseline_ends_the_run_with_a_verdict(runs: Runs, number: signal.Signals) -> None:
    run = runs.start(*LONG_PHASES)
    _in_phase(run, "baseline")
    children = _started(run)
    os.kill(run.process.pid, number)
    assert run.wait(within_s=60) == 130, run.output
    assert run.verdict["complete"] is False
    assert run.verdict["interrupted_in"] == "baseline"
    assert run.verdict["status"] == "inconclusive"
    assert (run.directory / "report.html").is_file()
    _assert_nothing_is_left(children)


def test_ctrl_c_in_the_migration_stops_it(runs: Runs) -> None:
    run = runs.start(*BRIEF[:-1], "150000")
    _in_phase(run, "migrate")
    children = _started(run)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait(within_s=60) == 130, run.output
    assert run.verdict["interrupted_in"] == "migrate"
    assert run.verdict["migration"]["status"] == "stopped"
    _assert_nothing_is_left(children)


def test_ctrl_c_before_the_load_stops_what_was_started(runs: Runs) -> None:
    run = runs.start("--rows", "200000")
    assert wait_until(lambda: any("postgres" in p.name() for p in _started(run)), within=30)
    children = _started(run)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait(within_s=30) == 130, run.output
    _assert_nothing_is_left(children)


@pytest.mark.parametrize("what", ["service", "postgresql"])
def test_a_service_that_dies_ends_the_run_and_is_named(runs: Runs, what: str) -> None:
    run = runs.start(*LONG_PHASES)
    _in_phase(run, "baseline")
    children = _started(run)
    pid = run.events("run_start")[0]["processes"][what]
    os.kill(pid, signal.SIGKILL)
    assert run.wait(within_s=90) in (1, 4), run.output
    assert run.verdict["complete"] is False
    cause = run.events("stop")[0]["cause"]
    assert cause == {"service": "service died", "postgresql": "database died"}[what]
    _assert_nothing_is_left(children)


def test_a_migration_that_raises_fails_the_run_and_names_the_statement(runs: Runs) -> None:
    run = runs(
        *(*BRIEF, *UNPROBED),
        *("--alembic-config", str(FAULTS / "on_reference" / "failing.ini"), "--upgrade", "failing"),
    )
    assert run.process.returncode == 1, run.output
    assert run.gate("migration")["status"] == "fail"
    assert run.verdict["migration"]["to"] == "v1"
    failed = [s for s in run.verdict["migration"]["statements"] if s["sqlstate"]]
    assert failed[0]["sqlstate"] == "42P01"
    assert "42P01" in run.output


def test_a_migration_that_hangs_is_stopped_at_its_deadline(runs: Runs) -> None:
    run = runs(
        *(*BRIEF, *UNPROBED),
        *("--alembic-config", str(FAULTS / "on_reference" / "failing.ini"), "--upgrade", "hanging"),
        *("--migration-deadline", "4s"),
    )
    assert run.process.returncode == 1, run.output
    assert run.verdict["migration"]["status"] == "deadline"
    assert "deadline" in run.output


def test_no_answer_at_all_is_inconclusive(runs: Runs, tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text(
        "import harness.locust\n"
        "from locust import HttpUser, constant, task\n\n\n"
        "class Silent(HttpUser):\n"
        "    wait_time = constant(1)\n\n"
        "    @task\n"
        "    def nothing(self):\n"
        "        return None\n"
    )
    run = runs("-f", str(silent), "--placebo", *BRIEF, *UNPROBED)
    assert run.process.returncode == 4, run.output
    assert run.verdict["status"] == "inconclusive"
