"""A server that answers as the small one does, and pushes over WebSockets.

`python -m tests.benchmarks.pushing_server` prints its port, and ends with its input.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import resource
import sys
import time
from typing import Any

from tests.benchmarks.small_server import WIRE

PER_SECOND = 500
"""Messages, over all WebSockets."""

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Pushing(asyncio.Protocol):
    """One connection, which may become a WebSocket."""

    sockets: list[Pushing]

    def __init__(self) -> None:
        self.sequence = 0
        self.upgraded = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"GET /ws"):
            if not self.upgraded:  # a WebSocket's own frames want no answer
                self.transport.write(WIRE)
            return
        [key] = [line for line in data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
        token = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.transport.write(answer + b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n")
        self.sockets.append(self)
        self.upgraded = True

    def push(self) -> None:
        """The next change."""
        self.sequence += 1
        message = {"type": "change", "seq": self.sequence, "committed_at": time.time(), "id": "0b0f"}
        wire = json.dumps(message).encode()
        self.transport.write(b"\x81" + bytes([len(wire)]) + wire)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upgraded:
            self.sockets.remove(self)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    Pushing.sockets = []
    server = await loop.create_server(Pushing, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    pushing = asyncio.create_task(push())
    await loop.run_in_executor(None, sys.stdin.read)
    pushing.cancel()
    server.close()


async def push() -> None:
    """PER_SECOND messages, over one WebSocket after the other."""
    began, sent, sockets = time.monotonic(), 0, Pushing.sockets
    while True:
        due = int((time.monotonic() - began) * PER_SECOND)
        for number in range(sent, due):
            if sockets:
                sockets[number % len(sockets)].push()
        sent = due
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))
    asyncio.run(main())
