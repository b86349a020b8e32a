"""The smallest server that clients can be compared on: `python -m tests.benchmarks.small_server`.

Answers every segment it receives with a JSON document of ACCOUNT's. Prints its port, and ends with its input.

It asks for work without a pause, and so takes a whole core: a server that sleeps has to be woken by whoever
sends, which on a virtual machine with a core at rest costs the client as much as the rest of its send.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys

from harness.core.canary import make_text

ACCOUNT = "account-0001"
DOCUMENT = {
    "id": "0b0f",
    "title": make_text(ACCOUNT, "8f3a", 3),
    "body": "some words of a document",
    "version": 3,
}
_BODY = json.dumps(DOCUMENT).encode()
WIRE = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nServer: small\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
"""The answer."""

_CHUNK = 65_536


def serve(listening: socket.socket, ending: int) -> None:
    """Answer, until there is something to read from the descriptor `ending`. A request is one segment."""
    door = listening.fileno()
    wires: dict[int, socket.socket] = {}
    with select.epoll() as ready:
        ready.register(door, select.EPOLLIN)
        ready.register(ending, select.EPOLLIN)
        while True:
            for descriptor, _ in ready.poll(0):
                if descriptor == ending:
                    return
                if descriptor == door:
                    wire, _ = listening.accept()
                    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    wires[wire.fileno()] = wire
                    ready.register(wire, select.EPOLLIN)
                elif _is_asked(descriptor):
                    os.write(descriptor, WIRE)
                else:
                    wires.pop(descriptor).close()


def _is_asked(descriptor: int) -> bool:
    """Whether a request has come, rather than the end of its connection."""
    try:
        return bool(os.read(descriptor, _CHUNK))
    except ConnectionResetError:
        return False


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201
        serve(listening, sys.stdin.fileno())
