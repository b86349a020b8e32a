"""Whatever a peer sends, a WebSocket gives messages and then an end with a name, and a handshake likewise."""

from __future__ import annotations

from collections.abc import Iterable

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection

from harness.load import websocket
from harness.load.websocket import Refused, WebSocket, WebSocketEnded
from tests.fix_websocket import frame

ENDS = {
    "a message longer than 1 MiB",
    "broken protocol",
    "closed without a code",
    "connection lost",
    "invalid UTF-8",
    "no sign of life",
}


class Wire:
    """A socket without a wire: what it receives in turn, then nothing, or what is raised."""

    def __init__(self, chunks: Iterable[bytes | BaseException]) -> None:
        self.chunks = list(chunks)
        self.sent = b""
        self.closed = False

    def recv(self, _size: int) -> bytes:
        chunk = self.chunks.pop(0) if self.chunks else b""
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def sendall(self, data: bytes) -> None:
        self.sent += data

    send = sendall

    def settimeout(self, _seconds: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def everything(*chunks: bytes | BaseException) -> tuple[list[str | bytes], str]:
    """What a connection brings, and how it ends."""
    connection = WebSocket(Wire(chunks), Connection(ConnectionType.CLIENT), 1.0)
    messages: list[str | bytes] = []
    while True:
        try:
            messages.append(connection.receive())
        except WebSocketEnded as end:
            return messages, end.cause


frames = st.builds(
    frame,
    st.binary(max_size=200) | st.text(max_size=60).map(str.encode),
    st.sampled_from(range(16)),
    fin=st.booleans(),
    claims=st.none() | st.integers(0, 2**63 - 1),
)


@given(st.lists(st.binary(min_size=1, max_size=80) | frames, max_size=20))
def test_any_bytes_end_with_a_name(chunks: list[bytes]) -> None:
    _, end = everything(*chunks)
    assert end in ENDS or end.startswith("closed with ")


@given(st.lists(st.text(max_size=300), max_size=8), st.integers(1, 50))
def test_messages_come_whole_however_they_are_cut(texts: list[str], size: int) -> None:
    sent = b"".join(frame(text.encode()) for text in texts)
    cut = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert everything(*cut) == (texts, "connection lost")


@given(st.binary(max_size=600) | st.binary(max_size=200).map(lambda more: b"HTTP/1.1 101 OK\r\n" + more))
def test_any_answer_to_the_handshake_is_refused_with_a_name(answer: bytes) -> None:
    wire = Wire([answer] if answer else [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket, "_connected", lambda *_: wire)
        with pytest.raises(Refused) as refused:
            websocket.connect("ws://127.0.0.1/ws")
    cause = refused.value.cause
    assert cause in ("not a WebSocket's answer", "the service hung up") or cause.startswith("HTTP ")
    assert wire.closed


def test_silence_is_asked_about_once_before_it_is_the_end() -> None:
    assert everything(TimeoutError(), frame(b"here"), TimeoutError(), TimeoutError()) == (
        ["here"],
        "no sign of life",
    )


def test_a_peer_that_talks_without_a_pause_lets_others_have_their_turn() -> None:
    turns: list[int] = []
    other = gevent.spawn(turns.append, 1)
    connection = WebSocket(Wire([frame(b"more")] * 100), Connection(ConnectionType.CLIENT), 1.0)
    for _ in range(20):
        connection.receive()
    assert turns == [1]
    other.join()


def test_a_peer_that_reads_nothing_ends_the_connection() -> None:
    class Full(Wire):
        def sendall(self, _data: bytes) -> None:
            raise TimeoutError

    connection = WebSocket(Full([frame(b"?", 0x9)]), Connection(ConnectionType.CLIENT), 1.0)
    with pytest.raises(WebSocketEnded, match="the peer reads nothing"):
        connection.receive()
