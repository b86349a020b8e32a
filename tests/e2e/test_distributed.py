"""Several load processes give the same verdict, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from harness.clock import wait_until
from harness.stored_record import read_record
from tests.fix_run import (
    BRIEF,
    COUNTED,
    LOCUSTFILE,
    SHORT,
    UNPROBED,
    UNTIMED,
    Run,
    Runs,
    without_test_settings,
)
from tests.fix_target import PASSWORD

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def workers(port: int, runs: Runs) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--worker", "--master-port", str(port)]
    with (runs.root / "workers.log").open("wb") as log:
        started = [
            subprocess.Popen(command, env=without_test_settings(), stdout=log, stderr=log, cwd=runs.root)
            for _ in range(2)
        ]
    yield started
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def test_two_processes_of_one_machine(runs: Runs) -> None:
    accounts = runs.root / "accounts.csv"
    names = [f"account-{number:04}" for number in range(101, 141)]
    accounts.write_text("username,password\n" + "".join(f"{name},{PASSWORD}\n" for name in names))
    run = runs.start("--processes", "2", "--accounts", str(accounts), *BRIEF, *UNTIMED)
    assert wait_until(lambda: "baseline" in run.phases(), within=60)
    children = psutil.Process(run.process.pid).children(recursive=True)
    run.wait()
    assert run.process.returncode == 0, run.output
    assert run.error_ratios == {0.0}
    load = run.verdict["load"]
    assert (load["workers"], load["workers_lost"]) == (2, 0)
    assert load["started"] == load["finished"] + load["unfinished"]
    assert run.verdict["ledger"]["acknowledged"] > 50
    used = {read.account for read in read_record(run.directory).final_reads}
    assert len(used) == 30
    assert used <= set(names)
    assert run.verdict["continuity"]["old_token"]["worked"] == 4  # five a second, shared by two
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_a_worker_that_dies_makes_the_verdict_say_so(
    runs: Runs, port: int, workers: list[subprocess.Popen[bytes]]
) -> None:
    master = ("--master", "--master-bind-port", str(port), "--expect-workers", "2")
    # Half of the arrivals end with it; the errors of the others are still to be counted.
    enough = ("--target-rate", "140", "--baseline-time", "12s")
    run = runs.start(*master, *COUNTED, *UNPROBED, *UNTIMED, *enough)
    assert wait_until(lambda: "baseline" in run.phases() and len(_heard_of(run)) == 2, within=60)
    os.kill(workers[0].pid, signal.SIGKILL)
    assert run.wait() == 4, run.output
    (lost,) = (event["worker"] for event in run.events("worker_lost"))
    assert run.gate("errors")["status"] == run.gate("lost_writes")["status"] == "inconclusive"
    assert f"workers lost: {lost}, and " in run.gate("errors")["why"]
    load = run.verdict["load"]
    assert (load["workers"], load["workers_lost"]) == (2, 1)
    assert 0.3 < load["lost_ratio"] <= 0.5  # half of the users, from early in the baseline on


def _heard_of(run: Run) -> set[str]:
    """The workers that have said how they are."""
    file = run.directory / "health.ndjson"
    lines = file.read_text().split("\n")[:-1] if file.is_file() else []
    return {point["worker"] for point in map(json.loads, lines) if point.get("users")}


@pytest.mark.slow
def test_four_workers_and_one_process_agree(runs: Runs) -> None:
    """The same plan: the same verdict of each gate, and the same arrivals due in the baseline."""
    found = []
    for workers, flags in ((1, ()), (4, ("--processes", "4"))):
        run = runs(*flags, *SHORT, *UNTIMED)
        verdict, load = run.verdict, run.verdict["load"]
        assert (load["workers"], load["workers_lost"], load["lost_ratio"]) == (workers, 0, 0.0)
        assert load["started"] == load["finished"] + load["unfinished"]
        baseline = next(phase for phase in verdict["phases"] if phase["name"] == "baseline")
        gates = {(gate["name"], gate["expression"]): gate["status"] for gate in verdict["gates"]}
        found.append((run.process.returncode, gates, baseline["requests"]))
    (code, gates, due), (code_of_4, gates_of_4, due_of_4) = found
    assert (code, gates) == (code_of_4, gates_of_4)
    assert due_of_4 == pytest.approx(due, rel=0.05)
    assert due == pytest.approx(120 * 7, rel=0.05)


def test_a_refusal_leaves_no_process_behind(runs: Runs) -> None:
    run = runs.start("--processes", "2", "--gate", "p59 < 1s")
    assert run.wait(within_s=30) == 2, run.output
    in_its_session = [p for p in psutil.process_iter() if _session(p) == run.process.pid]
    _, alive = psutil.wait_procs(in_its_session, timeout=15)
    assert alive == []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None
