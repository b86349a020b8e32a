"""HTTP from the controller to the service under test itself, never by a proxy or a redirect."""

from __future__ import annotations

import socket
import threading
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any

__all__ = ["open_url"]


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; following it could lead to a host that no guard has seen."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Timed(HTTPConnection):
    """A connection that ends when its time is over: a socket's own timeout begins anew with every byte."""

    def connect(self) -> None:
        super().connect()
        ending = threading.Timer(self.timeout or 0.0, _end, [self.sock])
        ending.daemon = True
        ending.start()


class _TimedTls(_Timed, HTTPSConnection):
    """The same by TLS."""


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Timed, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_TimedTls, request)


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay, _Http, _Https)


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """The answer, whose head and body may take `timeout_s` together once there is a connection.

    Raises HTTPError for a status from 300 on, OSError or HTTPException without an answer.
    """
    response: HTTPResponse = _opener.open(request, timeout=timeout_s)
    return response
