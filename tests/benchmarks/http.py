"""What a request costs the client: `python -m tests.benchmarks.http`.

Every client does the same work against the same small server, in turns, in one process; CPU time of that
process is compared, per request, so that neither the server nor a noisy machine decides. `GET` is a small
JSON document; `POST` sends JSON with a bearer of 300 bytes and parses the answer. The ratios are medians over
the turns, each against FastHttpUser's in the same turn. aiohttp and wrk take theirs in processes of their
own. Memory is what Python allocates, without what OpenSSL or the system keeps for a connection.
"""

from __future__ import annotations

# isort: off
import locust  # noqa: F401 - patches the standard library, which must come first
# isort: on

import gc
import json
import re
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gevent
from gevent import socket
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from harness.clock import monotonic
from harness.core.canary import all_own
from harness.core.operations import OperationKind
from harness.load.client import MeasuredSession, operation_outcome
from harness.load.http import HttpClient
from harness.load.keys import new_key
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from tests.benchmarks.small_server import ACCOUNT, DOCUMENT
from tests.benchmarks.table import ANY, Row, program

WORK = {"GET": "GET small JSON", "POST": "POST JSON, bearer, parse"}
BEARER = {"Authorization": f"Bearer {'x' * 300}"}
OURS = "ours, recorded (POST: ledger, canaries)"
LEAST = 3.0
"""How many times FastHttpUser's requests ours makes, at least."""

Work = Callable[[], None]
"""One request."""


@dataclass(frozen=True)
class Size:
    """How much each client does in a round."""

    users: int = 32
    requests: int = 50
    rounds: int = 9
    sessions: int = 1_000


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


def fast_session(base: str) -> FastHttpSession:
    return FastHttpSession(base, PLAIN.events.request, None)


def http_session(base: str) -> HttpSession:
    return HttpSession(base, PLAIN.events.request, None)


def measured_session(base: str) -> MeasuredSession:
    return MeasuredSession(base, RECORDED.events.request)


def measured_get(base: str) -> Work:
    session = measured_session(base)
    return lambda: check(session.request("GET", "/documents/7", "/documents/{id}").status_code)


def measured_post(base: str) -> Work:
    """All that a MigrationUser does for a write: recorded, looked through for canaries, in the ledger."""
    session = measured_session(base)

    def work() -> None:
        invoked, key = monotonic(), new_key()
        response = session.request("POST", "/documents", json=DOCUMENT, headers=BEARER)
        check(response.json()["version"], 3)
        check(all_own(response.content, ACCOUNT), True)
        recorder.operation(
            ACCOUNT, key, OperationKind.CREATE, 1, invoked, monotonic(), operation_outcome(response)
        )

    return work


def check(found: int | None, expected: int = 200) -> None:
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
CLIENTS: dict[str, dict[str, Callable[[str], Work]]] = {
    "bare gevent socket": {"GET": bare_get, "POST": bare_post},
    "ours, not recorded": {"GET": http_client_get, "POST": http_client_post},
    OURS: {"GET": measured_get, "POST": measured_post},
    FAST: {"GET": session_get(fast_session), "POST": session_post(fast_session)},
    "HttpUser": {"GET": session_get(http_session), "POST": session_post(http_session)},
}


class Here:
    """A client of this process: a greenlet for each user."""

    def __init__(self, makers: dict[str, Callable[[str], Work]], base: str, size: Size) -> None:
        self._works = {kind: [make(base) for _ in range(size.users)] for kind, make in makers.items()}
        self._requests = size.requests

    def __call__(self, kind: str) -> float:
        works = self._works[kind]
        begun = time.process_time()
        gevent.joinall([gevent.spawn(self._user, work) for work in works], raise_error=True)
        for _, block in recorder.take(monotonic()).blocks:
            block.encode()
        return (time.process_time() - begun) / (self._requests * len(works)) * 1e6

    def _user(self, work: Work) -> None:
        for _ in range(self._requests):
            work()


