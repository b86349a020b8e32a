"""The HTTP client of tests against bare sockets; what it opened is closed again."""

import socket
import struct
from collections.abc import Iterator

import pytest

from harness.load.http import HttpClient
from harness.load.http_response import Response
from tests.fix_wire import Handle, server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Client(HttpClient):
    """One that is quick to give up, and counts what it opens anew."""

    def __init__(self, base: str, deadline_s: float = 20.0, **options: object) -> None:
        self.reopenings = 0
        super().__init__(base, deadline_s=deadline_s, reopened=self._count, **options)  # type: ignore[arg-type]
        _clients.append(self)

    def _count(self) -> None:
        self.reopenings += 1


_clients: list[Client] = []


@pytest.fixture
def closed_clients() -> Iterator[None]:
    """Close the clients of a test when it ends."""
    yield
    while _clients:
        _clients.pop().close()


def asked(handle: Handle, method: str = "GET", **options: object) -> tuple[Response, list[int]]:
    """What one request to a service came to, and the service's connections."""
    with server(handle) as (base, connections):
        response = Client(base).send(method, "/", **options)  # type: ignore[arg-type]
    return response, connections


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
