"""Locustfiles that know nothing of the harness, of every kind: each request is recorded, under its name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.clock import wait_until
from harness.core.events import Kind
from harness.core.record import Record
from harness.core.samples import Outcome
from harness.stored_record import read_record
from tests.fix_run import without_test_settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PACKAGE = {
    "locustfile.py": """
        from locust import LoadTestShape  # imported, not a shape of its own

        from people import Buyer, Sequence, Stream
        from protocol import Hanging, Meter, Own

        Buyer.weight = 3
    """,
    "people.py": """
        import requests
        from locust import FastHttpUser, HttpUser, SequentialTaskSet, between, constant_pacing, task

        from words import PATHS

        class Buyer(HttpUser):
            wait_time = between(0.05, 0.15)

            def on_start(self):
                self.token = requests.get(self.host + "/login", timeout=5).text

            @task
            def look(self):
                self.client.get(self.host + PATHS["one"])
                self.client.get("/redirect", name="redirected", timeout=5)

            @task
            def check(self):
                with self.client.get("/two", catch_response=True) as response:
                    response.failure(f"not what was meant: {id(response)}")
                with self.client.get("/limited", catch_response=True) as response:
                    response.failure("slow down")
                with self.client.get("/missing", catch_response=True) as response:
                    response.success()

            @task
            def break_it(self):
                self.client.get("/broken")
                self.client.post("/after", data="x")

        class Stream(HttpUser):
            fixed_count = 1
            wait_time = constant_pacing(0.2)

            @task
            def read(self):
                with self.client.get("/stream", stream=True, catch_response=True) as response:
                    assert len(list(response.iter_lines())) == 3

        class Steps(SequentialTaskSet):
            @task
            def first(self):
                self.client.get("/first")

            @task
            def second(self):
                self.client.put("/second", json={})
                self.interrupt()

        class Sequence(FastHttpUser):
            wait_time = constant_pacing(0.1)
            tasks = [Steps]
    """,
    "words.py": 'PATHS = {"one": "/one?page=2"}',
    "protocol.py": """
        import time

        import gevent
        from locust import User, constant_pacing, events, task

        class Wire:
            def __init__(self, environment):
                self.fire = environment.events.request.fire

            def send(self, name, **fields):
                self.fire(**{"request_type": "wire", "name": name, "response_length": 0, **fields})

        class Own(User):
            wait_time = constant_pacing(0.2)

            def __init__(self, *arguments):
                super().__init__(*arguments)
                self.client = Wire(self.environment)

            @task
            def send(self):
                self.client.send("good", response_time=12, exception=None)
                self.client.send("failed", response_time=3.5, exception=ValueError(1), start_time=time.time())
                self.client.send("said", response_time=1, exception="it said 500 at 12:00:01.123456")
                self.client.send("unclocked", response_time=20, start_time=time.perf_counter())
                self.client.send("untimed", response_time=None)
                self.client.send("negative", response_time=-5)
                self.client.send("odd", response_time="12", exception=KeyError("x"), more=object())
                self.client.send("long " + "x" * 5000, response_time=1)
                self.environment.events.request.fire(response_length=0, response_time=1)

        class Meter(User):
            wait_time = constant_pacing(0.2)

            @task
            def measure(self):
                with events.request.measure("measure", "quick"):
                    gevent.sleep(0.01)
                with events.request.measure("measure", "raising"):
                    raise TimeoutError

        class Hanging(User):
            @task
            def hang(self):
                with events.request.measure("measure", "hanging"):
                    gevent.sleep(60)
    """,
}

SHAPED = """
    from locust import HttpUser, LoadTestShape, constant, task

    class Someone(HttpUser):
        wait_time = constant(0.05)

        @task
        def get(self):
            self.client.get("/one")

    class Steps(LoadTestShape):
        def tick(self):
            seconds = self.get_run_time()
            return None if seconds > {ends} else (2 if seconds < 2 else 5, 10)
"""


class _App(BaseHTTPRequestHandler):
    """A service with every habit of one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if length := int(self.headers.get("Content-Length") or 0):
            self.rfile.read(length)
        known = {"/redirect": 302, "/limited": 429, "/missing": 404, "/broken": 500}
        self._answer(known.get(self.path, 200))

    do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self, status: int) -> None:
        body = b"a\nb\nc\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/one")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = status == 500  # without a word

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a full queue makes a client wait a second for its connection

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


