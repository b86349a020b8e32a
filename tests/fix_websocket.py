"""A WebSocket server of raw sockets, which does to each connection what a test tells it, however odd."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "TEXT",
    "Serve",
    "Stage",
    "accept",
    "close_frame",
    "frame",
    "header",
    "on_stage",
    "request_of",
    "unmasked",
    "until_gone",
]

TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Serve = Callable[[socket.socket], object]


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, claims: int | None = None) -> bytes:
    """A frame as a server sends it; `claims` is the length in its head, the payload's unless given."""
    length = len(payload) if claims is None else claims
    head = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        return head + bytes([length]) + payload
    if length < 65536:
        return head + b"\x7e" + struct.pack("!H", length) + payload
    return head + b"\x7f" + struct.pack("!Q", length) + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """A close with a code, which need not be a valid one."""
    return frame(struct.pack("!H", code) + reason, CLOSE)


def request_of(connection: socket.socket) -> bytes:
    """The head of the request, read to its end."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            return head
        head += data
    return head


def header(request: bytes, name: bytes) -> bytes:
    """A header's value, empty without one."""
    for line in request.split(b"\r\n")[1:]:
        if line.lower().startswith(name + b":"):
            return line.partition(b":")[2].strip()
    return b""


def accept(connection: socket.socket, *more: bytes, protocol: bytes = b"") -> bytes:
    """Make a WebSocket of the connection, then send `more`; returns the request."""
    request = request_of(connection)
    token = base64.b64encode(hashlib.sha1(header(request, b"sec-websocket-key") + _GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    if protocol:
        answer += b"Sec-WebSocket-Protocol: " + protocol + b"\r\n"
    connection.sendall(answer + b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n" + b"".join(more))
    return request


def unmasked(connection: socket.socket) -> bytes:
    """The payload of one short frame of the client's."""
    data = connection.recv(65536)
    mask, payload = data[2:6], data[6 : 6 + (data[1] & 0x7F)]
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def until_gone(connection: socket.socket) -> bytes:
    """Read all that the client still says."""
    said = b""
    try:
        while data := connection.recv(65536):
            said += data
    except ConnectionResetError:
        pass
    return said


@dataclass
class Stage:
    """Plays one script per connection, in the order in which they come; what one raises fails the test."""

    scripts: list[Serve]
    port: int = 0
    played: int = 0
    failures: list[Exception] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def play(self, listener: socket.socket) -> None:
        playing = []
        for script in self.scripts:
            connection, _ = listener.accept()
            connection.settimeout(20)
            self.played += 1
            playing.append(threading.Thread(target=self._play, args=(script, connection), daemon=True))
            playing[-1].start()
        for thread in playing:
            thread.join()

    def _play(self, script: Serve, connection: socket.socket) -> None:
        with connection:
            try:
                script(connection)
            except (OSError, AssertionError, ValueError) as error:
                self.failures.append(error)


@contextmanager
def on_stage(*scripts: Serve) -> Iterator[Stage]:
    """A server that plays the scripts, all of which must have been played in the end."""
    stage = Stage(list(scripts))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        stage.port = listener.getsockname()[1]
        thread = threading.Thread(target=stage.play, args=(listener,), daemon=True)
        thread.start()
        yield stage
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert stage.failures == []
