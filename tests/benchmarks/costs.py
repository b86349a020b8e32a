"""What each thing that is known of a request costs, alone: `python -m tests.benchmarks.costs`.

A POST with a bearer, of which the answer is parsed, with everything off, with the recorder, and with the
recorder and one thing more: the `traceparent` header, an entry in the ledger, the look for other accounts'
canaries. In turns; CPU time of the process is compared. That Locust's own `request` event is fired, and its
statistics kept, is part of all of them.
"""

from __future__ import annotations

# isort: off
import locust  # noqa: F401 - patches the standard library, which must come first
# isort: on

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gevent
from locust.env import Environment

from harness.clock import monotonic
from harness.core.operations import OperationKind, OperationOutcome
from harness.load.client import MeasuredSession
from harness.load.http_response import Response
from harness.load.keys import new_key
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.users import MigrationUser
from tests.benchmarks.small_server import ACCOUNT, DOCUMENT
from tests.benchmarks.table import Row, program

USERS = 16
REQUESTS = 60
ROUNDS = 40
BEARER = {"Authorization": f"Bearer {'x' * 300}"}
OFF, RECORDER, TRACEPARENT = "all off", "the recorder", "traceparent"
WORK = "POST JSON, bearer, parse"

After = Callable[[Response, float], None]
"""What is done with an answer to a request that began at that instant."""


def nothing(response: Response, begun: float) -> None:
    """All off."""


def ledger(response: Response, begun: float) -> None:
    """The write is entered."""
    recorder.operation(ACCOUNT, new_key(), OperationKind.CREATE, 1, begun, monotonic(), OperationOutcome.OK)


def isolation(response: Response, begun: float) -> None:
    """What a MigrationUser does with each answer that is private to its account."""
    person: Any = SimpleNamespace(account=SimpleNamespace(name=ACCOUNT))
    MigrationUser.check(person, response, "POST /documents")


AFTER: dict[str, After] = {"the ledger": ledger, "isolation checks": isolation}
BASES = {RECORDER: OFF, **dict.fromkeys((TRACEPARENT, *AFTER), RECORDER)}
"""What each thing is added to."""


@contextmanager
def switched(on: str) -> Iterator[After]:
    """With everything off, or with the recorder and that one thing besides."""
    with ExitStack() as stack:
        if on != OFF:
            settings = RunSettings("run", "canary", 1, USERS, None, 0, 1, USERS)
            recorder.begin("local", settings, monotonic())
            stack.callback(recorder.end)
        if on != TRACEPARENT:
            stack.enter_context(patch.object(recorder, "traceparent", lambda *_: None))
        yield AFTER.get(on, nothing)


def cpu_us(sessions: list[MeasuredSession], on: str) -> float:
    """CPU microseconds per request while all users work."""

    def user(session: MeasuredSession) -> None:
        for _ in range(REQUESTS):
            begun = monotonic()
            response = session.request("POST", "/documents", json=DOCUMENT, headers=BEARER)
            if response.json()["version"] != DOCUMENT["version"]:
                raise RuntimeError("another answer than the server gives")
            after(response, begun)

    with switched(on) as after:
        begun = time.process_time()
        gevent.joinall([gevent.spawn(user, session) for session in sessions], raise_error=True)
        for _, block in recorder.take(monotonic()).blocks:
            block.encode()
        return (time.process_time() - begun) / (REQUESTS * len(sessions)) * 1e6


def rows(quick: bool) -> list[Row]:
    """A request with everything off, and what each thing adds to it."""
    environment = Environment(events=None)
    environment.create_local_runner()
    environment.events.request.add_listener(recorder.on_request)
    command = [sys.executable, "-m", "tests.benchmarks.small_server"]
    turns: dict[str, list[float]] = {on: [] for on in (OFF, *BASES)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        sessions = [MeasuredSession(base, environment.events.request) for _ in range(USERS)]
        for turn in range(1 + (1 if quick else ROUNDS)):
            for on, took in turns.items():
                cost = cpu_us(sessions, on)
                if turn:  # the first opens connections and warms caches
                    took.append(cost)
    row = partial(Row, WORK, unit="µs CPU")
    made = [row("a request, all off", rounds=tuple(turns[OFF]))]
    for on, base in BASES.items():
        added = tuple(cost - least for cost, least in zip(turns[on], turns[base], strict=True))
        made.append(row(f"+ {on}", rounds=added, peer="a request, all off"))
    return made


if __name__ == "__main__":
    raise SystemExit(program(rows))
