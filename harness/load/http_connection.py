"""A connection to a service: one request at a time, sent once, answered before its deadline or closed.

Whatever ends an exchange early (an error, a deadline, the user's own end) closes the connection, so that no
answer is ever taken for that of another request.
"""

from __future__ import annotations

import select
import ssl
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

import gevent
from gevent import socket
from gevent.monkey import get_original
from gevent.ssl import SSLContext

from harness.load.http_answer import Answer, BrokenAnswerError
from harness.load.http_wire import PlainWire, TlsWire, Wire, left

__all__ = ["PORTS", "Connection", "NotSentError", "Origin", "connect"]

# The probe never waits, so the system's own poll does: gevent's starts a watcher, 20 µs instead of 1. And it
# is poll, as select takes no descriptor above 1023.
_poll = get_original("select", "poll")


class NotSentError(OSError):
    """Nothing of the request has left: the service never saw it. `__cause__` says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a connection is to: what `https://name:port` says."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As the field `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


PORTS = {"http": 80, "https": 443}


class Connection:
    """An open socket, and what comes in answer to the request that is on it."""

    def __init__(self, wire: Wire, most_bytes: int) -> None:
        self._wire = wire
        self._answer = Answer(most_bytes)
        self._waiting = _poll()
        self._waiting.register(wire.fileno(), select.POLLIN)

    def is_idle(self) -> bool:
        """Whether it has nothing to read: the service has closed one that has, or talks unasked."""
        return not self._waiting.poll(0)

    def exchange(self, request: bytes, deadline: float, *, head_only: bool = False) -> Answer:
        """Send a request and wait for its answer, which holds until the next exchange.

        What ends the answer early is its `error`: TimeoutError, ClosedError, BrokenAnswerError or another
        OSError. Raises NotSentError when nothing of the request has left.
        """
        answer = self._answer
        answer.begin(head_only=head_only)
        try:
            self._send(request, deadline)
            while not answer.complete:
                if data := self._wire.receive(deadline):
                    answer.feed(data)
                else:
                    answer.end()
        except NotSentError:
            self.close()
            raise
        except (OSError, BrokenAnswerError) as error:
            answer.error = error
            answer.keeps = False
        except BaseException:  # the end of the user, or a deadline of its own
            self.close()
            raise
        if not answer.keeps:
            self.close()
        return answer

    def close(self) -> None:
        """Close it; nothing happens when it is closed already."""
        self._wire.close()

    def _send(self, request: bytes, deadline: float) -> None:
        """Raises NotSentError as long as nothing of the request has left."""
        try:
            sent = self._wire.send(request, deadline)
        except OSError as error:
            if isinstance(self._wire, TlsWire):
                raise  # a record may have left in part
            raise NotSentError("nothing could be sent") from error
        if sent == len(request):
            return
        rest = memoryview(request)[sent:]
        while rest:
            try:
                rest = rest[self._wire.send(rest, deadline) :]
            except (BrokenPipeError, ConnectionResetError):
                return  # a service may answer before it has read everything, and hang up


def connect(origin: Origin, deadline: float, most_bytes: int, *, verified: bool = True) -> Connection:
    """Open a connection, over TLS where the origin says `https`. Raises NotSentError.

    `verified` says whether the certificate must be good, and of that name.
    """
    try:
        with gevent.Timeout(left(deadline), TimeoutError("timed out")):
            wire = _first_that_answers(origin)
            try:
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if origin.scheme == "https":
                    return Connection(_over_tls(wire, origin.host, verified), most_bytes)
                return Connection(PlainWire(wire), most_bytes)
            except BaseException:
                wire.close()
                raise
    except OSError as error:
        raise NotSentError(f"no connection to {origin.authority}") from error


def _first_that_answers(origin: Origin) -> Any:
    """A socket that is connected to the first of the host's addresses that takes it."""
    refused: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
    for family, address in _addresses(origin):
        wire = socket.socket(family, socket.SOCK_STREAM)
        try:
            wire.connect(address)
        except OSError as error:
            wire.close()
            refused = error
        except BaseException:
            wire.close()
            raise
        else:
            return wire
    raise refused


def _addresses(origin: Origin) -> list[tuple[int, Any]]:
    """A name is looked up for each connection, as it may have moved; an address is none to look up."""
    try:
        version = ip_address(origin.host).version
    except ValueError:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    return [(socket.AF_INET6 if version == 6 else socket.AF_INET, (origin.host, origin.port))]


def _over_tls(wire: Any, host: str, verified: bool) -> TlsWire:
    context = _context(verified)
    return TlsWire(context.wrap_socket(wire, server_hostname=host, suppress_ragged_eofs=False))


@cache
def _context(verified: bool) -> SSLContext:
    """One for all connections of the process: reading the authorities takes long and a megabyte.

    Made by hand: `create_default_context` makes one that blocks where the standard library is not patched.
    """
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verified:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
