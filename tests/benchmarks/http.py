"""What a request costs the client: `python -m tests.benchmarks.http`.

Every client does the same work against the same small server, in turns, in one process; CPU time of that
process is compared, per request, so that neither the server nor a noisy machine decides. `GET` is a small
JSON document; `POST` sends JSON with a bearer of 300 bytes and parses the answer. The ratios are medians over
the turns, each against FastHttpUser's in the same turn.
"""

from __future__ import annotations

# isort: off
import locust  # noqa: F401 - patches the standard library, which must come first
# isort: on

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import socket
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from harness.clock import monotonic
from harness.core.canary import foreign
from harness.core.operations import OperationKind
from harness.load.client import MeasuredSession, operation_outcome
from harness.load.http import HttpClient
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from tests.benchmarks.small_server import DOCUMENT
from tests.benchmarks.table import Row, program

WORK = {"GET": "GET small JSON", "POST": "POST JSON, bearer, parse"}
BEARER = {"Authorization": f"Bearer {'x' * 300}"}

Work = Callable[[], None]
"""One request."""


@dataclass(frozen=True)
class Size:
    """How much each client does in a round."""

    users: int = 32
    requests: int = 50
    rounds: int = 5


@dataclass(frozen=True)
class Contender:
    """A client: what makes one user's GET and POST."""

    name: str
    get: Callable[[str], Work]
    post: Callable[[str], Work]


def bare_socket(base: str, request: bytes) -> Work:
    """No client at all: what gevent and the system cost."""
    host, _, port = base.removeprefix("http://").partition(":")
    wire = socket.create_connection((host, int(port)))

    def work() -> None:
        wire.send(request)
        wire.recv(65536)

    return work


def bare_get(base: str) -> Work:
    return bare_socket(base, b"GET /documents/7 HTTP/1.1\r\nHost: h\r\n\r\n")


def bare_post(base: str) -> Work:
    body = json.dumps(DOCUMENT).encode()
    head = f"POST /documents HTTP/1.1\r\nHost: h\r\nAuthorization: {BEARER['Authorization']}\r\n"
    return bare_socket(base, head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def http_client_get(base: str) -> Work:
    client = HttpClient(base)
    return lambda: check(client.send("GET", "/documents/7").status_code)


def http_client_post(base: str) -> Work:
    client = HttpClient(base)
    return lambda: check(
        client.send("POST", "/documents", json=DOCUMENT, headers=BEARER).json()["version"], 3
    )


def session_get(make: Callable[[str], Any]) -> Callable[[str], Work]:
    def of(base: str) -> Work:
        session = make(base)
        return lambda: check(session.get("/documents/7", name="/documents/{id}").status_code)

    return of


def session_post(make: Callable[[str], Any]) -> Callable[[str], Work]:
    def of(base: str) -> Work:
        session = make(base)

        def work() -> None:
            with session.post("/documents", json=DOCUMENT, headers=BEARER, catch_response=True) as response:
                check(response.json()["version"], 3)

        return work

    return of


def measured_get(base: str) -> Work:
    session = MeasuredSession(base, RECORDED.events.request)
    return lambda: check(session.request("GET", "/documents/7", "/documents/{id}").status_code)


def measured_post(base: str) -> Work:
    """All that a MigrationUser does for a write: recorded, looked through for canaries, in the ledger."""
    session = MeasuredSession(base, RECORDED.events.request)

    def work() -> None:
        invoked, key = monotonic(), uuid.uuid4()
        response = session.request("POST", "/documents", json=DOCUMENT, headers=BEARER)
        check(response.json()["version"], 3)
        check(len(foreign(response.text, "account-0001")), 0)
        recorder.operation(
            "account-0001", key, OperationKind.CREATE, 1, invoked, monotonic(), operation_outcome(response)
        )

    return work


def check(found: int, expected: int = 200) -> None:
    if found != expected:
        raise RuntimeError(f"{found} instead of {expected}")


def environment() -> Environment:
    """Locust with its own statistics, as in a run."""
    made = Environment(events=None)
    made.create_local_runner()
    return made


PLAIN = environment()
RECORDED = environment()
RECORDED.events.request.add_listener(recorder.on_request)
FAST = "FastHttpUser"
CONTENDERS = (
    Contender("bare gevent socket", bare_get, bare_post),
    Contender("ours, not recorded", http_client_get, http_client_post),
    Contender("ours, recorded (POST: ledger, canaries)", measured_get, measured_post),
    Contender(
        FAST,
        session_get(lambda base: FastHttpSession(base, PLAIN.events.request, None)),
        session_post(lambda base: FastHttpSession(base, PLAIN.events.request, None)),
    ),
    Contender(
        "HttpUser",
        session_get(lambda base: HttpSession(base, PLAIN.events.request, None)),
        session_post(lambda base: HttpSession(base, PLAIN.events.request, None)),
    ),
)


def cpu_us(works: list[Work], requests: int) -> float:
    """CPU microseconds per request while all users work."""

    def user(work: Work) -> None:
        for _ in range(requests):
            work()

    begun = time.process_time()
    gevent.joinall([gevent.spawn(user, work) for work in works], raise_error=True)
    for _, block in recorder.take(monotonic()).blocks:
        block.encode()
    return (time.process_time() - begun) / (requests * len(works)) * 1e6


def measured(base: str, size: Size) -> dict[str, dict[str, list[float]]]:
    """CPU microseconds per request, by kind of request and client, of each turn."""
    works: dict[str, dict[str, list[Work]]] = {}
    for kind in ("GET", "POST"):
        makers = {one.name: one.get if kind == "GET" else one.post for one in CONTENDERS}
        works[kind] = {name: [make(base) for _ in range(size.users)] for name, make in makers.items()}
    recorder.begin("local", RunSettings("run", "canary", 1, size.users, None, 0, 1, size.users), monotonic())
    turns: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in works[kind]} for kind in works}
    for turn in range(size.rounds + 1):
        for kind, clients in works.items():
            for name, users in clients.items():
                took = cpu_us(users, size.requests)
                if turn:  # the first opens connections and warms caches
                    turns[kind][name].append(took)
    return turns


def rows(quick: bool) -> list[Row]:
    """Requests per CPU-second of every client."""
    size = Size(2, 5, 1) if quick else Size()
    command = [sys.executable, "-m", "tests.benchmarks.small_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        turns = measured(f"http://127.0.0.1:{server.stdout.readline().strip()}", size)
    return [
        Row(WORK[kind], name, "requests/CPU-s", tuple(1e6 / took for took in costs), FAST)
        for kind, clients in turns.items()
        for name, costs in clients.items()
    ]


if __name__ == "__main__":
    raise SystemExit(program(rows))
