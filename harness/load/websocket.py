"""A WebSocket client on a gevent socket: one connection, and a name for each way in which it can end.

The protocol is wsproto's (https://python-hyper.org/projects/wsproto/); of what was measured it takes the
least memory for a connection and the least CPU for a message (`tests/benchmarks/websocket.py`). Extensions
are not offered: a window for compression would cost more than everything else of a connection.
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket as gevent_socket
from gevent import ssl as gevent_ssl
from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError

__all__ = [
    "LONGEST_MESSAGE",
    "Refused",
    "WebSocket",
    "WebSocketEnded",
    "connect",
]

CONNECT_WITHIN_S = 10.0
"""For everything from the name's look-up to the service's answer."""

SILENCE_S = 10.0
"""After so long without a frame the peer is asked for a sign of life; after twice that it is given up."""

LONGEST_MESSAGE = 1024 * 1024
"""Characters or bytes; a longer one ends the connection before memory does."""

_AT_ONCE = 65536
_OF_A_PART = 64
_READS_IN_A_ROW = 16
_LINGER_NOT = struct.pack("ii", 1, 0)
_STILL_OPEN = (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING)


class WebSocketEnded(Exception):  # noqa: N818 - most ends are no fault
    """The connection is over. `cause` says why, in words without ids; `code` is the peer's, None without."""

    def __init__(self, cause: str, code: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code


class Refused(Exception):  # noqa: N818 - as above
    """No connection came about. `status` is that of the service's HTTP answer, None where there was none."""

    def __init__(self, cause: str, status: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status


class WebSocket:
    """An open connection. One greenlet receives; any other may close or drop it."""

    def __init__(self, connected: Any, protocol: Connection, silence_s: float) -> None:
        self._socket = connected
        self._socket.settimeout(silence_s)
        self._protocol = protocol
        self._events: Iterator[Event] = protocol.events()
        self._parts: list[str | bytes | bytearray] = []
        self._length = 0
        self._reads = 0
        self._asked = False
        self._dropped = False

    def receive(self) -> str | bytes:
        """The next whole message; raises WebSocketEnded when there is none any more.

        Pings are answered meanwhile. A peer that sends nothing is asked for a sign of life, and given up.
        """
        while True:
            for event in self._events:
                message = self._take(event)
                if message is not None:
                    return message
            self._events = self._read()

    def say(self, text: str) -> None:
        """Send a message; raises WebSocketEnded when the connection is over."""
        self._send(TextMessage(data=text))

    def _send(self, event: Event) -> None:
        try:
            self._socket.sendall(self._protocol.send(event))
        except (OSError, ProtocolError) as error:
            raise self._ended(error) from error

    def close(self, code: int = CloseReason.GOING_AWAY) -> None:
        """Say goodbye, if the peer still listens, and close; the peer's own goodbye is not waited for."""
        with closing(self._socket), suppress(OSError, ProtocolError):  # it may be over already
            if not self._dropped and self._protocol.state in _STILL_OPEN:
                self._socket.settimeout(0)
                self._socket.send(self._protocol.send(CloseConnection(code=code)))

    def drop(self) -> None:
        """Cut the connection off, as a cable that is pulled: the peer gets a reset and no goodbye.

        Whoever receives on it is told so: WebSocketEnded, "dropped on purpose".
        """
        self._dropped = True
        with suppress(OSError):  # it may have just ended by itself
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._socket.shutdown(socket.SHUT_RD)

    def _read(self) -> Iterator[Event]:
        if self._dropped:  # what the peer had sent before can still be read
            raise self._ended(None)
        self._reads += 1
        if self._reads % _READS_IN_A_ROW == 0:  # one that always has something to say must not keep the hub
            gevent.sleep(0)
        try:
            data = self._socket.recv(_AT_ONCE)
        except TimeoutError:
            if self._asked:
                raise WebSocketEnded("no sign of life") from None
            self._asked = True
            self._send(Ping())
            return iter(())
        except OSError as error:
            raise self._ended(error) from error
        if not data:
            raise self._ended(None)
        self._asked = False
        self._protocol.receive_data(data)
        return self._protocol.events()

    def _take(self, event: Event) -> str | bytes | None:
        """A message that is whole with this event."""
        if isinstance(event, TextMessage | BytesMessage):
            return self._gather(event)
        if isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            raise self._closed(event)
        return None

    def _gather(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        self._length += len(event.data) + _OF_A_PART  # it may be empty, and there may be any number of them
        if self._length > LONGEST_MESSAGE:
            raise WebSocketEnded("a message longer than 1 MiB")
        self._parts.append(event.data)
        if not event.message_finished:
            return None
        parts, self._parts, self._length = self._parts, [], 0
        if isinstance(event, TextMessage):
            return "".join(map(str, parts))
        return b"".join(part for part in parts if not isinstance(part, str))

    def _closed(self, event: CloseConnection) -> WebSocketEnded:
        """The peer's close, or, while the protocol is still open, wsproto's word that it could not go on."""
        if self._protocol.state is ConnectionState.OPEN:
            if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
                return WebSocketEnded("invalid UTF-8")
            return WebSocketEnded("broken protocol")
        code = int(event.code)
        if code == CloseReason.NO_STATUS_RCVD:
            return WebSocketEnded("closed without a code", code)
        return WebSocketEnded(f"closed with {code}", code)

    def _ended(self, error: Exception | None) -> WebSocketEnded:
        if self._dropped:
            return WebSocketEnded("dropped on purpose")
        if isinstance(error, TimeoutError):
            return WebSocketEnded("the peer reads nothing")
        return WebSocketEnded("connection reset" if _is_reset(error) else "connection lost")


def connect(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    subprotocol: str | None = None,
    within_s: float = CONNECT_WITHIN_S,
    silence_s: float = SILENCE_S,
    verified: bool = True,
) -> WebSocket:
    """Open a WebSocket at a `ws:` or `wss:` URL; raises Refused.

    Credentials belong into `headers`: servers and proxies write query strings into their logs. `verified`
    says whether a server's certificate must be good, and of that name.
    """
    connected: Any = None
    limit = gevent.Timeout.start_new(within_s)
    try:
        parts = urlsplit(url)
        context = _context(verified) if parts.scheme == "wss" else None
        connected = _connected(context, parts.hostname or "", parts.port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request(
            host=parts.netloc.rpartition("@")[2],
            target=target,
            subprotocols=[subprotocol] if subprotocol else [],
            extra_headers=[(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        )
        protocol = _shake_hands(connected, request)
        return WebSocket(connected, protocol, silence_s)
    except BaseException as error:
        if connected is not None:
            connected.close()
        if error is limit or isinstance(error, Exception):
            raise _refused(error) from error
        raise
    finally:
        limit.close()


def _connected(context: Any, host: str, port: int | None) -> Any:
    plain = gevent_socket.create_connection((host, port or (80 if context is None else 443)))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return plain
    wrapped = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped


@cache
def _context(verified: bool) -> Any:
    """One for the process: each would hold all certificates of the machine."""
    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verified:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _shake_hands(connected: Any, request: Request) -> Connection:
    """Ask for the upgrade; the handshake's own state is dropped with the answer."""
    handshake = H11Handshake(ConnectionType.CLIENT)
    connected.sendall(handshake.send(request))
    while True:
        data = connected.recv(_AT_ONCE)
        if not data:
            raise Refused("the service hung up")
        handshake.receive_data(data)
        for event in handshake.events():
            if isinstance(event, AcceptConnection) and handshake.connection is not None:
                return handshake.connection
            if isinstance(event, RejectConnection):
                raise Refused(f"HTTP {event.status_code}", event.status_code)


def _refused(error: BaseException) -> Refused:
    """What kept a connection from being made, by a name; nothing of the peer's answer is in it."""
    if isinstance(error, Refused):
        return error
    for kinds, cause in _CAUSES:
        if isinstance(error, kinds):
            return Refused(cause)
    number = getattr(error, "errno", None)
    return Refused(errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__)


_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((gevent.Timeout, TimeoutError), "timed out"),
    ((ConnectionRefusedError,), "connection refused"),
    ((ConnectionResetError, BrokenPipeError), "connection reset"),
    ((ssl.SSLCertVerificationError,), "certificate not valid"),
    ((ssl.SSLError,), "TLS failed"),
    ((socket.gaierror,), "name not resolved"),
    ((ProtocolError, ValueError), "not a WebSocket's answer"),
)


def _is_reset(error: BaseException | None) -> bool:
    return isinstance(error, ConnectionResetError | BrokenPipeError)
