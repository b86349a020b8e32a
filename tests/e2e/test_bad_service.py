"""A service that answers anything: the run ends in time, says what came instead, and has a verdict."""

from __future__ import annotations

import json
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest

from harness.core.samples import Outcome
from harness.stored_record import read_record
from tests.fix_run import UNTIMED, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LOCUSTFILE = """
    from harness.locust import MigrationUser, PasswordGrant, Registration, Resource, canary

    AUTH = PasswordGrant("/token", register=Registration("/accounts"))

    class Person(MigrationUser):
        auth = AUTH
        notes = Resource("/notes", create={"text": canary}, without={"update", "delete"})
        page, latin, nested, endless = (
            Resource(f"/{name}", without={"read"}) for name in ("html", "latin", "nested", "endless")
        )

    class Patient(MigrationUser):
        fixed_count = 1
        auth = AUTH
        probe_path = "/notes"
        drip = Resource("/drip", without={"read"})
"""
BEHIND_S = 600
"""How far the service's clock is behind."""

NOT_JSON = (Outcome.ERROR, "HTTP 200, but a body that is not JSON")
BODIES = {
    "/html": b"<!doctype html><title>Down for maintenance</title>",
    "/latin": b'{"items": [{"id": 1, "name": "J\xf6rg"}]}',
    "/nested": b"[" * 200_000,
}


class BadService(BaseHTTPRequestHandler):
    """Keeps notes as it should; the rest is as bad as it can be."""

    protocol_version = "HTTP/1.1"
    notes: list[dict[str, Any]]
    asked: Counter[str]
    refused: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked[self.path] += 1
        if self.path == "/token":
            now = time.time() - BEHIND_S
            self._say({"access_token": jwt.encode({"exp": int(now) + 300}, "k" * 32), "token_type": "bearer"})
        elif self.path == "/notes":
            self.notes.append({"id": len(self.notes), **json.loads(body)})
            self._say(self.notes[-1])
        else:
            self._say({}, 500 if self.refused in body.decode() else 200)

    def do_GET(self) -> None:
        if self.path in BODIES:
            self._send(BODIES[self.path])
        elif self.path == "/endless":
            self._go_on(b"[" + b"1, " * 100_000, 0.0)
        elif self.path == "/drip":
            self._go_on(b"[", 0.1)
        elif self.path.startswith("/notes/"):
            self._say(self.notes[int(self.path.removeprefix("/notes/"))])
        else:
            self._say(self.notes)

    def _say(self, tree: Any, status: int = 200) -> None:
        self._send(json.dumps(tree).encode(), status)

    def _send(self, body: bytes, status: int = 200) -> None:
        self._begin(status, "Content-Length", str(len(body)))
        self.wfile.write(body)

    def _go_on(self, piece: bytes, every_s: float) -> None:
        self._begin(200, "Connection", "close")
        self.close_connection = True
        closed = threading.Event()
        with suppress(OSError):
            while not closed.wait(every_s):
                self.wfile.write(piece)

    def _begin(self, status: int, header: str, value: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(header, value)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) - BEHIND_S, usegmt=True)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


@pytest.fixture
def bad() -> Iterator[tuple[str, Counter[str]]]:
    """The address of such a service, and how often each path of it is posted to."""
    known = {"notes": [], "asked": Counter(), "refused": "account-0003"}
    server = _Server(("127.0.0.1", 0), type("Handler", (BadService,), known))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", known["asked"]  # type: ignore[misc]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_service_that_answers_anything_has_a_verdict(runs: Runs, bad: tuple[str, Counter[str]]) -> None:
    host, asked = bad
    locustfile = runs.root / "locustfile.py"
    locustfile.write_text(textwrap.dedent(LOCUSTFILE))
    run = runs(
        *("--host", host, "--placebo", "--users", "6", "--target-rate", "30", *UNTIMED),
        *("--warmup-time", "1s", "--baseline-time", "5s", "--recover-time", "5s", "--probe-time", "1s"),
        *("--drain-time", "1s"),
        locustfile=locustfile,
    )
    assert run.process.returncode == run.verdict["exit_code"], run.output
    assert "Traceback" not in run.output

    samples = read_record(run.directory).samples
    found: dict[str, set[tuple[Outcome, str]]] = {name: set() for name in samples.endpoints}
    for endpoint, outcome, cause in zip(samples.endpoint, samples.outcome, samples.cause, strict=True):
        found[samples.endpoints[endpoint]].add((Outcome(outcome), samples.causes[cause]))
    assert found == {
        "POST /accounts": {(Outcome.OK, ""), (Outcome.ERROR, "HTTP 500")},
        "POST /token": {(Outcome.OK, "")},
        "GET /notes": {(Outcome.OK, "")},
        "GET /notes/{id}": {(Outcome.OK, "")},
        "POST /notes": {(Outcome.OK, "")},
        "GET /html": {NOT_JSON},
        "GET /latin": {NOT_JSON},
        "GET /nested": {NOT_JSON},
        "GET /endless": {(Outcome.ERROR, "answer longer than 8 MB")},
        "GET /drip": {(Outcome.UNFINISHED, "")},
    }
    assert run.verdict["ledger"]["acknowledged"] > 5
    assert run.verdict["ledger"]["lost"] == 0
    assert asked["/token"] <= 12, "by the service's own clock the tokens are good"
