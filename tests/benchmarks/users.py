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

import asyncio
import base64
import gc
import hashlib
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
from harness.load.health import Health
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.users import MigrationUser
from tests.benchmarks.small_server import Small
from tests.benchmarks.table import ANY, Bounds, Row, program

PER_SECOND = 500
SPAWNED_PER_SECOND = 400
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LIMIT_KIB = 64.0
LIMIT_LATE_MS = 50.0


@dataclass(frozen=True)
class Size:
    """How much is measured; `seconds` after all users are there."""

    users: int = 2_000
    seconds: float = 8.0
    rounds: int = 2


# the server


class Pushing(Small):
    """One connection, which may become a WebSocket."""

    sockets: list[Pushing]

    def __init__(self) -> None:
        self.sequence = 0

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"GET /ws"):
            if self.sequence == 0 and self not in self.sockets:
                super().data_received(data)
            return
        [key] = [line for line in data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
        token = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.transport.write(answer + b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n")
        self.sockets.append(self)

    def push(self) -> None:
        """The next change."""
        self.sequence += 1
        message = {"type": "change", "seq": self.sequence, "committed_at": time.time(), "id": "0b0f"}
        wire = json.dumps(message).encode()
        self.transport.write(b"\x81" + bytes([len(wire)]) + wire)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.sockets:
            self.sockets.remove(self)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    Pushing.sockets = []
    server = await loop.create_server(Pushing, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    pushing = asyncio.create_task(push())
    await loop.run_in_executor(None, sys.stdin.read)
    pushing.cancel()
    server.close()


async def push() -> None:
    """PER_SECOND messages, over one WebSocket after the other."""
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * PER_SECOND)
        sockets = Pushing.sockets
        for number in range(sent, due):
            if sockets:
                sockets[number % len(sockets)].push()
        sent = due
        await asyncio.sleep(0.01)


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
}


def measure(kind: str, port: int, size: Size) -> dict[str, float]:
    """Spawn one user, then all, then look for a while."""
    rate = PER_SECOND * size.users / Size.users
    of = KINDS[kind]
    environment = Environment(user_classes=[of], host=f"http://127.0.0.1:{port}")
    runner = environment.create_local_runner()
    if issubclass(of, MigrationUser):
        environment.events.request.add_listener(recorder.on_request)
        recorder.begin("w", RunSettings("run", "run", 1, size.users, rate, 0, 1, size.users), monotonic())
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
    health, cpu = Health(), time.process_time()
    health.start()
    for _ in range(round(size.seconds / 0.5)):
        gevent.sleep(0.5)
        recorder.take(monotonic())
    busy = (time.process_time() - cpu) / size.seconds
    told: Any = health.take("w", size.users, 0)["late_ms"]
    late = sorted(told)
    gc.collect()
    memory = (process.memory_info().rss - before) / 1024 / (size.users - 1)
    if errors := [
        f"{one.occurrences} × {one.name}: {one.error}" for one in environment.stats.errors.values()
    ]:
        raise RuntimeError(f"requests failed: {errors}")
    return dict(zip(UNITS, (memory, late[int(0.99 * len(late))], busy * 100), strict=True))


def rows(quick: bool) -> list[Row]:
    """Memory, lateness and CPU of every kind of user."""
    size = Size(20, 1.0, 1) if quick else Size()
    module = [sys.executable, "-m", "tests.benchmarks.users"]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with subprocess.Popen(
        [*module, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        for kind in list(KINDS) * size.rounds:
            command = [*module, "users", kind, port, str(size.users), str(size.seconds)]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[kind].append(json.loads(said.splitlines()[-1]))
    work = f"{size.users:,} users, {PER_SECOND * size.users // Size.users} requests/s"
    return [
        Row(
            work,
            kind,
            unit,
            tuple(told[unit] for told in found[kind]),
            PEER,
            bounds if kind == LISTENING else ANY,
        )
        for unit, bounds in UNITS.items()
        for kind in KINDS
    ]


def role(words: list[str]) -> None:
    """What a child of this benchmark is: the server, or a process of users."""
    logging.getLogger("locust").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))
    if words[0] == "server":
        asyncio.run(serve())
        return
    print(json.dumps(measure(words[1], int(words[2]), Size(int(words[3]), float(words[4])))))  # noqa: T201
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] in (["server"], ["users"]):
        role(sys.argv[1:])
    else:
        raise SystemExit(program(rows))
