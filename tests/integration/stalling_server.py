"""A server that stalls once, exactly as planned: `python -m … AT S SERVICE_S`.

One queue, first come, first served, each request for exactly `SERVICE_S` seconds of the plan; nobody is
served from `AT` seconds after the first request on for `S` seconds. Prints its port. When its input ends it
prints begin and end of the stall on the monotonic clock, and how late it was at most by its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from harness.clock import monotonic

_WIRE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Queue:
    """When each request is answered by the plan."""

    def __init__(self, stall_at: float, stall_s: float, service_s: float) -> None:
        self.stall: tuple[float, float] | None = None
        self.late_s = 0.0
        self._plan = stall_at, stall_s
        self._service_s = service_s
        self._free = 0.0

    def answer_at(self, now: float) -> float:
        """The instant at which a request is answered that comes now."""
        if self.stall is None:
            self.stall = now + self._plan[0], now + sum(self._plan)
        begin = max(now, self._free)
        if self.stall[0] - self._service_s < begin < self.stall[1]:
            begin = self.stall[1]
        self._free = begin + self._service_s
        return self._free


class Answering(asyncio.Protocol):
    """One connection; a request must fit into one segment."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        at = self._queue.answer_at(now)
        asyncio.get_running_loop().call_later(at - now, self._answer, at)

    def _answer(self, planned: float) -> None:
        self._queue.late_s = max(self._queue.late_s, monotonic() - planned)
        self._transport.write(_WIRE)


async def _tick(queue: Queue) -> None:
    """Notice when this process does not get to run: it then takes a request for later than it came."""
    while True:
        due = monotonic() + 0.002
        await asyncio.sleep(0.002)
        queue.late_s = max(queue.late_s, monotonic() - due)


async def main() -> None:
    """Serve until standard input ends."""
    queue = Queue(*(float(given) for given in sys.argv[1:]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(queue), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    ticking = asyncio.create_task(_tick(queue))
    await loop.run_in_executor(None, sys.stdin.read)
    ticking.cancel()
    print(json.dumps({"stall": queue.stall, "late_s": queue.late_s}), flush=True)  # noqa: T201
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
