"""What bytes go over: a socket that waits on gevent's hub, plain or with TLS, and the deadlines of its waits.

A plain one waits without a timer of its own: starting and stopping one for each wait costs half as much as
the wait. One greenlet watches over the deadlines of all waits instead.
"""

from __future__ import annotations

import ssl
from typing import Any, Protocol

import gevent
from gevent.monkey import get_original

from harness.clock import monotonic
from harness.load.http_answer import ClosedError

__all__ = ["PlainWire", "TlsWire", "Wire", "left"]

_CHUNK = 65_536
_READ, _WRITE = 1, 2
_LOOK_EVERY_S = 0.05

_socket: Any = get_original("socket", "socket")


class Wire(Protocol):
    """A connected socket. `deadline` is an instant; TimeoutError is raised when it passes, but not before."""

    def fileno(self) -> int: ...

    def send(self, data: Any, deadline: float) -> int:
        """Send as much of `data` as can be; returns how many bytes, 0 after a wait. Raises OSError."""

    def receive(self, deadline: float) -> bytes:
        """What has come, after a wait for it; empty at the end. Raises OSError."""

    def close(self) -> None: ...


class PlainWire:
    """A socket of the system's, made from gevent's. Nobody else may wait on it."""

    def __init__(self, connected: Any) -> None:
        self._wire = _socket(fileno=connected.detach())
        self._wire.setblocking(False)
        self._hub = gevent.get_hub()
        self._readable = self._hub.loop.io(self._wire.fileno(), _READ)

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._wire.fileno())

    def send(self, data: Any, deadline: float) -> int:
        """As `Wire` says."""
        try:
            return self._wire.send(data)  # type: ignore[no-any-return]
        except BlockingIOError:
            writable = self._hub.loop.io(self._wire.fileno(), _WRITE)
            try:
                self._wait(writable, deadline)
            finally:
                writable.close()
            return 0

    def receive(self, deadline: float) -> bytes:
        """As `Wire` says. It waits first: an answer is hardly ever there when its request has just left."""
        while True:
            self._wait(self._readable, deadline)
            try:
                return self._wire.recv(_CHUNK)  # type: ignore[no-any-return]
            except BlockingIOError:
                continue  # woken for nothing

    def close(self) -> None:
        """Close it; nothing happens when it is closed already."""
        self._readable.close()
        self._wire.close()

    def _wait(self, watcher: Any, deadline: float) -> None:
        if deadline <= monotonic():
            raise TimeoutError("timed out")
        _watch.waits[watcher] = deadline
        if not _watch.goes_on:
            _watch.start()
        try:
            self._hub.wait(watcher)
        finally:
            del _watch.waits[watcher]


class TlsWire:
    """gevent's own socket with TLS."""

    def __init__(self, wrapped: Any) -> None:
        self._wire = wrapped

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._wire.fileno())

    def send(self, data: Any, deadline: float) -> int:
        """As `Wire` says."""
        self._wire.settimeout(left(deadline))
        return int(self._wire.send(data))

    def receive(self, deadline: float) -> bytes:
        """As `Wire` says. An end without TLS's own close is a ClosedError: something may be cut off."""
        self._wire.settimeout(left(deadline))
        try:
            return bytes(self._wire.recv(_CHUNK))
        except ssl.SSLEOFError as error:
            raise ClosedError("the connection was cut off") from error

    def close(self) -> None:
        """Close it; nothing happens when it is closed already."""
        self._wire.close()


def left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when it has passed."""
    seconds = deadline - monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


class _Watch:
    """Ends the waits whose deadline passes; goes on for as long as there are waits."""

    def __init__(self) -> None:
        self.waits: dict[Any, float] = {}
        """The deadlines of what is waited for, by watchers."""
        self.goes_on = False

    def start(self) -> None:
        """Watch, in a greenlet of its own."""
        self.goes_on = True
        gevent.spawn(self._run)

    def _run(self) -> None:
        hub = gevent.get_hub()
        try:
            while self.waits:
                gevent.sleep(_LOOK_EVERY_S)
                now = monotonic()
                for watcher, deadline in list(self.waits.items()):
                    if deadline <= now:
                        hub.cancel_wait(watcher, TimeoutError("timed out"))
        finally:
            self.goes_on = False


_watch = _Watch()
