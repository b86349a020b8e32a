"""What a WebSocket costs its client: `python -m tests.benchmarks.websocket`.

The clients take turns, each in a process of its own, against one server that writes ready-made frames to raw
sockets. Each opens all its connections under gevent, a greenlet each, and is measured twice: memory when all
are open and silent, CPU while every connection gets messages. The harness's own client must be within
LIMIT_KIB for a connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, cast

from tests.benchmarks.table import Bounds, Row, program, rows_of

LIMIT_KIB = 16.0
PER_SECOND = 2_000
AT_ONCE = 50
MESSAGE = json.dumps({"type": "change", "seq": 1, "text": "x" * 160}).encode()

_FRAME = b"\x81\x7e" + len(MESSAGE).to_bytes(2, "big") + MESSAGE
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    connections: int = 2_000
    seconds: float = 3.0
    rounds: int = 3


# the server


async def _serve() -> None:
    """Accept WebSockets, and push messages between the commands `go` and `stop`, which come by stdin."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [key] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
        token = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + _GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(answer + b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n")
        writers.append(writer)
        with suppress(ConnectionError):  # a client that is killed
            await reader.read()
        writers.remove(writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    pushing: asyncio.Task[None] | None = None
    while command := await commands.readline():
        if command == b"go\n":
            pushing = asyncio.create_task(_push(writers))
        elif pushing is not None:
            pushing.cancel()


async def _push(writers: list[asyncio.StreamWriter]) -> None:
    """PER_SECOND messages over all connections, one after the other."""
    began, sent = time.monotonic(), 0
    while writers:
        due = int((time.monotonic() - began) * PER_SECOND)
        for number in range(sent, due):
            writers[number % len(writers)].write(_FRAME)
        sent = due
        await asyncio.sleep(0.01)


# the clients


def _ours(port: int) -> Callable[[], object]:
    from harness.load.websocket import connect

    return connect(f"ws://127.0.0.1:{port}/ws", {"Authorization": "Bearer t"}).receive


def _websocket_client(port: int) -> Callable[[], object]:
    from websocket import create_connection

    connection = create_connection(
        f"ws://127.0.0.1:{port}/ws", timeout=30, header=["Authorization: Bearer t"]
    )
    receive: Callable[[], object] = connection.recv
    return receive


def _websockets_sync(port: int) -> Callable[[], object]:
    from websockets.sync.client import connect

    connection = connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers={"Authorization": "Bearer t"}, compression=None
    )
    return connection.recv


def _subscription(port: int) -> Callable[[], object]:
    """Ours with a subscription, which reads each message; its login and its dice are the user's own."""
    from harness.core.stream import Stream
    from harness.load.subscription import Subscription
    from harness.load.websocket import connect

    subscription = Subscription(f"http://127.0.0.1:{port}", Stream("/ws"), *_of_the_user())
    connection = connect(f"ws://127.0.0.1:{port}/ws", {"Authorization": "Bearer t"})
    return lambda: subscription._take(connection.receive())


@cache
def _of_the_user() -> tuple[Any, Random]:
    from harness.core.accounts import Account
    from harness.load.auth import Login, NoAuth

    return Login(NoAuth(), Account("ada"), cast(Any, None)), Random(1)


CLIENTS: dict[str, Callable[[int], Callable[[], object]]] = {
    "ours": _ours,
    "websocket-client": _websocket_client,
    "websockets.sync": _websockets_sync,
    "ours with a subscription": _subscription,
}
OURS = ("ours", "ours with a subscription")
PEER = "websocket-client"


def _measure(client: str, port: int, connections: int, seconds: float) -> None:
    """Open the connections, report memory, then count messages and CPU for so many seconds."""
    import gevent
    import psutil
    from gevent.pool import Pool

    connect = CLIENTS[client]
    process = psutil.Process()
    count = 0

    def receive(of: Callable[[], object]) -> None:
        nonlocal count
        while True:
            of()
            count += 1

    first = connect(port)  # what is loaded only once is no cost of a connection
    gevent.spawn(receive, first)
    gevent.sleep(0.2)
    before, began = process.memory_info().rss, time.process_time()
    pool = Pool(AT_ONCE)
    greenlets = [gevent.spawn(receive, of) for of in pool.imap_unordered(connect, [port] * (connections - 1))]
    took = time.process_time() - began
    gevent.sleep(0.5)
    memory = (process.memory_info().rss - before) / 1024 / len(greenlets)
    print("open", flush=True)  # noqa: T201
    gevent.sleep(min(1.0, seconds))
    count, began = 0, time.process_time()
    gevent.sleep(seconds)
    spent = time.process_time() - began
    found = {
        "KiB/connection": memory,
        "connections/CPU-s": (connections - 1) / took,
        "messages/CPU-s": count / spent,
    }
    print(json.dumps(found), flush=True)  # noqa: T201


def _turn(client: str, server: subprocess.Popen[str], port: int, size: Size) -> dict[str, float]:
    assert server.stdin is not None
    words = ["client", client, str(port), str(size.connections), str(size.seconds)]
    command = [sys.executable, "-c", _UNDER_GEVENT, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n", f"{client} could not open its connections"
        server.stdin.write("go\n")
        server.stdin.flush()
        found: dict[str, float] = json.loads(process.stdout.readline())
        server.stdin.write("stop\n")
        server.stdin.flush()
        process.kill()
    return found


_UNDER_GEVENT = (
    "from gevent import monkey; monkey.patch_all()\n"
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))\n"
    "import sys; from tests.benchmarks.websocket import role; role(sys.argv[1:])"
)


def rows(quick: bool) -> list[Row]:
    """Memory, and what a CPU-second opens and receives, of every client."""
    size = Size(20, 0.3, 1) if quick else Size()
    found: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
    command = [sys.executable, "-m", "tests.benchmarks.websocket", "server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        for client in list(CLIENTS) * size.rounds:
            found[client].append(_turn(client, server, port, size))
        server.kill()
    work = f"{size.connections:,} connections"
    bounds: dict[tuple[str, str], Bounds] = {(client, "KiB/connection"): (None, LIMIT_KIB) for client in OURS}
    return rows_of(work, found, ("KiB/connection", "connections/CPU-s", "messages/CPU-s"), PEER, bounds)


def role(words: list[str]) -> None:
    """What a child of this benchmark is: the server, or a client."""
    if words[0] == "server":
        asyncio.run(_serve())
    else:
        _measure(words[1], int(words[2]), int(words[3]), float(words[4]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        role(sys.argv[1:])
    else:
        raise SystemExit(program(rows))
