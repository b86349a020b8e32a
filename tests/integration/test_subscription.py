"""A subscription against a service that plays a script: what is recorded of it, whatever it does."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.clock_offset import offset_between
from harness.core.stream import Stream
from harness.load import subscription
from harness.load.auth import Credentials, Login, NoAuth
from harness.load.client import MeasuredSession
from harness.load.messages import RunSettings
from harness.load.recorder import Recorder
from harness.load.subscription import Subscription, drop_connections
from tests.fix_target import PASSWORD, Service
from tests.fix_websocket import (
    BINARY,
    Stage,
    accept,
    close_frame,
    frame,
    header,
    on_stage,
    request_of,
    unmasked,
    until_gone,
)

pytestmark = pytest.mark.integration

OURS = Stream("/ws", record="document")
WITHIN_S = 10.0


class Numbered(Login):
    """Tokens without a service."""

    def __init__(self, account: str = "ada") -> None:
        session = MeasuredSession("", cast(Any, None))
        super().__init__(NoAuth(refusals=frozenset({401})), Account(account), session)
        self.count = 0

    def credentials(self, _send: object) -> Credentials:
        return Credentials({"Authorization": f"Bearer token-{self.count}"})

    def refused(self, _credentials: Credentials) -> None:
        self.count += 1


class Held(Numbered):
    """A token that was had elsewhere."""

    def __init__(self, account: str, token: str | None) -> None:
        super().__init__(account)
        self.token = token

    def credentials(self, _send: object) -> Credentials:
        return Credentials({"Authorization": f"Bearer {self.token}"})


class Theatre:
    """A subscription, and what is recorded of it."""

    def __init__(self, recorder: Recorder, valve: SimpleNamespace) -> None:
        self.recorder = recorder
        self.valve = valve
        self.targets: list[str] = []
        self.tokens: list[str] = []
        self.lines: list[dict[str, Any]] = []
        self._ending = False

    def scene(
        self, *messages: dict[str, Any] | bytes, end: bytes = close_frame(1012)
    ) -> Callable[[Any], None]:
        """A connection on which the messages are pushed, and then `end`."""

        def serve(connection: socket.socket) -> None:
            self._note(accept(connection))
            for message in messages:
                connection.sendall(message if isinstance(message, bytes) else told(message))
            connection.sendall(end)
            until_gone(connection)

        return serve

    def refusal(self, status: int) -> Callable[[Any], None]:
        """A connection that is refused."""

        def serve(connection: socket.socket) -> None:
            self._note(request_of(connection))
            connection.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            until_gone(connection)

        return serve

    def play(self, *scenes: Callable[[Any], None], stream: Stream = OURS) -> None:
        """Run a subscription until it has been through all the scenes."""
        with on_stage(*scenes) as stage:
            running = gevent.spawn(self._until_played, stage, stream)
            running.get(timeout=WITHIN_S)
        self.take()

    def _until_played(self, stage: Stage, stream: Stream) -> None:
        one = Subscription(stage.host, stream, Numbered(), Random(1))
        whole = one._live

        def live(connection: Any) -> None:
            self.valve.closed = stage.played == len(stage.scripts)
            whole(connection)

        one._live = live  # type: ignore[method-assign]
        one.run()

    def take(self) -> None:
        """Take what was recorded up to now."""
        self.lines += [line for _, line in self.recorder.take(monotonic()).lines]

    def _note(self, request: bytes) -> None:
        self.targets.append(request.split(b" ")[1].decode())
        [token] = [line for line in request.split(b"\r\n") if line.lower().startswith(b"authorization:")]
        self.tokens.append(token.decode().rpartition(" ")[2])

    def sum(self, what: str) -> int:
        return sum(line[what] for line in self.lines if what in line)

    @property
    def odd(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for line in self.lines:
            for name, count in line.get("odd", {}).items():
                found[name] = found.get(name, 0) + count
        return found

    @property
    def ends(self) -> list[str]:
        return [line["ended"] for line in self.lines if "ended" in line]


@pytest.fixture
def theatre(monkeypatch: pytest.MonkeyPatch) -> Iterator[Theatre]:
    recorder, valve = Recorder(), SimpleNamespace(closed=False)
    recorder.begin("w", RunSettings("run", "run", 1, 1, None, 0, 1, 1), monotonic())
    monkeypatch.setattr(subscription, "recorder", recorder)
    monkeypatch.setattr(subscription, "valve", valve)
    monkeypatch.setattr(subscription, "_FIRST_PAUSE_S", 0.01)
    yield Theatre(recorder, valve)
    subscription._running.clear()


def told(message: dict[str, Any]) -> bytes:
    return frame(json.dumps(message).encode())


def welcome(last: int) -> dict[str, Any]:
    return {"type": "welcome", "account": "ada", "last_seq": last}


def change(number: int, account: str = "ada", **more: Any) -> dict[str, Any]:
    return {"type": "change", "seq": number, "committed_at": 0.0, "canary": f"canary:{account}", **more}


# what came


def test_a_broken_connection_is_made_anew_and_resumed(theatre: Theatre) -> None:
    theatre.play(
        theatre.scene(welcome(7), change(8), change(9)),
        theatre.scene(welcome(11), change(10), change(11), change(12)),
    )
    assert theatre.targets == ["/ws", "/ws?after=9"]
    assert (theatre.sum("delivered"), theatre.sum("missed")) == (5, 0)
    assert (theatre.sum("reconnects"), theatre.sum("resumed")) == (1, 2)
    assert theatre.ends == ["closed with 1012"] * 2
    [away_s] = [line["away_s"] for line in theatre.lines if "away_s" in line]
    assert 0 < away_s < WITHIN_S


def test_a_change_that_a_resumed_connection_skips_is_missed(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(7), change(8)), theatre.scene(welcome(11), change(11)))
    assert (theatre.sum("missed"), theatre.sum("resumed"), theatre.sum("delivered")) == (2, 1, 2)


def test_changes_late_and_again_are_told_apart(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(0), *(change(number) for number in (2, 1, 1, 3))))
    assert (theatre.sum("delivered"), theatre.sum("reordered"), theatre.sum("duplicated")) == (3, 1, 1)
    assert theatre.sum("missed") == 0


def test_what_a_service_does_not_send_again_passes_by(theatre: Theatre) -> None:
    theatre.play(
        theatre.scene(welcome(7), change(8)),
        theatre.scene(welcome(11), change(12)),
        theatre.scene(change(15)),
        stream=Stream("/ws", resume=None),
    )
    assert theatre.targets == ["/ws"] * 3
    assert (theatre.sum("missed"), theatre.sum("passed"), theatre.sum("resumed")) == (0, 5, 0)


def test_a_stream_without_a_greeting_counts_from_its_opening(theatre: Theatre) -> None:
    theatre.play(theatre.scene(change(8), change(10)), stream=Stream("/ws", greeting=None))
    assert (theatre.sum("delivered"), theatre.sum("missed")) == (2, 1)
    assert [line["connection"] for line in theatre.lines if "account" in line and "ended" not in line] == [1]


def test_a_connection_that_is_never_greeted_does_not_count(theatre: Theatre) -> None:
    theatre.play(theatre.scene(), theatre.scene(welcome(0)))
    assert theatre.sum("reconnects") == 0
    assert theatre.odd == {"a connection that was never greeted": 1}
    assert [line["connection"] for line in theatre.lines if "account" in line and "ended" not in line] == [2]


def test_a_change_of_another_account_is_a_leak_wherever_it_stands(theatre: Theatre) -> None:
    theatre.play(
        theatre.scene(change(1), change(2, "bob"), {"note": "canary:eve"}, frame(b"\xff canary:joe", BINARY))
    )
    shown = [line["detail"] for line in theatre.lines if line.get("outcome") == "leaked"]
    assert shown == ["WS showed bob", "WS showed eve", "WS showed joe"]
    assert theatre.sum("reads_checked") == 1


def test_the_status_of_the_migration_is_told_with_its_connection(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(0), {"type": "migration", "status": "started", "announcement": 3}))
    [(announcement, connection, ago_s)] = [s for line in theatre.lines for s in line.get("statuses", ())]
    assert (announcement, connection) == (3, 1)
    assert 0 <= ago_s < WITHIN_S


def test_delays_and_the_clocks_bounds_are_told(theatre: Theatre) -> None:
    theatre.recorder.websockets.creating("d1", monotonic())
    theatre.play(theatre.scene(change(1, document="d1", committed_at=60.0)))
    [line] = [line for line in theatre.lines if line.get("delivered")]
    low, high = line["clock"]
    assert line["delays_s"] == [pytest.approx(-low)]
    assert low < high < low + WITHIN_S


def test_the_first_change_of_a_stream_bounds_the_clock_without_a_record(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(3), change(4, committed_at=60.0)), stream=Stream("/ws"))
    [line] = [line for line in theatre.lines if line.get("delivered")]
    low, high = line["clock"]
    assert low < high < low + WITHIN_S


def test_a_change_that_is_resumed_bounds_no_clock_from_above(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(3)), theatre.scene(welcome(4), change(4)), stream=Stream("/ws"))
    assert [line["clock"][1] for line in theatre.lines if line.get("delivered")] == [None]


def test_of_a_service_that_does_not_greet_nobody_knows_what_was_resumed(theatre: Theatre) -> None:
    theatre.play(theatre.scene(change(8)), theatre.scene(change(9)), stream=Stream("/ws", greeting=None))
    assert [line["resumed"] for line in theatre.lines if "resumed" in line] == [None]


def test_a_service_gets_token_origin_and_first_words_as_it_wants_them(theatre: Theatre) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heard.append(accept(connection, protocol=b"live.v1"))
        heard.append(unmasked(connection))
        connection.sendall(told(welcome(0)) + close_frame(1000))
        until_gone(connection)

    theirs = Stream(
        "/ws?token={token}", says=[{"subscribe": "{name}", "as": "{token}"}], subprotocol="live.v1"
    )
    theatre.play(serve, stream=theirs)
    request, words = heard
    assert request.startswith(b"GET /ws?token=token-0 HTTP/1.1\r\n")
    assert header(request, b"origin").startswith(b"http://127.0.0.1:")
    assert header(request, b"sec-websocket-protocol") == b"live.v1"
    assert json.loads(words) == {"subscribe": "ada", "as": "token-0"}


# what was odd


def test_what_cannot_be_read_is_named_and_the_connection_kept(theatre: Theatre) -> None:
    theatre.play(
        theatre.scene(
            welcome(0),
            frame(b"\x00\x01", BINARY),
            frame(b"pong?"),
            {"type": "change", "seq": "one"},
            {"type": "heartbeat"},
            change(1, committed_at="noon"),
            welcome(0),
            change(1),
        )
    )
    assert theatre.odd == {
        "a message that is not JSON": 2,
        "a message without a whole number in 'seq'": 1,
        "a message without a time in 'committed_at'": 1,
    }
    assert (theatre.sum("delivered"), len(theatre.ends)) == (1, 1)


def test_numbers_that_go_back_are_named(theatre: Theatre) -> None:
    theatre.play(theatre.scene(welcome(9)), theatre.scene(welcome(3)))
    assert theatre.odd == {"numbers that go back": 1}


def test_refused_tokens_are_replaced_and_refusals_counted(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    theatre.play(theatre.refusal(401), theatre.refusal(503), theatre.scene(welcome(0), change(1)))
    assert theatre.tokens == ["token-0", "token-1", "token-1"]
    assert theatre.odd == {"refused: HTTP 401": 1, "refused: HTTP 503": 1}
    assert (theatre.sum("delivered"), theatre.sum("reconnects")) == (1, 0)
    assert "/ws cannot be subscribed to (HTTP 401)" in caplog.text


def test_every_end_is_told(theatre: Theatre) -> None:
    theatre.play(
        theatre.scene(welcome(0), end=frame(b"\xff")),
        theatre.scene(welcome(0), end=frame(b"?", 0x3)),
        theatre.scene(welcome(0), end=close_frame(4000)),
    )
    assert theatre.ends == ["invalid UTF-8", "broken protocol", "closed with 4000"]
    assert theatre.sum("reconnects") == 2
    assert theatre.lines[-1]["connections"] == 0


# after the load


def settled(
    theatre: Theatre, behind: Sequence[dict[str, Any]], last: int | None, stream: Stream = OURS
) -> None:
    """Settle a subscription that was told of two changes; `behind` comes while it waits, `last` is told."""
    asked = threading.Event()
    if stream.greeting is None:
        asked.set()

    def first(connection: socket.socket) -> None:
        accept(connection, told(welcome(0)), told(change(1)), told(change(2)))
        asked.wait(10)
        connection.sendall(b"".join(map(told, behind)))
        until_gone(connection)

    def second(connection: socket.socket) -> None:
        accept(connection, *([told(welcome(last))] if last is not None else [close_frame(1011)]))
        asked.set()
        until_gone(connection)

    with on_stage(*([first, second] if stream.greeting else [first])) as stage:
        one = Subscription(stage.host, stream, Numbered(), Random(1))
        running = gevent.spawn(one.run)
        assert one.subscribed.wait(WITHIN_S)
        theatre.valve.closed = True
        assert list(subscription._settle_all()) == []
        running.kill()
    theatre.take()


def test_a_stream_that_brought_its_last_change_is_settled(theatre: Theatre) -> None:
    settled(theatre, (), 2)
    assert (theatre.sum("settled"), theatre.sum("unsettled"), theatre.sum("missed")) == (1, 0, 0)


def test_a_last_change_that_is_under_way_is_waited_for(theatre: Theatre) -> None:
    settled(theatre, (change(3),), 3)
    assert (theatre.sum("settled"), theatre.sum("delivered"), theatre.sum("missed")) == (1, 3, 0)


def test_a_service_that_fell_silent_missed_its_last_changes(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "_SETTLE_WITHIN_S", 0.3)
    settled(theatre, (), 5)
    assert (theatre.sum("settled"), theatre.sum("missed")) == (1, 3)


def test_a_service_that_does_not_tell_its_last_number_leaves_it_unsettled(theatre: Theatre) -> None:
    settled(theatre, (), None)
    assert (theatre.sum("settled"), theatre.sum("unsettled"), theatre.sum("missed")) == (0, 1, 0)


def settled_after_the_end(theatre: Theatre, *scenes: Callable[[Any], None]) -> None:
    """Settle a subscription whose connection, the first of the scenes, ended with the load."""
    with on_stage(*scenes) as stage:
        one = Subscription(stage.host, OURS, Numbered(), Random(1))
        running = gevent.spawn(one.run)
        assert one.subscribed.wait(WITHIN_S)
        theatre.valve.closed = True
        running.join(WITHIN_S)
        assert list(subscription._settle_all()) == []
    theatre.take()


@pytest.mark.parametrize("last", [2, 4])
def test_a_connection_that_ended_with_the_load_is_settled_all_the_same(theatre: Theatre, last: int) -> None:
    first = theatre.scene(welcome(0), change(1), change(2), end=close_frame(4401))
    asked = theatre.scene(welcome(last), end=b"")
    again = theatre.scene(welcome(last), change(3), change(4), end=b"")
    settled_after_the_end(theatre, first, asked, *([again] if last > 2 else []))
    assert (theatre.sum("settled"), theatre.sum("unsettled"), theatre.sum("missed")) == (1, 0, 0)
    assert theatre.sum("delivered") == last
    assert theatre.targets == ["/ws", "/ws", *([] if last == 2 else ["/ws?after=2"])]
    assert subscription._open == {}


def test_one_that_cannot_come_back_is_unsettled_not_missed(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "_SETTLE_WITHIN_S", 0.3)
    first = theatre.scene(welcome(0), change(1), end=close_frame(4401))
    settled_after_the_end(theatre, first, theatre.scene(welcome(3), end=b""), theatre.refusal(401))
    assert (theatre.sum("settled"), theatre.sum("unsettled"), theatre.sum("missed")) == (0, 1, 0)


def test_a_stream_without_a_greeting_has_nothing_to_settle(theatre: Theatre) -> None:
    settled(theatre, (), None, Stream("/ws", greeting=None))
    assert (theatre.sum("settled"), theatre.sum("unsettled")) == (0, 0)


def test_all_connections_can_be_dropped_and_come_back(theatre: Theatre) -> None:
    def first(connection: socket.socket) -> None:
        accept(connection, told(welcome(0)), told(change(1)))
        until_gone(connection)

    def second(connection: socket.socket) -> None:
        accept(connection, told(welcome(2)), told(change(2)))
        until_gone(connection)

    with on_stage(first, second) as stage:
        one = Subscription(stage.host, OURS, Numbered(), Random(1))
        running = gevent.spawn(one.run)
        assert one.subscribed.wait(WITHIN_S)
        assert drop_connections() == 1
        with gevent.Timeout(WITHIN_S):
            while theatre.recorder.websockets.count.resumed == 0:
                gevent.sleep(0.01)
        running.kill()
    theatre.take()
    assert theatre.ends == ["dropped on purpose", "ended by the load"]
    assert (theatre.sum("reconnects"), theatre.sum("resumed")) == (1, 1)
    assert subscription._open == {}


def test_the_reference_service_resumes_what_was_made_while_nobody_listened(
    theatre: Theatre, service: Service
) -> None:
    name = f"listener-{uuid.uuid4().hex[:12]}"
    assert service.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
    client = service.sign_in(name)
    one = Subscription(service.anonymous.base, OURS, Held(name, client.token), Random(1))
    running = gevent.spawn(one.run)
    assert one.subscribed.wait(WITHIN_S)
    counts = theatre.recorder.websockets.count

    def create() -> None:
        document = str(uuid.uuid4())
        theatre.recorder.websockets.creating(document, monotonic())
        client.create_document(id=document)

    def wait_for(delivered: int) -> None:
        with gevent.Timeout(WITHIN_S):
            while counts.delivered < delivered:
                gevent.sleep(0.01)

    create()
    wait_for(1)
    assert drop_connections() == 1
    for _ in range(3):
        create()  # blocks this whole process: nothing connects again meanwhile
    wait_for(4)
    create()
    wait_for(5)
    assert list(subscription._settle_all()) == []
    running.kill()
    theatre.take()
    assert (theatre.sum("resumed"), theatre.sum("reconnects"), theatre.sum("settled")) == (3, 1, 1)
    assert (theatre.sum("missed"), theatre.sum("duplicated"), theatre.odd) == (0, 0, {})
    [clock] = [line["clock"] for line in theatre.lines if line.get("delivered")]
    offset = offset_between([clock])
    assert offset is not None
    assert abs(offset.ahead_s) <= offset.error_s + 0.001
