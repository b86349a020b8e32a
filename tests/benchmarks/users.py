"""Two thousand users in one process: `python -m tests.benchmarks.users`.

They ask 500 times a second between them, and where they have WebSockets, 500 messages a second come over
those. Measured are memory per user once all are there, how late the hub wakes who wants to be woken (p99),
and how much of a core the process takes. Each kind of user has a process of its own, in turns, against one
server.
"""

from __future__ import annotations

# isort: off
import locust  # noqa: F401 - patches the standard library, which must come first
# isort: on

import gc
import json
import logging
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import gevent
import psutil
from locust import FastHttpUser, HttpUser, constant_throughput, task
from locust.env import Environment
from locust.user import User
from websocket import create_connection

from harness.clock import monotonic, wait_until
from harness.core.stream import Stream
from harness.load.arrivals import arrivals
from harness.load.health import Health
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.users import MigrationUser
from tests.benchmarks.pushing_server import PER_SECOND
from tests.benchmarks.table import ANY, Bounds, Row, program, rows_of

SPAWNED_PER_SECOND = 400
LIMIT_KIB = 64.0
LIMIT_LATE_MS = 50.0


@dataclass(frozen=True)
class Size:
    """How much is measured; `seconds` after all users are there."""

    users: int = 2_000
    seconds: float = 8.0
    rounds: int = 2


# the users


class Ours(MigrationUser):
    """A user of the harness."""

    @task
    def read(self) -> None:
        """One document."""
        self.client.get("/documents/7", name="/documents/{id}")


class OursListening(Ours):
    """With a WebSocket."""

    stream = Stream("/ws")


class Listening(User):
    """A WebSocket by websocket-client, which somebody reads."""

    abstract = True

    def on_start(self) -> None:
        """Connect."""
        address = str(self.host).replace("http://", "ws://") + "/ws"
        self.socket: Any = create_connection(address, timeout=60)
        self.listener = gevent.spawn(self.listen)

    def listen(self) -> None:
        """Read, for ever."""
        while True:
            self.socket.recv()


class Fast(FastHttpUser):
    """As Locust's documentation has it."""

    @task
    def read(self) -> None:
        """One document."""
        self.client.get("/documents/7", name="/documents/{id}")


class FastListening(Listening, Fast):
    """With a WebSocket."""


class Plain(HttpUser):
    """As Locust's documentation has it."""

    @task
    def read(self) -> None:
        """One document."""
        self.client.get("/documents/7", name="/documents/{id}")


class PlainListening(Listening, Plain):
    """With a WebSocket."""


LISTENING = "ours, with a WebSocket"
PEER = "FastHttpUser"
KINDS: dict[str, type[User]] = {
    "ours": Ours,
    PEER: Fast,
    "HttpUser": Plain,
    LISTENING: OursListening,
    "FastHttpUser and websocket-client": FastListening,
    "HttpUser and websocket-client": PlainListening,
}
UNITS: dict[str, Bounds] = {
    "KiB/user": (None, LIMIT_KIB),
    "ms, hub late p99": (None, LIMIT_LATE_MS),
    "% of a core": ANY,
    "requests/s": ANY,
}


def measure(kind: str, port: int, size: Size) -> dict[str, float]:
    """Spawn one user, then all, then look for a while."""
    rate = PER_SECOND * size.users / Size.users
    of = KINDS[kind]
    environment = Environment(user_classes=[of], host=f"http://127.0.0.1:{port}")
    runner = environment.create_local_runner()
    if issubclass(of, MigrationUser):
        environment.events.request.add_listener(recorder.on_request)
        settings = RunSettings("run", "run", 1, size.users, rate, 0, 1, size.users)
        recorder.begin("w", settings, monotonic())
        arrivals.begin(settings, monotonic())
    else:
        of.wait_time = constant_throughput(rate / size.users)
    process = psutil.Process()
    runner.start(1, 1, wait=True)
    gevent.sleep(1.0)  # what is loaded only once is no cost of a user
    gc.collect()
    before = process.memory_info().rss
    runner.start(size.users, SPAWNED_PER_SECOND)
    working = wait_until(lambda: runner.user_count == size.users, 60.0, gevent.sleep)
    if not working:
        raise RuntimeError(f"only {runner.user_count} of {size.users} users came")
    gevent.sleep(size.seconds / 4)
    health, stats = Health(), environment.stats.total
    health.start()
    cpu, begun, requests = time.process_time(), time.monotonic(), stats.num_requests
    for _ in range(round(size.seconds / 0.5)):
        gevent.sleep(0.5)
        recorder.take(monotonic())
    took = time.monotonic() - begun
    busy, rate = (time.process_time() - cpu) / took, (stats.num_requests - requests) / took
    told: Any = health.take("w", size.users, 0)["late_ms"]
    late = sorted(told)
    gc.collect()
    memory = (process.memory_info().rss - before) / 1024 / (size.users - 1)
    if errors := [
        f"{one.occurrences} × {one.name}: {one.error}" for one in environment.stats.errors.values()
    ]:
        raise RuntimeError(f"requests failed: {errors}")
    return dict(zip(UNITS, (memory, late[int(0.99 * len(late))], busy * 100, rate), strict=True))


def rows(quick: bool) -> list[Row]:
    """Memory, lateness and CPU of every kind of user."""
    size = Size(20, 1.0, 1) if quick else Size()
    server_command = [sys.executable, "-m", "tests.benchmarks.pushing_server"]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with subprocess.Popen(server_command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        for kind in list(KINDS) * size.rounds:
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.users",
                "users",
                kind,
                port,
                str(size.users),
                str(size.seconds),
            ]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[kind].append(json.loads(said.splitlines()[-1]))
    work = f"{size.users:,} users, {PER_SECOND * size.users // Size.users} requests/s"
    bounds = {(LISTENING, unit): kept for unit, kept in UNITS.items()}
    return rows_of(work, found, UNITS, PEER, bounds)


def role(words: list[str]) -> None:
    """A child of this benchmark: a process of users."""
    logging.getLogger("locust").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))
    print(json.dumps(measure(words[0], int(words[1]), Size(int(words[2]), float(words[3])))))  # noqa: T201
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["users"]:
        role(sys.argv[2:])
    else:
        raise SystemExit(program(rows))
