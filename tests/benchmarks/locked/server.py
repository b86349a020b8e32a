"""A service of one query: `python -m tests.benchmarks.locked.server`, with DATABASE_URL.

Twenty connections to the database read one row of `items` for each request; requests that find none free wait
in line, as long as it takes. Prints its port. For each line of its input it prints, as JSON, when it answered
since the line before, in seconds of CLOCK_MONOTONIC; it ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import asyncpg

POOL = 20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection; a request must fit into one segment, and the next comes after its answer."""

    pool: Any
    answered: list[float]
    working: set[asyncio.Task[None]]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer())
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    async def _answer(self) -> None:
        value = await self.pool.fetchval("SELECT v FROM items WHERE id = 1")
        self.answered.append(time.monotonic())
        self.transport.write(_HEAD + b"%d" % value)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    Server.working, Server.answered = set(), []
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as pool:
        Server.pool = pool
        server = await loop.create_server(Server, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
        while await loop.run_in_executor(None, sys.stdin.readline):
            said, Server.answered = Server.answered, []
            print(json.dumps(said), flush=True)  # noqa: T201
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
