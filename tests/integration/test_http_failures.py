"""The HTTP client against services that misbehave, and those that cannot be reached."""

import socket
import threading
from contextlib import ExitStack, suppress

import gevent
import pytest

from harness.clock import monotonic, wait_until
from harness.load.http_answer import BrokenAnswerError, ClosedError
from harness.load.http_connection import NotSentError
from tests.fix_http import OK, Client, asked, reset
from tests.fix_wire import request_of, server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("closed_clients")]


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (b"", ClosedError, 0),
        (b"HTTP/1.1 200 OK\r\nContent-", BrokenAnswerError, 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", BrokenAnswerError, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", BrokenAnswerError, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nXX\r\nab", BrokenAnswerError, 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", BrokenAnswerError, 0),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BrokenAnswerError, 0),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Flood: yes\r\n" * 100_000, BrokenAnswerError, 0),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000_000, BrokenAnswerError, 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, BrokenAnswerError, 0),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            BrokenAnswerError,
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: secret\r\nContent-Length: 3\r\n\r\nabc",
            BrokenAnswerError,
            200,
        ),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", BrokenAnswerError, 0),
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes, error: type[Exception], status: int) -> None:
    def send(connection: socket.socket) -> None:
        request_of(connection)
        try:
            connection.sendall(answer)
        except OSError:
            assert len(answer) > 65536  # the client has had enough

    response, connections = asked(send)
    assert isinstance(response.error, error)
    assert response.status_code == status
    assert len(connections) == 1


def test_endless_body_is_broken_off_at_the_bound() -> None:
    def pour(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionResetError, BrokenPipeError):
            while True:
                connection.sendall(b"x" * 65536)

    with server(pour) as (base, _):
        response = Client(base, most_bytes=1_000_000).send("GET", "/")
    assert isinstance(response.error, BrokenAnswerError)
    assert str(response.error) == "answer longer than 0 MB"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200"])
def test_answer_that_does_not_come_is_a_time_out(begun: bytes) -> None:
    over = threading.Event()

    def hang(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(begun)
        assert over.wait(timeout=10)

    with server(hang) as (base, connections):
        response = Client(base, 0.2).send("GET", "/")
        over.set()
    assert isinstance(response.error, TimeoutError)
    assert len(connections) == 1


def test_deadline_is_for_the_request_as_a_whole() -> None:
    def drip(connection: socket.socket) -> None:
        request_of(connection)
        closed = threading.Event()
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not closed.wait(0.02):
                connection.sendall(b".")
        except OSError:
            closed.set()

    with server(drip) as (base, _):
        response = Client(base, 0.3).send("GET", "/")
    assert str(response.error) == "no end of the answer within 0.3 s"
    assert response.elapsed_s >= 0.3


def test_request_that_nobody_reads_is_a_time_out_and_may_have_come() -> None:
    over = threading.Event()

    def hang(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)
        assert over.wait(timeout=60)

    with server(hang) as (base, _):
        client = Client(base)
        client.send("GET", "/")  # a deadline that passes before there is a connection is another matter
        client.deadline_s = 0.3
        response = client.send("POST", "/", data=bytes(50_000_000))
        over.set()
    assert isinstance(response.error, TimeoutError)


def test_user_that_is_stopped_takes_its_connection_along() -> None:
    over = threading.Event()

    def hang_at_first(connection: socket.socket) -> None:
        request = request_of(connection)
        if request.startswith(b"GET /first"):
            assert over.wait(timeout=10)
        else:
            connection.sendall(OK)

    with server(hang_at_first) as (base, connections):
        client = Client(base)
        user = gevent.spawn(client.send, "GET", "/first")
        assert wait_until(lambda: len(connections) == 1, 10, gevent.sleep)
        gevent.sleep(0.05)
        user.kill()
        assert isinstance(user.value, gevent.GreenletExit)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            client.send("GET", "/first")
        assert client.send("GET", "/second").ok
        over.set()
    assert len(connections) == 3


def test_refused_connection_is_nothing_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    response = Client(base).send("POST", "/", json={})
    assert isinstance(response.error, NotSentError)
    assert isinstance(response.error.__cause__, ConnectionRefusedError)


def test_name_that_does_not_resolve_is_nothing_sent() -> None:
    response = Client("http://no-such-host.invalid").send("GET", "/")
    assert isinstance(response.error, NotSentError)
    assert isinstance(response.error.__cause__, socket.gaierror)


def test_connection_that_is_not_taken_is_nothing_sent_after_its_deadline() -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # the queue is full then, and further attempts are not answered
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        began = monotonic()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        response = Client(base, connect_s=0.2).send("GET", "/")
        assert isinstance(response.error, NotSentError)
        assert isinstance(response.error.__cause__, TimeoutError)
        assert monotonic() - began < 10


def test_connection_that_is_reset_at_once_is_an_error() -> None:
    response, _ = asked(reset, "POST")
    cause = response.error.__cause__ if isinstance(response.error, NotSentError) else response.error
    assert isinstance(cause, (ConnectionResetError, BrokenPipeError))


@pytest.mark.parametrize("base", ["ftp://127.0.0.1", "127.0.0.1:80", "", "http://", "http://127.0.0.1:port"])
def test_address_that_is_none_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        Client(base).send("GET", "/")
