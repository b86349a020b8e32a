"""A service of bare sockets: it takes connections and does with each what a test says, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Handle = Callable[[socket.socket], object]
"""What is done with a connection, in a thread of its own; it is closed afterwards."""


@contextmanager
def server(handle: Handle, host: str = "127.0.0.1") -> Iterator[tuple[str, list[int]]]:
    """Serves each connection with `handle`; yields its base URL, and a list of the connections so far.

    When it ends, what is still read from or written to a connection ends as well.
    """
    connections: list[int] = []
    open_: list[socket.socket] = []
    threads: list[threading.Thread] = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                handle(connection)

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return  # closed
                connections.append(address[1])
                open_.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        name = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{name}:{listener.getsockname()[1]}", connections
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(timeout=10)
            for connection in open_:
                with suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(timeout=10)
    assert not accepting.is_alive()
    assert not any(thread.is_alive() for thread in threads)


def request_of(connection: socket.socket) -> bytes:
    """The next request on a connection, its body with it; empty when the client has closed it instead."""
    came = b""
    while b"\r\n\r\n" not in came:
        more = connection.recv(65536)
        if not more:
            return b""
        came += more
    head, _, body = came.partition(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(*answers: bytes) -> Handle:
    """Answer each request on a connection with the next of these, then close it."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            if not request_of(connection):
                return
            connection.sendall(answer)

    return handle


def answers(body: bytes, *headers: str) -> Handle:
    """Answer one request by 200 with `body`."""
    head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""))
    return says(head.encode() + body)


def goes_on(head: bytes, piece: bytes, every_s: float = 0.0, sent: list[int] | None = None) -> Handle:
    """Answer one request with `head`, then with `piece` again and again, as long as the client listens.

    The length of each piece that went out is added to `sent`.
    """

    def handle(connection: socket.socket) -> None:
        closed = threading.Event()
        with suppress(OSError):
            request_of(connection)
            connection.sendall(head)
            while not closed.wait(every_s):
                connection.sendall(piece)
                if sent is not None:
                    sent.append(len(piece))

    return handle
