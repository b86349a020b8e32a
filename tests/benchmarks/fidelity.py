"""What an outage looks like in each tool's report: `python -m tests.benchmarks.fidelity`.

A table is locked for exactly 5 s in the middle of 30 s, in which 200 requests a second are due: what is the
p95, the p99, the share over one second, the number of requests? The truth is arithmetic: arrivals do not wait
for each other, so one that comes s seconds into the lock waits until its end, and for those before it in
line. Ours is a whole run of the harness, whose migration holds the lock; for the others a session does. wrk
has no rate, and puts requests into its figures that it did not send (`stats_correct` in its source); plain
Locust and hey wait for an answer before they ask again, and so ask nothing while the table is locked.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import psycopg

from harness.core.arrivals import MODELS
from harness.core.quantiles import quantile
from harness.core.samples import Floats, Outcome
from harness.stored_record import read_record
from tests.benchmarks.locked.service import HERE, Service, harness_run
from tests.benchmarks.table import ANY, Bounds, Row, program

RATE = 200
USERS = 40
CLOSED_USERS = 20
TRUTH = "the truth"
EVEN = ("scheduled", "open")
"""The kinds of arrivals that keep the rate in every second, and so can be held against arithmetic."""

WITHIN: Bounds = (0.97, 1.03)
EXACT: Bounds = (0.999, 1.001)


@dataclass(frozen=True)
class Size:
    """Seconds: the test's, and in it the lock's, which begins after `before`."""

    seconds: float = 30.0
    before: float = 12.5
    lock: float = 5.0


@dataclass(frozen=True)
class Said:
    """What a tool reports; a stall only where it knows the word. Seconds, ratios."""

    p95: float
    p99: float
    slow: float
    requests: float
    stall: float | None = None
    held: float | None = None
    """How long the lock was really held."""
    drain: float | None = None
    """Requests per second that the service answered when it could again."""


def waits(due: Sequence[float], lock: tuple[float, float], drain: float) -> list[float]:
    """How long each arrival waits: for the end of the lock, and for all before it, `drain` of them a second.

    That is Lindley's recursion for one line (https://en.wikipedia.org/wiki/Lindley_equation), closed for as
    long as the lock lasts.
    """
    free, found = 0.0, []
    for at in due:
        free = max(at, free, lock[1] if lock[0] <= at < lock[1] else at) + 1 / drain
        found.append(free - at)
    return found


def drain_of(answered: Sequence[float], ended: float, line: int) -> float:
    """Requests per second that were answered after the lock, until as many were as stood in line."""
    after = sorted(at for at in answered if at >= ended)
    return line / (after[line - 1] - ended)


def summary(latencies: Sequence[float] | Floats) -> tuple[float, float, float]:
    """p95, p99, and the share over one second."""
    found = np.asarray(latencies)
    p95, p99 = quantile(found, 0.95), quantile(found, 0.99)
    assert p95 is not None
    assert p99 is not None
    return p95, p99, float(np.mean(found > 1.0))


def truth(size: Size, drain: float) -> Said:
    """What arithmetic says."""
    due = [(number + 0.5) / RATE for number in range(int(size.seconds * RATE))]
    found = waits(due, (size.before, size.before + size.lock), drain)
    return Said(*summary(found), len(due))


# the contenders


def harness(service: Service, size: Size, folder: Path, *, arrivals: str) -> Said:
    """A whole run; judged are the samples due in the window, as `harness analyze` judges them."""
    around = size.seconds - size.before - size.lock
    lock_file = folder / "lock.json"
    command, environment = harness_run(service, folder / "runs")
    how = ["--users", str(USERS), "--target-rate", str(RATE), "--upgrade", "lock", "--warmup-time", "2s"]
    phases = ["--baseline-time", f"{size.before}s", "--recover-time", f"{max(around + 1, 5)}s"]
    service.answered()
    done = subprocess.run(
        [*command, *how, *phases, "--arrivals", arrivals],
        env={**environment, "LOCK_FILE": str(lock_file), "LOCK_S": str(size.lock)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if not lock_file.is_file():
        raise RuntimeError(f"the run did not migrate:\n{done.stdout[-4000:]}")
    _unlocked(service)
    begun, ended = json.loads(lock_file.read_text())
    drain = drain_of(service.answered(), ended, int(RATE * size.lock))
    return _judged(folder / "runs" / "latest", size, ended - begun, drain)


def _judged(directory: Path, size: Size, held: float, drain: float) -> Said:
    verdict = json.loads((directory / "verdict.json").read_text())
    [lock] = [one for one in verdict["migration"]["statements"] if one["sql"].startswith("LOCK")]
    [stall] = [gate["observed"] for gate in verdict["gates"] if gate["name"] == "stall"]
    start = lock["started_at"] + lock["duration_s"] - size.before
    samples = read_record(directory).samples
    due = samples.where((samples.at >= start) & (samples.at < start + size.seconds))
    if not (due.outcome == Outcome.OK).all():
        raise RuntimeError("requests failed, though the service answers all of them")
    return Said(*summary(due.latency), len(due), stall, held, drain)


def _unlocked(service: Service) -> None:
    """Back to the schema that the next contender migrates."""
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("ALTER TABLE items DROP COLUMN note")


def plain_locust(service: Service, size: Size, folder: Path) -> Said:
    """As many users as it takes for the rate, each ten times a second."""
    stats = folder / "stats.json"
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "plain_locustfile.py"), "--headless"]
    users = [
        "--users",
        str(CLOSED_USERS),
        "--spawn-rate",
        str(CLOSED_USERS),
        "--run-time",
        f"{round(size.seconds)}s",
    ]
    environment = {**os.environ, "STATS_FILE": str(stats)}
    _beside_lock(service, size, [*command, *users, "--host", service.host], environment)
    return Said(**json.loads(stats.read_text()))


def wrk(service: Service, size: Size, folder: Path) -> Said:
    """As fast as it can, on as many connections."""
    how = ["-t1", f"-c{CLOSED_USERS}", f"-d{round(size.seconds)}s", "-s", str(HERE / "report.lua")]
    said = _beside_lock(service, size, ["wrk", *how, "--timeout", "60s", f"{service.host}/item"])
    return Said(**json.loads(said.splitlines()[-1]))


def hey(service: Service, size: Size, folder: Path) -> Said:
    """Its CSV holds every request."""
    rate = str(RATE // CLOSED_USERS)
    how = ["-z", f"{round(size.seconds)}s", "-c", str(CLOSED_USERS), "-q", rate, "-t", "60", "-o", "csv"]
    said = _beside_lock(service, size, ["hey", *how, f"{service.host}/item"])
    found = [float(line["response-time"]) for line in csv.DictReader(said.splitlines())]
    return Said(*summary(found), len(found))


def _beside_lock(
    service: Service, size: Size, command: list[str], environment: dict[str, str] | None = None
) -> str:
    locker = Thread(target=service.lock, args=(size.before, size.lock))
    locker.start()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    locker.join()
    if not done.stdout and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


Contender = Callable[[Service, Size, Path], Said]
OURS: dict[str, Contender] = {
    f"ours, {model} arrivals": partial(harness, arrivals=model) for model in EVEN if model in MODELS
}
PEERS: dict[str, Contender] = {"plain Locust": plain_locust, "wrk": wrk, "hey": hey}


def rows(quick: bool) -> list[Row]:
    """What each of them reports, beside the truth."""
    size = Size(8.0, 5.5, 1.2) if quick else Size()
    found: dict[str, Said] = {}
    absent = [name for name in ("wrk", "hey") if shutil.which(name) is None]
    with Service.run() as service:
        for name, contender in {**OURS, **PEERS}.items():
            if name not in absent:
                with tempfile.TemporaryDirectory() as folder:
                    found[name] = contender(service, size, Path(folder))
    drains = [found[name].drain for name in OURS]
    drain = float(np.mean([one for one in drains if one]))
    work = f"{size.lock:g} s lock, {RATE}/s"
    row = partial(Row, work)
    told = {TRUTH: truth(size, drain), **found}
    made = [
        row(name, unit, (factor * getattr(said, field),), TRUTH, ratio_bounds=bounds if name in OURS else ANY)
        for field, unit, factor, bounds in (
            ("p95", "s, p95", 1, WITHIN),
            ("p99", "s, p99", 1, WITHIN),
            ("slow", "% over 1 s", 100, WITHIN),
            ("requests", "requests", 1, EXACT),
        )
        for name, said in told.items()
    ]
    for name in OURS:
        said = found[name]
        assert said.stall is not None
        assert said.held is not None
        made.append(row(name, "s, stall – lock", (said.stall - said.held,), bounds=(0.0, 0.1)))
    made.append(row(TRUTH, "requests/s, drain", (drain,), note="measured"))
    return [*made, *(row(name, "", (), note="not on PATH") for name in absent)]


if __name__ == "__main__":
    raise SystemExit(program(rows))