@pytest.fixture
def host() -> Iterator[str]:
    """The address of a small service."""
    server = _Server(("127.0.0.1", 0), _App)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Someones:
    """A folder with somebody's locustfiles, and the Locust processes started in it."""

    folder: Path
    host: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text))

    def start(self, locustfile: str, *arguments: str) -> subprocess.Popen[str]:
        """`harness run`, all phases at their shortest, migrating nothing."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness", "run", "-f", locustfile, "--headless", "--only-summary"),
                *("--host", self.host, "--placebo", "--warmup-time", "1s", "--baseline-time", "5s"),
                *("--recover-time", "5s", "--drain-time", "1s", *arguments),
            ],
            cwd=self.folder,
            env=without_test_settings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def wait_for(self, phase: str) -> None:
        plan = self.folder / "runs" / "latest" / "plan.json"

        def entered() -> bool:
            return plan.is_file() and any(event.data.get("name") == phase for event in self.record.events)

        assert wait_until(entered, 30, every=0.1)

    @property
    def record(self) -> Record:
        return read_record(self.folder / "runs" / "latest")

    @property
    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "runs/latest/verdict.json").read_text())
        return found

    def recorded(self) -> dict[str, set[tuple[Outcome, str]]]:
        """The outcomes and causes of the requests of each name."""
        samples, found = self.record.samples, {}
        for number, name in enumerate(samples.endpoints):
            own = samples.where(samples.endpoint == number)
            pairs = zip(own.outcome.tolist(), own.cause.tolist(), strict=True)
            found[name] = {(Outcome(outcome), samples.causes[cause]) for outcome, cause in pairs}
        return found


@pytest.fixture
def someones(tmp_path: Path, host: str) -> Iterator[Someones]:
    someones = Someones(tmp_path, host)
    yield someones
    for process in someones.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


OK, ERROR, UNFINISHED = Outcome.OK, Outcome.ERROR, Outcome.UNFINISHED


def test_every_kind_of_user_is_recorded_and_what_its_client_hides_is_said(someones: Someones) -> None:
    someones.write({f"shop/{name}": text for name, text in PACKAGE.items()})
    process = someones.start("shop/locustfile.py", "--users", "12", "--spawn-rate", "12", "--processes", "2")
    someones.wait_for("baseline")
    assert wait_until(lambda: len(someones.recorded()) == 19, 30, every=0.2)  # all but what hangs
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert f"{Path('harness', 'load')}{os.sep}" not in output, "Locust itself says what it misses in an event"
    recorded = someones.recorded()
    name = "wire long " + "x" * 189 + "…"
    assert recorded == {
        "GET /one?page=2": {(OK, "")},
        "GET redirected": {(OK, "")},
        "GET /two": {(ERROR, "not what was meant: #")},
        "GET /limited": {(ERROR, "HTTP 429 (slow down)")},
        "GET /missing": {(OK, "")},
        "GET /broken": {(ERROR, "HTTP 500")},
        "POST /after": {(OK, "")},
        "GET /stream": {(OK, "")},
        "GET /first": {(OK, "")},
        "PUT /second": {(OK, "")},
        "wire good": {(OK, "")},
        "wire failed": {(ERROR, "ValueError")},
        "wire said": {(ERROR, "it said 500 at 12:00:01.#")},
        "wire unclocked": {(OK, "")},
        "wire odd": {(ERROR, "KeyError")},
        name: {(OK, "")},
        " ": {(OK, "")},
        "measure quick": {(OK, "")},
        "measure raising": {(ERROR, "TimeoutError")},
        "measure hanging": {(UNFINISHED, "")},
    }
    samples = someones.record.samples
    finals = [event.data for event in someones.record.events if event.kind == Kind.WORKER_FINAL]
    assert len(finals) == 2
    assert sum(final["started"] for final in finals) == len(samples)
    assert np.all(samples.at[samples.endpoint == samples.endpoints.index("wire unclocked")] > 0)
    limits = "\n".join(someones.verdict["limits"])
    for sentence in (
        "A target rate is not applicable",
        "Latency of Buyer, Own, Sequence and Stream counts from the send",
        "Buyer and Stream (HttpUser) sent",
        "Buyer followed",
        "Stream read the body of",
        "Sequence (FastHttpUser) sends GET",
        "by events.request.fire",
        "as ok without a response time",
        "refused by rate limiting (HTTP 429)",
    ):
        assert limits.count(sentence) == 1, limits
    for gate in ("lost_writes", "leaks", "ws_missed", "lock_wait", "deadlocks", "catalog", "migration"):
        found = {one["status"] for one in someones.verdict["gates"] if one["name"] == gate}
        assert found == {"not_applicable"}, gate


def test_a_load_shape_that_is_over_ends_the_run_in_order(someones: Someones) -> None:
    someones.write({"shaped.py": SHAPED.format(ends=4)})
    process = someones.start("shaped.py")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output
    verdict, record = someones.verdict, someones.record
    assert verdict["interrupted_in"] == "baseline"
    assert any("the load shape Steps was over" in limit for limit in verdict["limits"])
    assert record.plan.shape == "Steps"
    assert max(point.users for point in record.health) == 5
    assert verdict["load"]["started"] == verdict["load"]["finished"] == len(record.samples) > 50
    assert np.all(record.samples.outcome == OK)


def test_a_run_with_a_load_shape_ends_in_order_when_it_is_told_to(someones: Someones) -> None:
    """Locust itself listens to no SIGTERM while a shape runs."""
    someones.write({"shaped.py": SHAPED.format(ends=600)})
    process = someones.start("shaped.py")
    someones.wait_for("baseline")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert any("SIGTERM" in limit for limit in someones.verdict["limits"])
