"""The smallest server that clients can be compared on: `python -m tests.benchmarks.small_server`.

Answers every segment it receives with a JSON document of ACCOUNT's. Prints its port, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from harness.core.canary import make_text

ACCOUNT = "account-0001"
DOCUMENT = {
    "id": "0b0f",
    "title": make_text(ACCOUNT, "8f3a", 3),
    "body": "some words of a document",
    "version": 3,
}
_BODY = json.dumps(DOCUMENT).encode()
_WIRE = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nServer: small\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class Small(asyncio.Protocol):
    """One connection; a request must fit into one segment."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(_WIRE)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Small, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
