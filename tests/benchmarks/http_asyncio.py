"""aiohttp on uvloop, a peer of the HTTP benchmark: `python -m tests.benchmarks.http_asyncio BASE BEARER`.

In a process of its own, as gevent and asyncio share none. Each line `GET|POST USERS REQUESTS` that it reads
is a round, to which it answers with the CPU microseconds that a request took.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import uvloop

from tests.benchmarks.small_server import DOCUMENT

BEARER = {"Authorization": sys.argv[2]}


async def get(session: aiohttp.ClientSession) -> None:
    """One read."""
    async with session.get("/documents/7") as response:
        await response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}")


async def post(session: aiohttp.ClientSession) -> None:
    """One write, its answer parsed."""
    async with session.post("/documents", json=DOCUMENT, headers=BEARER) as response:
        if (await response.json())["version"] != DOCUMENT["version"]:
            raise RuntimeError("another document")


async def serve(base: str) -> None:
    """Make the rounds that standard input asks for."""
    sessions: list[aiohttp.ClientSession] = []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        kind, users, requests = line.split()
        while len(sessions) < int(users):
            sessions.append(aiohttp.ClientSession(base))
        begun = time.process_time()

        async def user(session: aiohttp.ClientSession) -> None:
            for _ in range(int(requests)):  # noqa: B023 - it is over before the next line is read
                await (get if kind == "GET" else post)(session)  # noqa: B023

        await asyncio.gather(*(user(session) for session in sessions))
        spent = time.process_time() - begun
        print(spent / (len(sessions) * int(requests)) * 1e6, flush=True)  # noqa: T201
    for session in sessions:
        await session.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
