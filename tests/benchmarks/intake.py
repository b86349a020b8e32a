"""What the master's intake costs: `python -m tests.benchmarks.intake`.

Replays what 25 workers send for some seconds of 2,000 requests a second each, through a real master runner
and its ZeroMQ socket, to the run directory on disk; the workers are played by a process of its own. Beside it
Locust's own reports of the same requests, three seconds each, merged into its own statistics. CPU time is the
master's; the share of a core is what it comes to at 50,000 requests a second. Bytes are those on the wire.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import gevent
import locust
from locust.env import Environment
from locust.event import Events
from locust.rpc import Message as Letter
from locust.rpc import zmqrpc
from locust.runners import MasterRunner
from locust.stats import RequestStats

from harness.clock import monotonic, utc_now, wait_until
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.plan import Plan
from harness.core.samples import Outcome
from harness.load.collector import LoadControl
from harness.load.hooks import LoadWorker
from harness.load.messages import Message, RunSettings
from harness.load.recorder import recorder
from harness.store import RunDirectory
from harness.stored_record import read_record
from tests.benchmarks.table import ANY, Bounds, Row, program

WORKERS = 25
RATE = 2_000
ENDPOINTS = 8
CORE_LIMIT = 0.20
SECONDS, ROUNDS = 12, 5
PEER = "Locust's own statistics"
PLAIN, LEDGER = "samples", "samples and an operation each"
BYTES: dict[str, Bounds] = {PLAIN: (None, 16.0), LEDGER: (None, 16.0)}
SETTINGS = RunSettings("run", "canary", 1, WORKERS * 40, float(WORKERS * RATE), 0, 1, 10_000)


def requests(random: Random, second: int) -> Iterator[tuple[str, float, float]]:
    """One worker's requests of one second: endpoint, intended start, latency."""
    for number in range(RATE):
        at = second + (number + random.random()) / RATE
        yield f"GET /endpoint/{random.randrange(ENDPOINTS)}", at, random.lognormvariate(-5.3, 0.6)


def operation(random: Random, keys: list[uuid.UUID]) -> tuple[OperationKind, int, uuid.UUID]:
    """What an account does next to its records: of a hundred, 10 create, 12 update, the others are reads."""
    what = random.random()
    if not keys or what < 0.10:
        keys.append(uuid.UUID(int=random.getrandbits(128)))
        return OperationKind.CREATE, 1, keys[-1]
    kind = OperationKind.UPDATE if what < 0.22 else OperationKind.READ
    return kind, random.randrange(1, 20), random.choice(keys)


class Played:
    """A worker as the master knows it: a socket of its own, and what it will send."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.client_id = name
        self.user_count = 40
        self.bytes = 0
        self.kept: list[tuple[str, dict[str, Any]]] = []
        self.socket = zmqrpc.Client("127.0.0.1", port, name)

    def send_message(self, kind: str, data: dict[str, Any]) -> None:
        """What the harness's own worker ships is kept until the master is ready."""
        self.kept.append((kind, data))

    def send(self, kind: str, data: Any) -> None:
        """Send at once."""
        self.socket.send(Letter(kind, data, self.name))


def recorded(played: Played, seconds: int, ledger: bool) -> None:
    """What the harness's worker ships of its seconds."""
    runner: Any = played
    environment: Any = None
    worker, random = LoadWorker(environment, runner), Random(played.name)
    recorder.begin(played.name, SETTINGS, 0.0)
    keys: list[list[uuid.UUID]] = [[] for _ in range(40)]
    for second in range(seconds):
        for endpoint, at, latency in requests(random, second):
            lag = random.expovariate(1 / 0.0002)
            recorder.sample(endpoint, at, at + lag, at + lag + latency, Outcome.OK)
            if ledger:
                account = random.randrange(40)
                kind, version, key = operation(random, keys[account])
                name, ended = f"account-{account:04}", at + latency
                recorder.operation(name, key, kind, version, at, ended, OperationOutcome.OK)
        worker._ship()


def reported(played: Played, seconds: int) -> None:
    """What Locust's worker reports of them."""
    stats, random = RequestStats(), Random(played.name)
    for second in range(seconds):
        for endpoint, _, latency in requests(random, second):
            stats.log_request("GET", endpoint.removeprefix("GET "), round(latency * 1000), 512)
        if second % 3 == 2:
            report = {
                "stats": stats.serialize_stats(),
                "stats_total": stats.total.get_stripped_report(),
                "errors": stats.serialize_errors(),
                "user_classes_count": {"User": 40},
                "user_count": 40,
            }
            played.send_message("stats", report)


