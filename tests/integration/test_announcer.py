"""Announcements reach the service one by one, numbered, and each is written down with its outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from harness.clock import monotonic
from harness.core.events import Kind
from harness.run.announcer import Announcer

pytestmark = pytest.mark.integration


class Service:
    """Answers logins and announcements; `statuses` are its next answers to announcements, 202 after them."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.logins = 0
        self.statuses: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/token":
                    own.logins += 1
                    self._answer(200, {"access_token": f"t{own.logins}"})
                    return
                own.hold.wait(10)
                status = own.statuses.pop(0) if own.statuses else 202
                if status == 202:
                    own.taken.append(json.loads(body))
                self._answer(status, {})

            def _answer(self, status: int, body: dict[str, str]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever)
    thread.start()
    yield service
    service.hold.set()
    service.server.shutdown()
    thread.join(5)
    service.server.server_close()


Noted = list[tuple[str, float, dict[str, Any]]]


def announcer(service: Service, noted: Noted) -> Announcer:
    def note(kind: str, at: float, **data: Any) -> None:
        noted.append((kind, at, data))

    return Announcer(service.host, "operator", "secret", note, monotonic())


def test_announcements_are_numbered_and_noted(service: Service) -> None:
    noted: Noted = []
    own = announcer(service, noted)
    own.announce("started", revision="head")
    own.announce("finished", revision="head")
    own.close(10)
    assert service.taken == [
        {"status": "started", "revision": "head", "announcement": 1},
        {"status": "finished", "revision": "head", "announcement": 2},
    ]
    assert service.logins == 1
    assert [(kind, data["number"], data["status"], data["error"]) for kind, _, data in noted] == [
        (Kind.ANNOUNCED, 1, "started", None),
        (Kind.ANNOUNCED, 2, "finished", None),
    ]
    assert all(at >= 0 and data["took_s"] > 0 for _, at, data in noted)


def test_an_announcement_that_is_not_taken_is_noted_with_the_reason(service: Service) -> None:
    noted: Noted = []
    service.statuses = [503]
    own = announcer(service, noted)
    own.announce("started")
    own.announce("finished")
    own.close(10)
    assert [data["error"] for _, _, data in noted] == ["HTTPError", None]
    assert service.logins == 2


def test_nothing_is_noted_once_it_is_closed(service: Service) -> None:
    noted: Noted = []
    service.hold.clear()
    own = announcer(service, noted)
    own.announce("started")
    own.close(0.1)
    service.hold.set()
    own._thread.join(10)
    assert (len(service.taken), noted) == (1, [])
