"""Whatever a service sends, and however it ends, each request of a user comes to one outcome, in bounds."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locust.event import EventHook

from harness.clock import monotonic
from harness.load.client import MeasuredSession, failure_cause
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from tests.fix_wire import server
from tests.unit.load.test_http_answer import ANYTHING

pytestmark = pytest.mark.integration

REQUESTS = 3
DEADLINE_S = 0.1
MOST_BYTES = 20_000


@dataclass(frozen=True)
class Turn:
    """What a service does with one request: what it sends, piece by piece, and how it goes on."""

    pieces: list[bytes]
    end: str


GOOD = st.sampled_from(
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
        [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"],
    ]
)
TURNS = st.builds(
    Turn, GOOD | ANYTHING, st.sampled_from(["keep", "keep", "close", "reset", "flood", "silent"])
)


class Service:
    """Does with the n-th request that it reads what the n-th turn says, whichever connection it is on."""

    def __init__(self, turns: list[Turn]) -> None:
        self._turns = iter(turns)
        self.read = 0
        self._over = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        try:
            while connection.recv(65536):
                self.read += 1
                if not self._take_turn(connection, next(self._turns)):
                    return
        except (OSError, StopIteration):
            return  # the client has hung up, or asks once too often

    def _take_turn(self, connection: socket.socket, turn: Turn) -> bool:
        for piece in turn.pieces:
            connection.sendall(piece)
        if turn.end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while turn.end == "flood":
            connection.sendall(b"x" * 4096)
        if turn.end == "silent":
            connection.recv(1)
        return turn.end == "keep"


@pytest.fixture(scope="module", autouse=True)
def recording() -> Iterator[None]:
    recorder.begin("w", RunSettings("run", "canary", 1, 1, None, 0, 1, 1), monotonic())
    yield
    recorder.end()


@settings(max_examples=30, deadline=None)
@given(st.lists(TURNS, min_size=REQUESTS, max_size=REQUESTS))
def test_every_request_comes_to_one_outcome_within_bounds(turns: list[Turn]) -> None:
    events: list[object] = []
    hook = EventHook()
    hook.add_listener(lambda **fields: events.append(fields["exception"]))
    service = Service(turns)
    before = (recorder.started, recorder.finished)
    with server(service) as (base, _):
        session = MeasuredSession(base, hook)
        session.http.deadline_s, session.http.most_bytes = DEADLINE_S, MOST_BYTES
        responses = [session.get("/a") for _ in turns]
        session.close()
    batch = recorder.take(monotonic())
    assert (recorder.started - before[0], recorder.finished - before[1]) == (REQUESTS, REQUESTS)
    assert recorder.in_flight == 0
    assert len(batch.latencies) == len(events) == REQUESTS
    assert batch.errors == sum(event is not None for event in events)
    assert batch.errors == sum(failure_cause(response) != "" for response in responses)
    assert service.read <= REQUESTS, "a request was sent twice"
    assert all(len(response.content) <= MOST_BYTES for response in responses)