def replay(port: int, way: str, seconds: int) -> None:
    """In the child: play the workers, and print how many bytes they sent for each request."""
    workers = [Played(port, f"worker-{number:02}") for number in range(WORKERS)]
    for played in workers:
        if way == PEER:
            reported(played, seconds)
        else:
            recorded(played, seconds, ledger=way == LEDGER)
    beating = gevent.spawn(_beat, workers)
    gevent.joinall([gevent.spawn(_answer, played) for played in workers], raise_error=True)
    beating.kill()
    print(sum(played.bytes for played in workers) / (WORKERS * RATE * seconds))  # noqa: T201


def _beat(workers: list[Played]) -> None:
    """Say that the workers live, as Locust wants to hear each second."""
    for played in workers:
        played.send("client_ready", locust.__version__)
    while True:
        for played in workers:
            state = {"state": "ready", "current_cpu_usage": 0.0, "current_memory_usage": 0}
            played.send("heartbeat", state)
        gevent.sleep(1.0)


def _answer(played: Played) -> None:
    """Answer the master as a worker does; the order to finish sends all that is kept."""
    while True:
        letter = played.socket.recv()
        data = letter.data or {}
        run = {"run": data.get("run")}
        match letter.type:
            case Message.BEGIN:
                played.send(Message.JOINED, {**run, "number": 0, "pid": 1, "zero": monotonic()})
            case Message.PING:
                played.send(Message.PONG, {**run, "sent": data["sent"], "clock": monotonic()})
            case Message.FINISH:
                kept, played.kept = played.kept, []
                for number, (kind, one) in enumerate(kept, 1):
                    told = {**one, **run, "number": number}
                    played.bytes += len(Letter(kind, told, played.name).serialize())
                    played.send(kind, told)
                if kept:
                    counts = {"samples": len(kept), "operations": None}
                    played.send(Message.FINAL, {**run, "number": len(kept) + 1, **counts})
            case "quit":
                return


def taken_in(way: str, seconds: int) -> tuple[float, float]:
    """The master's CPU microseconds, and the bytes that came, for each request; raises if any is missing."""
    environment = Environment(events=Events())
    runner = environment.create_master_runner("127.0.0.1", 0)
    control = LoadControl(environment, runner)
    port = str(runner.server.port)
    command = [sys.executable, "-m", "tests.benchmarks.intake", "replay", port, way, str(seconds)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    whole = WORKERS * RATE * seconds
    try:
        if not wait_until(lambda: len(runner.clients.ready) == WORKERS, 180, gevent.sleep):
            raise RuntimeError("the workers did not come")
        take = _merge if way == PEER else _record
        cpu_s, requests = take(runner, control, whole)
        runner.send_message("quit")
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
        runner.greenlet.kill()
        runner.server.close(linger=0)
    if requests != whole:
        raise RuntimeError(f"{requests} of {whole} requests came")
    return cpu_s / whole * 1e6, float(said)


def _record(_runner: MasterRunner, control: LoadControl, _whole: int) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory.create(Plan(run_root=folder), utc_now())
        control.begin(directory, replace(SETTINGS, run_id=directory.run_id), monotonic())
        begun = time.process_time()
        control.finish(120)
        cpu_s = time.process_time() - begun
        directory.close()
        return cpu_s, len(read_record(directory.path).samples)


def _merge(runner: MasterRunner, _control: LoadControl, whole: int) -> tuple[float, int]:
    begun = time.process_time()
    runner.send_message(Message.FINISH, {})
    wait_until(lambda: runner.stats.total.num_requests >= whole, 120, gevent.sleep)
    return time.process_time() - begun, runner.stats.total.num_requests


def rows(quick: bool) -> list[Row]:
    """CPU per request and the share of a core at 50,000 a second, and the bytes of a request."""
    seconds, rounds = (3, 1) if quick else (SECONDS, ROUNDS)
    ways = (PEER, PLAIN, LEDGER)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(taken_in(way, seconds))
    made = []
    for way in ways:
        peer = "" if way == PEER else PEER
        cpu_us = [cpu for cpu, _ in found[way]]
        core = tuple(cpu * WORKERS * RATE / 1e6 for cpu in cpu_us)
        limit = (None, CORE_LIMIT) if way == PLAIN else ANY
        made.append(Row("taking a request in", way, "µs CPU", tuple(cpu_us), peer))
        made.append(Row("50,000 requests/s", way, "of a core", core, peer, limit))
        sent = tuple(size for _, size in found[way])
        made.append(Row("a request on its way", way, "bytes", sent, peer, BYTES.get(way, ANY)))
    return made


if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"]:
        replay(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        raise SystemExit(program(rows))
