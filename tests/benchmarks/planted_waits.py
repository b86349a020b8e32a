"""Whether planted waits are found: `python -m tests.benchmarks.planted_waits`.

Sessions of a pool hold one of ten tables, each for a random time, while another session waits for it; every
tenth wait has one more session behind it, whose root is the holder, too. What the observer child wrote is
compared with the clocks of the sessions that waited. Returns 1 when a wait of 100 ms or more was missed, or
has another root than it had.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from harness.clock import monotonic, wait_until
from harness.core.waits import Wait
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.server import EmbeddedServer

TABLES = 10
KINDS = ("relation", "row", "queue")
CLASSES = ((0.03, 0.1), (0.1, 0.3), (0.3, 1.0), (1.0, 2.0))


@dataclass(frozen=True)
class Planted:
    """A wait as the waiting session's own clock saw it."""

    kind: str
    pid: int
    root: int
    begun: float
    ended: float

    @property
    def wait_s(self) -> float:
        return self.ended - self.begun


def plant(url: str, table: int, kind: str, hold_s: float, zero: float) -> list[Planted]:
    """One session holds, another waits; in a queue, a third waits behind it."""
    name = f"t{table}"
    with psycopg.connect(url) as holder, psycopg.connect(url) as waiter, psycopg.connect(url) as third:
        holder.execute(f"UPDATE {name} SET v = v" if kind == "row" else f"SELECT * FROM {name}")
        behind = f"UPDATE {name} SET v = v" if kind == "row" else f"LOCK TABLE {name}"
        sessions = [(waiter, behind)]
        if kind == "queue":
            sessions.append((third, f"SELECT * FROM {name}"))
        root = holder.info.backend_pid
        with ThreadPoolExecutor(len(sessions)) as pool:
            waits = []
            for session, sql in sessions:
                waits.append(pool.submit(_wait, session, sql, kind, root, zero))
                time.sleep(0.01)
            time.sleep(hold_s)
            holder.rollback()
            return [wait.result() for wait in waits]


def _wait(session: psycopg.Connection, sql: str, kind: str, root: int, zero: float) -> Planted:
    session.execute("SELECT 1")  # the transaction begins before the clock
    begun = monotonic()
    session.execute(sql)
    ended = monotonic()
    pid = session.info.backend_pid
    session.rollback()
    return Planted(kind, pid, root, begun - zero, ended - zero)


def found_for(planted: Planted, waits: list[Wait]) -> Wait | None:
    """The longest wait of that session within the planted time."""
    own = [
        w for w in waits if w.pid == planted.pid and w.started_at < planted.ended and w.until > planted.begun
    ]
    return max(own, key=lambda wait: wait.wait_s, default=None)


def main() -> int:
    """Plant, observe, compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=100, help="planted waits of 100 ms or more (100)")
    parser.add_argument("--short", type=int, default=60, help="planted waits of 30 to 100 ms (60)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start() as server:
        planted, waits = _run(server, Path(folder), _holds(options, chance), chance)
    return _print(planted, waits)


def _holds(options: Any, chance: random.Random) -> list[float]:
    long = [chance.choice((chance.uniform(0.1, 0.3), chance.uniform(0.3, 2.0))) for _ in range(options.waits)]
    holds = long + [chance.uniform(0.03, 0.085) for _ in range(options.short)]
    chance.shuffle(holds)
    return holds


def _begun(file: Path) -> bool:
    """Whether the observer has looked for the first time."""
    return file.exists() and file.stat().st_size > 0


def _run(
    server: EmbeddedServer, folder: Path, holds: list[float], chance: random.Random
) -> tuple[list[Planted], list[Wait]]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        for table in range(TABLES):
            connection.execute(f"CREATE TABLE t{table} (v int)")
            connection.execute(f"INSERT INTO t{table} VALUES (1)")
    (folder / "logs").mkdir()
    zero = monotonic()
    order = Order(
        folder, server.url, zero, str(server.log), {"postgresql": server.pid}, "mul-migration bench"
    )
    child = ObserverChild(order, folder / "logs" / "observer.log")
    child.start()
    wait_until(lambda: _begun(folder / "database.ndjson"), within=10)
    shares = [[(hold, chance.choice(KINDS)) for hold in holds[number::TABLES]] for number in range(TABLES)]
    with ThreadPoolExecutor(TABLES) as pool:
        turns = [pool.submit(_turn, server.url, table, share, zero) for table, share in enumerate(shares)]
        planted = [wait for turn in turns for wait in turn.result()]
    child.stop()
    lines = (folder / "locks.ndjson").read_text().splitlines()
    print(json.loads((folder / "observer.json").read_text()))  # noqa: T201
    return planted, [Wait.from_json(json.loads(line)) for line in lines]


def _turn(url: str, table: int, share: list[tuple[float, str]], zero: float) -> list[Planted]:
    return [wait for hold_s, kind in share for wait in plant(url, table, kind, hold_s, zero)]


def _print(planted: list[Planted], waits: list[Wait]) -> int:
    print(f"{'waited':>12} {'planted':>8} {'found':>6} {'right root':>11} {'|error| median':>15} {'max':>8}")  # noqa: T201
    missed = 0
    for least, most in CLASSES:
        own = [
            wait for wait in planted if least <= wait.wait_s < most or (most == 2.0 and wait.wait_s >= 2.0)
        ]
        pairs = [(wait, found) for wait in own if (found := found_for(wait, waits)) is not None]
        right = sum(found.root is not None and found.root.pid == wait.root for wait, found in pairs)
        errors = [abs(found.wait_s - wait.wait_s) * 1000 for wait, found in pairs]
        if least >= 0.1:
            missed += 2 * len(own) - len(pairs) - right
        print(  # noqa: T201
            f"{least:>5g}–{most:g} s {len(own):>10} {len(pairs):>6} {right:>11}"
            f" {statistics.median(errors) if errors else 0:>12.1f} ms {max(errors, default=0):>5.1f} ms"
        )
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