class Asyncio:
    """aiohttp on uvloop, which measures itself."""

    def __init__(self, base: str, size: Size) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.http_asyncio", base, BEARER["Authorization"]]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._size = size

    def __call__(self, kind: str) -> float:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{kind} {self._size.users} {self._size.requests}\n")
        self._child.stdin.flush()
        return float(self._child.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._child.communicate(timeout=10)


class Wrk:
    """wrk, on one thread; of the POST's answer it parses nothing."""

    def __init__(self, base: str, size: Size, folder: Path) -> None:
        self._command = ["wrk", "-t1", f"-c{size.users}", "-d1s"]
        self._base = base
        self._script = folder / "post.lua"
        self._script.write_text(
            f"wrk.method = 'POST'\nwrk.body = '{json.dumps(DOCUMENT)}'\n"
            f"wrk.headers['Authorization'] = '{BEARER['Authorization']}'\n"
            "wrk.headers['Content-Type'] = 'application/json'\n"
        )

    def __call__(self, kind: str) -> float:
        more = ["-s", str(self._script), "/documents"] if kind == "POST" else ["/documents/7"]
        *options, path = more
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(
            [*self._command, *options, f"{self._base}{path}"], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        made = re.search(r"(\d+) requests in", said.stdout)
        assert made is not None, said.stdout
        return spent / int(made[1]) * 1e6


def contenders(
    base: str, size: Size, ending: ExitStack
) -> Iterator[tuple[str, Callable[[str], float] | None, str]]:
    """Each with its name and what makes a round; without one where it is not there, and why."""
    for name, makers in CLIENTS.items():
        yield name, Here(makers, base, size), ""
    missing = [name for name in ("aiohttp", "uvloop") if find_spec(name) is None]
    if missing:
        yield "aiohttp on uvloop", None, f"no {' and no '.join(missing)}: pip install -e '.[bench]'"
    else:
        yield "aiohttp on uvloop", ending.enter_context(closing(Asyncio(base, size))), ""
    if shutil.which("wrk") is None:
        yield "wrk", None, "not on PATH"
    else:
        yield "wrk", Wrk(base, size, Path(ending.enter_context(TemporaryDirectory()))), ""


def measured(base: str, size: Size) -> Iterator[Row]:
    """Requests per CPU-second of every client, of each turn."""
    recorder.begin("local", RunSettings("run", "canary", 1, size.users, None, 0, 1, size.users), monotonic())
    with ExitStack() as ending:
        clients = list(contenders(base, size, ending))
        turns: dict[tuple[str, str], list[float]] = defaultdict(list)
        for turn in range(size.rounds + 1):
            for kind in WORK:
                for name, round_of, _ in clients:
                    took = round_of(kind) if round_of else None
                    if turn and took is not None:  # the first opens connections and warms caches
                        turns[kind, name].append(1e6 / took)
    for kind, work in WORK.items():
        for name, _, absent in clients:
            bounds = (LEAST, None) if name == OURS else ANY
            rounds = tuple(turns[kind, name])
            yield Row(work, name, "requests/CPU-s", rounds, FAST, ratio_bounds=bounds, note=absent)


def memory(base: str, size: Size) -> Iterator[Row]:
    """What Python allocates for a session that has made one request, the process's first left out."""
    makers: dict[str, Callable[[str], Any]] = {
        "ours": measured_session,
        FAST: fast_session,
        "HttpUser": http_session,
    }
    kept: list[Any] = []
    rounds: dict[str, list[float]] = defaultdict(list)
    for _ in range(min(size.rounds, 2)):
        for name, make in makers.items():
            make(base).get("/documents/7")
            gc.collect()
            tracemalloc.start()
            for _ in range(size.sessions):
                kept.append(make(base))
                kept[-1].get("/documents/7")
            gc.collect()
            rounds[name].append(tracemalloc.get_traced_memory()[0] / size.sessions / 1024)
            tracemalloc.stop()
            kept.clear()
            recorder.take(monotonic())
    for name, took in rounds.items():
        yield Row("a session after its first GET", name, "KiB", tuple(took), FAST)


def rows(quick: bool) -> list[Row]:
    """What every client costs."""
    size = Size(2, 5, 1, 3) if quick else Size()
    command = [sys.executable, "-m", "tests.benchmarks.small_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        return [*measured(base, size), *memory(base, size)]


if __name__ == "__main__":
    raise SystemExit(program(rows))
