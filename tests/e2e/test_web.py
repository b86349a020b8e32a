"""The same run from Locust's web page: Start, Stop, a second Start; and no other page may command it."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.clock import wait_until
from tests.fix_run import BRIEF, UNPROBED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@dataclass
class Page:
    """Locust's web page, as a browser uses it."""

    base: str
    run: Run

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.base + path, timeout=30) as answer:
            body = answer.read().decode()
        return json.loads(body) if answer.headers.get_content_type() == "application/json" else body

    def start(self, origin: str | None = None, **form: str) -> Any:
        data = urllib.parse.urlencode({"user_count": "30", "spawn_rate": "30", **form}).encode()
        request = urllib.request.Request(f"{self.base}/swarm", data)
        if origin:
            request.add_header("Origin", origin)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def stop(self) -> None:
        request = urllib.request.Request(f"{self.base}/stop", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200

    def status(self) -> dict[str, str]:
        return dict(self.get("/migration/status")["rows"])

    def answers(self) -> bool:
        try:
            self.get("/")
        except OSError:
            return False
        return True


@pytest.fixture
def page(runs: Runs) -> Iterator[Page]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = runs.start("--headful", "--web-port", str(port), *BRIEF, *UNPROBED)
    page = Page(f"http://127.0.0.1:{port}", run)
    assert wait_until(page.answers, within=30), run.process.poll()
    yield page
    os.kill(run.process.pid, signal.SIGINT)
    run.wait(within_s=60)


def test_stop_and_a_second_start(page: Page) -> None:
    assert page.start()["success"]
    assert wait_until(lambda: "baseline" in page.run.phases(), within=60)
    page.stop()
    assert wait_until(lambda: page.status().get("verdict") == "inconclusive", within=60)
    assert page.run.verdict["exit_code"] == 130
    first = page.run.directory.resolve()

    assert wait_until(lambda: page.start(upgrade="safe@head")["success"], within=30)
    assert wait_until(lambda: page.status().get("verdict") not in (None, "–"), within=120)
    assert page.run.directory.resolve() != first
    assert page.run.verdict["complete"]
    assert page.run.gate("migration")["status"] == "pass", page.run.verdict["gates"]
    assert "<html" in page.get("/migration/report")


def test_another_page_cannot_start_it(page: Page) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        page.start(origin="http://evil.example")
    assert page.run.phases() == []


def test_only_known_revisions_can_be_chosen(page: Page) -> None:
    page.start(upgrade="drop_everything")
    assert wait_until(lambda: "drop_everything" in str(page.status().get("error")), within=20)
    assert page.run.phases() == []
