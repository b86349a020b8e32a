"""What judging a long run costs: seconds, those on a processor, the most memory, and the size of the reports.

The run directory of six million requests: ten minutes on four workers, twelve endpoints of which half wait
five seconds for a lock, and a recovery slow enough to be resampled. `harness analyze` judges it in a process
of its own. Its peer is the least that any reader of these files does: inflate the blocks, and take three
quantiles of all latencies.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.core.blocks import Block, read_blocks
from harness.core.events import Event, Kind
from harness.core.samples import SAMPLE_TYPE
from harness.run.analysis import analyze
from harness.store import RunDirectory
from tests.benchmarks.memory import peak_mb
from tests.benchmarks.table import ANY, Row, program
from tests.fix_record import a_plan, events, healthy
from tests.fix_trace import trace_records

SAMPLES = 6_000_000
WORKERS = ("w1", "w2", "w3", "w4")
ENDPOINTS = 12
LOAD_S = 600
STATEMENT = (302.0, 307.0)
PHASES = {
    "warmup": 0.0,
    "baseline": 5.0,
    "launch": 300.0,
    "migrate": 302.0,
    "recover": 332.0,
    "drain": float(LOAD_S),
    "final_read": LOAD_S + 1.0,
}
ROUNDS = 3
LIMIT_MB = 1000.0
LIMIT_S = 15.0
"""Of CPU: what it takes where nothing else runs. Beside others it waits for its turns, as its peer does."""

REPORT_MB = 4.0

Packed = npt.NDArray[np.void]


def packed(size: int) -> Iterator[Packed]:
    """The requests of each second, as one worker packs them."""
    random = np.random.default_rng(1)
    rate = size // LOAD_S // len(WORKERS)
    for second in range(LOAD_S):
        at = second + np.sort(random.random(rate))
        service = random.lognormal(np.log(0.008), 0.6, rate)
        endpoint = random.integers(ENDPOINTS, size=rate)
        if second >= LOAD_S - 5:
            service *= 4
        held = (at >= STATEMENT[0]) & (at < STATEMENT[1]) & (endpoint % 2 == 0)
        service[held] += STATEMENT[1] - at[held]
        rows = np.zeros(rate, SAMPLE_TYPE)
        rows["intended"] = at * 1e5
        rows["service"] = service * 1e6
        rows["latency"] = rows["service"] + (random.random(rate) * 300).astype(np.uint32)
        rows["endpoint"] = endpoint
        rows["outcome"] = random.random(rate) < 0.001
        rows["cause"] = rows["outcome"]
        yield rows[np.argsort(at + service)]


def make(root: Path, size: int) -> Path:
    """The run directory."""
    plan = replace(a_plan(), run_root=str(root))
    directory = RunDirectory.create(plan, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    begun = 301.0
    for event in events(
        plan,
        phases=PHASES,
        trace=trace_records(*STATEMENT),
        ended_at=STATEMENT[1] + 0.1,
        stop_at=float(LOAD_S),
    ):
        if event.kind in (Kind.MIGRATION_BEGIN, Kind.ANNOUNCED):
            directory.append_event(replace(event, at=begun))
        elif event.kind not in (Kind.WORKER_JOINED, Kind.WORKER_FINAL):
            directory.append_event(event)
    directory.write_json("environment.json", {"python": "3.11.9"})
    tables = {
        "endpoints": {str(number): f"GET /endpoint/{number}" for number in range(ENDPOINTS)},
        "causes": {"1": "status 503"},
    }
    final = {"samples": LOAD_S, "operations": 0, "unfinished": 0}
    for number, worker in enumerate(WORKERS):
        directory.append_event(
            Event(0.0, Kind.WORKER_JOINED, {"worker": worker, "base_at": number * 0.01, "pid": 7 + number})
        )
        count = 0
        for sequence, rows in enumerate(packed(size)):
            block = Block(worker, sequence, len(rows), rows.tobytes(), {} if sequence else tables)
            directory.append_block("samples", block.encode())
            count += len(rows)
        told = {**final, "worker": worker, "started": count, "finished": count}
        directory.append_event(Event(LOAD_S + 1.5, Kind.WORKER_FINAL, told))
        for point in healthy(float(LOAD_S)):
            directory.append_line("health.ndjson", asdict(replace(point, worker=worker, late_ms=(1.0,) * 50)))
    directory.close()
    return directory.path


def harness(path: Path) -> int:
    """The whole analysis, as the run ends with it; how many requests its phases count."""
    verdict, _ = analyze(path)
    return int(verdict.details["load"]["finished"] + verdict.details["load"]["unfinished"])


def least(path: Path) -> int:
    """Inflate, and three quantiles; how many requests there are."""
    blocks, _ = read_blocks((path / "samples.blocks").read_bytes())
    rows = np.frombuffer(b"".join(block.payload for block in blocks), SAMPLE_TYPE)
    np.quantile(rows["latency"] * 1e-6, (0.5, 0.95, 0.99))
    return len(rows)


LEAST = "least"
WAYS = {"harness": harness, LEAST: least}


def measure(way: str, path: Path) -> None:
    """In the child: print the requests, the seconds, those on a processor, and the peak of megabytes."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    requests = WAYS[way](path)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    print(requests, seconds, cpu_s, peak_mb())  # noqa: T201


def rows(quick: bool) -> list[Row]:
    """Both ways in turns."""
    size, rounds = (60_000, 1) if quick else (SAMPLES, ROUNDS)
    told: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), size)
        for way in list(WAYS) * rounds:
            command = [sys.executable, "-m", "tests.benchmarks.analysis", way, str(path)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            told[way].append(tuple(map(float, said)))
        reports = sum(file.stat().st_size for file in path.iterdir() if file.suffix != ".blocks")
    counts = {found[0] for ran in told.values() for found in ran}
    if len(counts) > 1:
        raise RuntimeError(f"of the same requests were counted {sorted(counts)}")
    work = f"judge {size:,} requests"
    made = []
    for way, ran in told.items():
        ours = way == "harness"
        _, seconds, cpu_s, megabytes = zip(*ran, strict=True)
        made += [
            Row(work, way, "s", seconds, LEAST),
            Row(work, way, "s of CPU", cpu_s, LEAST, (None, LIMIT_S) if ours else ANY),
            Row(work, way, "MB", megabytes, LEAST, (None, LIMIT_MB) if ours else ANY),
        ]
    beside = Row(work, "files beside the samples", "MB", (reports / 1e6,), bounds=(None, REPORT_MB))
    return [*made, beside]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        raise SystemExit(program(rows))
