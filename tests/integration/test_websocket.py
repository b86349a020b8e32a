"""The WebSocket client against a server that behaves in every odd way."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import gevent
import pytest

from harness.load import websocket
from harness.load.websocket import Refused, WebSocket, WebSocketEnded, connect
from tests.fix_tls import over_tls, self_signed
from tests.fix_websocket import (
    BINARY,
    CLOSE,
    PING,
    Serve,
    Stage,
    accept,
    close_frame,
    frame,
    on_stage,
    request_of,
    until_gone,
)

pytestmark = pytest.mark.integration


def served(*more: bytes) -> Serve:
    """Accepts, sends `more`, and hangs up when the client has."""

    def serve(connection: socket.socket) -> None:
        accept(connection, *more)
        until_gone(connection)

    return serve


def abrupt(more: bytes) -> Serve:
    """Accepts, sends `more`, and hangs up."""

    def serve(connection: socket.socket) -> None:
        accept(connection, more)

    return serve


def silent(connection: socket.socket) -> None:
    """Takes the connection and says nothing."""
    until_gone(connection)


def ending(*more: bytes, silence_s: float = 10.0) -> tuple[list[str | bytes], WebSocketEnded]:
    """What a connection brought over which `more` was sent, and how it ended."""
    with on_stage(served(*more)) as stage:
        return everything(connect(stage.url, silence_s=silence_s))


def everything(connection: WebSocket) -> tuple[list[str | bytes], WebSocketEnded]:
    messages: list[str | bytes] = []
    with gevent.Timeout(10):
        try:
            while True:
                messages.append(connection.receive())
        except WebSocketEnded as end:
            return messages, end
        finally:
            connection.close()


# what is a message


def test_messages_come_one_by_one_also_those_behind_the_handshake() -> None:
    messages, end = ending(frame(b"one"), frame("zwölf".encode()), frame(b""), close_frame(1000))
    assert (messages, end.cause, end.code) == (["one", "zwölf", ""], "closed with 1000", 1000)


def test_fragments_make_one_message_with_pings_between() -> None:
    parts = (frame("fr\u00e4".encode()[:3], fin=False), frame(b"?", PING), frame("\u00e4g".encode()[1:], 0))
    messages, _ = ending(*parts, close_frame(1000))
    assert messages == ["fräg"]


def test_binary_messages_are_bytes() -> None:
    messages, _ = ending(frame(b"\x00\xff", BINARY, fin=False), frame(b"\x01", 0), close_frame(1000))
    assert messages == [b"\x00\xff\x01"]


def test_a_message_may_come_a_byte_at_a_time() -> None:
    def serve(connection: socket.socket) -> None:
        accept(connection)
        for byte in frame(b"x" * 200) + close_frame(1001):
            connection.sendall(bytes([byte]))
        until_gone(connection)

    with on_stage(serve) as stage:
        messages, end = everything(connect(stage.url))
    assert (messages, end.cause) == (["x" * 200], "closed with 1001")


# how it ends


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        ((close_frame(1012, b"restart"),), "closed with 1012"),
        ((close_frame(4401),), "closed with 4401"),
        ((frame(b"", CLOSE),), "closed without a code"),
        ((close_frame(1005),), "broken protocol"),
        ((close_frame(999),), "broken protocol"),
        ((close_frame(5000),), "broken protocol"),
        ((frame(b"\x03", CLOSE),), "broken protocol"),
        ((close_frame(1000, b"\xff"),), "invalid UTF-8"),
        ((frame(b"\xff\xfe"),), "invalid UTF-8"),
        ((frame(b"\xc3", fin=False), frame(b"(", 0)), "invalid UTF-8"),
        ((frame(b"?", 0x3),), "broken protocol"),
        ((frame(b"?", 0x0),), "broken protocol"),
        ((frame(b"a", fin=False), frame(b"b")), "broken protocol"),
        ((b"\xc1\x01a",), "broken protocol"),
        ((b"\x81\x81\x00\x00\x00\x00a",), "broken protocol"),
        ((frame(b"x" * 126, PING),), "broken protocol"),
        ((b"HTTP/1.1 200 OK\r\n\r\n<html>",), "broken protocol"),
    ],
)
def test_every_end_has_a_name(sent: tuple[bytes, ...], cause: str) -> None:
    messages, end = ending(*sent)
    assert (messages, end.cause) == ([], cause)


def test_hanging_up_without_a_goodbye_is_a_lost_connection() -> None:
    with on_stage(abrupt(frame(b"cu", claims=3))) as stage:
        assert everything(connect(stage.url))[1].cause == "connection lost"


def test_a_reset_has_its_name() -> None:
    def serve(connection: socket.socket) -> None:
        accept(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with on_stage(serve) as stage:
        assert everything(connect(stage.url))[1].cause == "connection reset"


@pytest.mark.parametrize("claims", [2 * websocket.LONGEST_MESSAGE, 2**62])
def test_a_huge_frame_ends_before_it_is_in_memory(claims: int) -> None:
    def serve(connection: socket.socket) -> None:
        accept(connection, frame(b"", claims=claims))
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            return

    with on_stage(serve) as stage:
        assert everything(connect(stage.url))[1].cause == "a message longer than 1 MiB"


def test_endless_fragments_end_also_empty_ones() -> None:
    def serve(connection: socket.socket) -> None:
        accept(connection, frame(b"", fin=False))
        try:
            while True:
                connection.sendall(frame(b"", 0, fin=False) * 10_000)
        except OSError:
            return

    with on_stage(serve) as stage:
        assert everything(connect(stage.url))[1].cause == "a message longer than 1 MiB"


def test_a_peer_that_only_pings_is_answered_and_kept() -> None:
    answered: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        accept(connection)
        for _ in range(5):
            connection.sendall(frame(b"alive", PING))
            answered.append(connection.recv(100)[:1])
        connection.sendall(close_frame(1000))
        until_gone(connection)

    with on_stage(serve) as stage:
        messages, end = everything(connect(stage.url, silence_s=0.2))
    assert (messages, end.cause, answered) == ([], "closed with 1000", [b"\x8a"] * 5)


def test_a_half_open_connection_is_asked_for_a_sign_of_life_and_given_up() -> None:
    messages, end = ending(silence_s=0.1)
    assert (messages, end.cause) == ([], "no sign of life")


def test_a_pong_is_a_sign_of_life() -> None:
    def serve(connection: socket.socket) -> None:
        accept(connection)
        assert connection.recv(100)[0] == 0x80 | PING
        connection.sendall(frame(b"", 0xA))
        assert connection.recv(100)[0] == 0x80 | PING
        connection.sendall(frame(b"late"))
        until_gone(connection)

    with on_stage(serve) as stage:
        messages, end = everything(connect(stage.url, silence_s=0.1))
    assert (messages, end.cause) == (["late"], "no sign of life")


def test_goodbye_is_answered_with_its_code() -> None:
    said: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        accept(connection)
        said.append(until_gone(connection))

    with on_stage(serve) as stage:
        connect(stage.url).close(1000)
    [goodbye] = said
    mask = goodbye[2:6]
    assert goodbye[0] == 0x80 | CLOSE
    assert bytes(a ^ b for a, b in zip(goodbye[6:], mask, strict=False)) == struct.pack("!H", 1000)


def test_a_connection_that_is_dropped_is_reset_and_its_receiver_told() -> None:
    ends: list[str] = []

    def serve(connection: socket.socket) -> None:
        accept(connection)
        try:
            ends.append("goodbye" if connection.recv(100) else "end")
        except ConnectionResetError:
            ends.append("reset")

    with on_stage(serve) as stage:
        connection = connect(stage.url)
        receiving = gevent.spawn(everything, connection)
        gevent.sleep(0)
        connection.drop()
        assert receiving.get(timeout=5)[1].cause == "dropped on purpose"
    assert ends == ["reset"]


# how it does not begin


def refusal(url: str, within_s: float = 10.0) -> Refused:
    with pytest.raises(Refused) as refused:
        connect(url, within_s=within_s)
    return refused.value


def answers(text: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(text)
        until_gone(connection)

    return serve


@pytest.mark.parametrize(
    ("text", "cause", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99999999\r\n\r\n{", "HTTP 401", 401),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "HTTP 200", 200),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n", "HTTP 302", 302),
        (b"\x16\x03\x01\x02\x00garbage", "not a WebSocket's answer", None),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "not a WebSocket's answer", None),
        (
            b"HTTP/1.1 101 \xff\r\nUpgrade: websocket\r\nConnection: Upgrade\xff\r\n\r\n",
            "not a WebSocket's answer",
            None,
        ),
        (
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: c2VjcmV0\r\n\r\n",
            "not a WebSocket's answer",
            None,
        ),
        (b"HTTP/1.1 101 OK\r\n" + b"X: y\r\n" * 10_000, "not a WebSocket's answer", None),
    ],
)
def test_every_refusal_has_a_name(text: bytes, cause: str, status: int | None) -> None:
    with on_stage(answers(text)) as stage:
        found = refusal(stage.url)
    assert (str(found), found.status) == (cause, status)


def test_a_service_that_hangs_up_or_says_nothing_is_named() -> None:
    with on_stage(request_of, silent) as stage:
        assert refusal(stage.url).cause in ("the service hung up", "connection reset")
        assert refusal(stage.url, within_s=0.2).cause == "timed out"


def test_an_answer_that_drips_is_timed_out_as_a_whole() -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        try:
            while True:
                connection.sendall(b"H")
        except OSError:
            return

    def drip(connection: socket.socket) -> None:
        request_of(connection)
        connection.settimeout(0.02)
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
            try:
                connection.sendall(bytes([byte]))
                connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                return
            return

    with on_stage(drip) as stage:
        assert refusal(stage.url, within_s=0.3).cause == "timed out"
    with on_stage(serve) as stage:
        assert refusal(stage.url, within_s=5).cause == "not a WebSocket's answer"


def test_a_limit_of_the_caller_is_not_taken_for_the_services() -> None:
    with on_stage(silent) as stage, pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
        connect(stage.url)


def test_nobody_listening_and_no_such_host_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert refusal(f"ws://127.0.0.1:{port}/ws").cause == "connection refused"
    assert refusal("ws://no-such-host.invalid/ws").cause in ("name not resolved", "timed out")
    assert refusal("ws://127.0.0.1:notaport/ws").cause == "not a WebSocket's answer"


def test_credentials_travel_in_a_header_and_the_query_in_the_target() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(accept(connection))
        until_gone(connection)

    with on_stage(serve) as stage:
        connect(f"{stage.url}?after=3", {"Authorization": "Bearer t"}).close()
    [request] = requests
    assert request.startswith(b"GET /ws?after=3 HTTP/1.1\r\n")
    assert b"\r\nauthorization: bearer t\r\n" in request.lower()
    assert f"\r\nhost: 127.0.0.1:{stage.port}\r\n".encode() in request.lower()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself."""
    return self_signed(tmp_path)


def secure(stage: Stage, host: str = "localhost") -> str:
    return f"wss://{host}:{stage.port}/ws"


def test_messages_come_over_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = websocket._context.__wrapped__(verified=True)
    trusting.load_verify_locations(certificate)
    monkeypatch.setattr(websocket, "_context", lambda _: trusting)
    script = over_tls(certificate, served(frame(b"secret"), close_frame(1000)))
    with on_stage(script, script) as stage:
        assert everything(connect(secure(stage)))[0] == ["secret"]
        assert refusal(secure(stage, "127.0.0.1")).cause == "certificate not valid"


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with on_stage(over_tls(certificate, served())) as stage:
        assert refusal(secure(stage)).cause == "certificate not valid"


def test_a_certificate_is_taken_as_it_is_where_the_person_says_so(certificate: Path) -> None:
    with on_stage(over_tls(certificate, served(frame(b"secret"), close_frame(1000)))) as stage:
        assert everything(connect(secure(stage, "127.0.0.1"), verified=False))[0] == ["secret"]


def test_a_server_without_tls_is_named() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        until_gone(connection)

    with on_stage(serve) as stage:
        assert refusal(secure(stage)).cause == "TLS failed"
