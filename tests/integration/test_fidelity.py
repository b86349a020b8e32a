"""What users feel of a stall is what they would have felt, against a queue that arithmetic knows.

The truth is computed for the very arrivals that were made. How late generator and server were by their own
clocks is allowed for, as neither can feel less than that; on a quiet machine it is a millisecond or two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.fix_run import ROOT, without_test_settings

pytestmark = pytest.mark.integration

LOCUSTFILE = Path(__file__).parent / "arrivals_locustfile.py"
RATE, USERS, SECONDS = 100.0, 10, 6.0
STALL_AT, STALL_S, SERVICE_S = 2.5, 1.0, 0.001
SHARE = 0.03
"""By how much a figure may be off, beside the lateness."""


@dataclass(frozen=True)
class Felt:
    """Latencies by their arrivals, and what both ends knew of themselves."""

    at: list[float]
    latency: list[float]
    stall: tuple[float, float]
    allowed_s: float
    counts: dict[str, int]
    sessions: int
    left: int
    others: int


def felt(arrivals: str, folder: Path) -> Felt:
    """Drive the stalling server; a request must be on its way when it is due."""
    serving = [sys.executable, "-m", "tests.integration.stalling_server"]
    plan = [str(STALL_AT), str(STALL_S), str(SERVICE_S)]
    with subprocess.Popen(
        [*serving, *plan], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        port = server.stdout.readline().strip()
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
        settings = {"ARRIVALS": arrivals, "RATE": str(RATE), "SECONDS": str(SECONDS)}
        done = subprocess.run(
            [*command, "-u", str(USERS), "-r", "100", "--host", f"http://127.0.0.1:{port}"],
            env={**without_test_settings(), **settings, "RECORD": str(folder / "record.json")},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        told = json.loads(server.communicate(timeout=30)[0])
    assert (folder / "record.json").is_file(), done.stdout + done.stderr
    found = json.loads((folder / "record.json").read_text())
    at, latency = zip(*sorted(found["samples"]), strict=True)
    return Felt(
        list(at),
        list(latency),
        tuple(told["stall"]),
        2 * found["late_s"] + 2 * told["late_s"] + 0.005,
        found["counts"],
        found["sessions"],
        found["left"],
        found["others"],
    )


def served(arrivals: Sequence[float], stall: tuple[float, float]) -> list[float]:
    """The latencies of a single queue, first come, first served."""
    free, latencies = 0.0, []
    for at in arrivals:
        begin = max(at, free)
        begin = stall[1] if stall[0] - SERVICE_S < begin < stall[1] else begin
        free = begin + SERVICE_S
        latencies.append(free - at)
    return latencies


def test_the_truth_is_that_of_the_notes() -> None:
    """200 a second, a lock of 5 s in 30 s, a drain at 1,000 a second: 16.7 % wait for more than 1 s."""
    truth = np.array(served([n / 200 for n in range(6_000)], (12.0, 17.0)))
    assert np.mean(truth > 1.0) == pytest.approx(4 / (1 - 200 / 1000) / 30, rel=0.01)


@pytest.fixture(scope="module", params=["scheduled", "open", "poisson"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Felt:
    return felt(request.param, tmp_path_factory.mktemp("fidelity"))


def test_every_arrival_that_was_due_is_there_once(run: Felt) -> None:
    assert run.others == 0
    assert run.counts["shed"] == 0
    assert run.counts["begun"] == len(run.at) <= run.counts["due"]
    assert len(set(run.at)) == len(run.at)


def test_nobody_is_answered_before_the_stall_is_over(run: Felt) -> None:
    """Exact, however late anybody was: an arrival that fell into the stall waited for its end."""
    begin, end = run.stall
    within = [(at, got) for at, got in zip(run.at, run.latency, strict=True) if begin < at < end]
    assert len(within) > 50
    assert all(at + got >= end for at, got in within)


def test_what_is_felt_is_what_the_queue_would_have_made_of_these_arrivals(run: Felt) -> None:
    truth, found = np.array(served(run.at, run.stall)), np.array(run.latency)
    said = f"generator and server were late by up to {run.allowed_s * 1000:.0f} ms in all"
    for q in (0.5, 0.95, 0.99, 1.0):
        true = float(np.quantile(truth, q))
        assert float(np.quantile(found, q)) == pytest.approx(true, rel=SHARE, abs=run.allowed_s), said
    for beyond in (0.25, 0.5):
        low, high = np.mean(truth > beyond + run.allowed_s), np.mean(truth > beyond - run.allowed_s)
        assert low * (1 - SHARE) <= np.mean(found > beyond) <= high * (1 + SHARE), said


def test_the_stall_is_as_long_as_it_was_and_never_shorter(run: Felt) -> None:
    """As long as its first arrival felt it, which came at most so much after it began."""
    first = min(at for at in run.at if at > run.stall[0])
    assert run.stall[1] - first <= max(run.latency) <= STALL_S + 0.1 * STALL_S + run.allowed_s


def test_sessions_are_opened_for_open_arrivals_alone_and_none_is_left(run: Felt) -> None:
    assert run.left == 0
    if run.sessions:
        assert run.sessions > RATE * STALL_S / 2
    else:
        assert max(run.latency) > STALL_S - USERS / RATE
