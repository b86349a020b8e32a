"""What observing costs the database: `python -m tests.benchmarks.observer_cost`.

pgbench saturates an embedded server (`-S` reads only, `-N` writes) with 50 and 200 sessions, while the
observer child runs every other second: it is stopped and continued by signal whenever pgbench reports a
second. Each second with it is compared with its neighbours without. Returns 1 when a ratio's 95 % interval
does not contain 1 or reaches more than 5 % below it. `--null` does the same without an observer: what this
machine's noise alone does.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from harness.clock import monotonic, wait_until
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.server import EmbeddedServer

LIMIT = 0.05
RESAMPLES = 4000
SETTLE = 4
"""Seconds that are not counted: pgbench's sessions connect and warm up."""

SECOND = re.compile(r"progress: [\d.]+ s, ([\d.]+) tps")


class PgBench:
    """pgbench on one server; the password goes by the environment."""

    def __init__(self, program: str, server: EmbeddedServer) -> None:
        parts = urlsplit(server.url)
        where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
        self._command = [program, *where]
        self._environment = {**os.environ, "PGPASSWORD": parts.password or "", "PGDATABASE": "postgres"}

    def fill(self, scale: int) -> None:
        """Make its tables."""
        command = [*self._command, "-i", "-q", "-s", str(scale)]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def seconds(self, mode: str, sessions: int, seconds: int) -> Iterator[float]:
        """Transactions of each second, as it ends."""
        load = [mode, "-n", "-M", "prepared", "-c", str(sessions), "-j", "2", "-P", "1", "-T", str(seconds)]
        with subprocess.Popen(
            [*self._command, *load], env=self._environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as process:
            for line in process.stderr or ():
                if found := SECOND.search(line.decode()):
                    yield float(found[1])


def _begun(file: Path) -> bool:
    """Whether the observer has looked for the first time."""
    return file.exists() and file.stat().st_size > 0


@contextmanager
def observer(server: EmbeddedServer, null: bool) -> Iterator[int | None]:
    """A running observer child's pid; None when none is wanted."""
    if null:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        processes = {"postgresql": server.pid}
        order = Order(folder, server.url, monotonic(), str(server.log), processes, "mul-migration bench")
        child = ObserverChild(order, folder / "logs" / "observer.log")
        child.start()
        wait_until(lambda: _begun(folder / "database.ndjson"), within=10)
        pid = child._process.pid if child._process else 0
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)
            child.stop()


def alternate(
    pgbench: PgBench, server: EmbeddedServer, mode: str, sessions: int, options: argparse.Namespace
) -> list[float]:
    """Ratios of the seconds with the observer to the mean of their neighbours without."""
    rates, watched = [], True
    with observer(server, options.null) as pid:
        for rate in pgbench.seconds(mode, sessions, options.seconds + SETTLE):
            rates.append((watched, rate))
            watched = not watched
            if pid is not None:
                os.kill(pid, signal.SIGCONT if watched else signal.SIGSTOP)
    rates = rates[SETTLE:]
    triples = zip(rates, rates[1:], rates[2:], strict=False)
    return [2 * here[1] / (before[1] + after[1]) for before, here, after in triples if here[0] and before[1]]


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval."""
    chance = random.Random(1)
    means = sorted(statistics.fmean(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return statistics.fmean(ratios), means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]


def main() -> int:
    """Measure every mode with every number of sessions; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pgbench", default=shutil.which("pgbench"), help="the program (found on PATH)")
    parser.add_argument("--seconds", type=int, default=120, help="of each measurement (120)")
    parser.add_argument("--sessions", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--modes", nargs="+", default=["S", "N"], choices=["S", "N"])
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--null", action="store_true", help="without an observer: the noise")
    options = parser.parse_args()
    if options.pgbench is None:
        parser.error(
            "pgbench was not found: install PostgreSQL's contrib programs, or name it with --pgbench"
        )
    bad = 0
    with EmbeddedServer.start(max_connections=max(options.sessions) + 20) as server:
        pgbench = PgBench(options.pgbench, server)
        pgbench.fill(options.scale)
        for mode in options.modes:
            for sessions in options.sessions:
                mean, low, high = interval(alternate(pgbench, server, f"-{mode}", sessions, options))
                bad += not (low <= 1 <= high and low >= 1 - LIMIT)
                said = f"ratio {mean:.4f}  95 % [{low:.4f}, {high:.4f}]"
                print(f"pgbench -{mode}  {sessions:>4} sessions  {said}")  # noqa: T201
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
