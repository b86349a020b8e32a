"""The HTTP client against services of bare sockets, which do everything that a service should not."""

import gzip
import os
import resource
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import gevent
import pytest

from harness.load.http_answer import ClosedError
from tests.fix_http import OK, Client, asked, reset
from tests.fix_wire import request_of, says, server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("closed_clients")]


def test_many_requests_go_over_one_connection() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        while request := request_of(connection):
            seen.append(request)
            connection.sendall(OK)

    with server(answer) as (base, connections):
        client = Client(f"{base}/api/", headers={"Authorization": "Bearer t"})
        assert client.send("GET", "/a", params={"q": "x y"}).json() == {}
        assert client.send("post", "b", json={"a": 1}, headers={"X": "y"}).status_code == 200
        assert client.send("PUT", f"{base}/c", data={"a": "b c"}).ok
        assert client.send("DELETE", "/d").url == f"{base}/api/d"
    assert len(connections) == 1
    assert client.reopenings == 0
    lines = [request.split(b"\r\n")[0] for request in seen]
    assert lines == [
        b"GET /api/a?q=x+y HTTP/1.1",
        b"POST /api/b HTTP/1.1",
        b"PUT /c HTTP/1.1",
        b"DELETE /api/d HTTP/1.1",
    ]
    assert all(b"\r\nAuthorization: Bearer t\r\n" in request for request in seen)
    assert all(request.count(b"\r\nHost: " + base[7:].encode() + b"\r\n") == 1 for request in seen)
    assert seen[1].endswith(b'\r\n\r\n{"a":1}')
    assert seen[2].endswith(b"\r\n\r\na=b+c")


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + OK, b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
            + gzip.compress(b"abc", mtime=0),
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1048576, b"x" * 1048576),
    ],
)
def test_answers_of_every_framing_are_read(answer: bytes, content: bytes) -> None:
    response, _ = asked(says(answer))
    assert (response.error, response.status_code, response.content) == (None, 200, content)


def test_head_has_no_body_to_wait_for() -> None:
    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", OK)) as (base, connections):
        client = Client(base)
        assert client.send("HEAD", "/").ok
        assert client.send("GET", "/").content == b"{}"
    assert len(connections) == 1


def test_large_body_is_sent_in_full() -> None:
    body = bytes(range(256)) * 20_000
    came: list[int] = []

    def count(connection: socket.socket) -> None:
        came.append(len(request_of(connection).partition(b"\r\n\r\n")[2]))
        connection.sendall(OK)

    response, _ = asked(count, "POST", data=body)
    assert response.ok
    assert came == [len(body)]


def test_answer_that_comes_before_the_body_was_read_counts() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while connection.recv(1 << 20):
                pass

    response, _ = asked(refuse, "POST", data=bytes(5_000_000))
    assert (response.status_code, response.error) == (413, None)


def test_requests_that_overlap_get_connections_of_their_own_and_one_is_kept() -> None:
    both = threading.Barrier(2)

    def together(connection: socket.socket) -> None:
        for turn in range(2):
            if not request_of(connection):
                return
            if turn == 0:
                both.wait(timeout=10)
            connection.sendall(OK)

    with server(together) as (base, connections):
        client = Client(base)
        pair = [gevent.spawn(client.send, "GET", "/") for _ in range(2)]
        gevent.joinall(pair, timeout=10)
        assert [one.value.status_code for one in pair] == [200, 200]
        assert client.send("GET", "/").status_code == 200
    assert len(connections) == 2


def test_connection_on_a_high_descriptor_is_kept() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    try:
        with ExitStack() as taken, server(says(*[OK] * 5)) as (base, connections):
            while (descriptor := os.dup(0)) < 1100:
                taken.callback(os.close, descriptor)
            os.close(descriptor)
            client = Client(base)
            assert [client.send("GET", "/").status_code for _ in range(5)] == [200] * 5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(connections) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("end", [lambda _: None, reset])
def test_request_whose_connection_breaks_is_not_sent_again(
    method: str, end: Callable[[socket.socket], None]
) -> None:
    def take_and_break(connection: socket.socket) -> None:
        request_of(connection)
        end(connection)

    response, connections = asked(take_and_break, method)
    assert len(connections) == 1
    assert response.status_code == 0
    assert isinstance(response.error, (ClosedError, ConnectionResetError))


def test_request_on_a_kept_connection_that_breaks_is_not_sent_again() -> None:
    def answer_once(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)
        request_of(connection)

    with server(answer_once) as (base, connections):
        client = Client(base)
        assert client.send("PUT", "/").ok
        assert isinstance(client.send("PUT", "/").error, ClosedError)
        assert client.reopenings == 0
        assert client.send("PUT", "/").ok
    assert len(connections) == 2


@pytest.mark.parametrize("end", [lambda _: None, reset])
def test_kept_connection_that_was_closed_meanwhile_is_opened_anew_and_counted(
    end: Callable[[socket.socket], None],
) -> None:
    ended = threading.Event()

    def answer_once(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)
        end(connection)
        connection.close()
        ended.set()

    with server(answer_once) as (base, connections):
        client = Client(base)
        assert client.send("POST", "/").ok
        assert ended.wait(timeout=10)
        assert client.send("POST", "/").ok
        assert client.reopenings == 1
    assert len(connections) == 2


def test_connection_whose_end_was_announced_is_no_reopening() -> None:
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with server(says(closing)) as (base, connections):
        client = Client(base)
        assert [client.send("GET", "/").status_code for _ in range(3)] == [200] * 3
        assert client.reopenings == 0
    assert len(connections) == 3


def test_connection_that_breaks_at_the_send_is_opened_anew_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look at a kept connection and the send there is an instant in which it may break."""
    with server(says(OK)) as (base, connections):
        client = Client(base)
        assert client.send("GET", "/").ok
        [service] = client._services.values()
        [kept] = service.idle
        monkeypatch.setattr(kept, "is_idle", lambda: True)
        kept._wire._wire.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined] # a plain one
        assert client.send("POST", "/").ok
        assert client.reopenings == 1
    assert len(connections) == 2


def test_what_a_service_sends_unasked_is_no_answer() -> None:
    more = threading.Event()

    def talk(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(OK)
        if not more.is_set():
            connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            more.set()

    with server(talk) as (base, connections):
        client = Client(base)
        assert client.send("GET", "/").status_code == 200
        assert more.wait(timeout=10)
        assert client.send("GET", "/").status_code == 200
    assert len(connections) == 2


def test_given_up_connections_are_closed_and_counted() -> None:
    with server(says(OK, OK)) as (base, connections):
        client = Client(base)
        client.send("GET", "/")
        client.give_up_connections()
        client.give_up_connections()
        client.send("GET", "/")
        assert client.reopenings == 1
    assert len(connections) == 2


def test_service_may_have_an_ipv6_address() -> None:
    with server(says(OK), "::1") as (base, _):
        assert Client(base).send("GET", "/").ok


def test_account_in_the_address_goes_to_that_service_alone() -> None:
    heads: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        while request := request_of(connection):
            heads.append(request)
            connection.sendall(OK)

    with server(listen) as (base, _), server(listen) as (other, _):
        client = Client(base.replace("http://", "http://Aladdin:open%20sesame@") + "/api")
        client.send("GET", "/a")
        client.send("GET", "/b", auth=("test", "123£"))
        client.send("GET", f"{other}/c")
    assert client.base_url == f"{base}/api"
    assert [head.split()[1] for head in heads] == [b"/api/a", b"/api/b", b"/c"]
    assert b"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in heads[0]
    assert b"Authorization: Basic dGVzdDoxMjPCow==\r\n" in heads[1]
    assert b"Authorization" not in heads[2]


def test_redirect_is_an_answer_unless_it_is_asked_for() -> None:
    def lead(connection: socket.socket) -> None:
        while request := request_of(connection):
            if request.startswith((b"GET /there ", b"PUT /there ")):
                connection.sendall(OK)
            else:
                status = request.split(b" ")[1][1:]
                connection.sendall(
                    b"HTTP/1.1 %s x\r\nLocation: /there#a\r\nContent-Length: 0\r\n\r\n" % status
                )

    with server(lead) as (base, _):
        client = Client(base)
        assert client.send("GET", "/302").status_code == 302
        led = client.send("POST", "/303", json={}, allow_redirects=True)
        assert (led.status_code, led.method, led.url) == (200, "GET", f"{base}/there")
        led = client.send("PUT", "/307", json={}, allow_redirects=True)
        assert (led.status_code, led.method) == (200, "PUT")


@pytest.mark.parametrize(
    "there", ["http://elsewhere.example/", "//elsewhere.example/x", "ftp://h/", "https://["]
)
def test_redirect_never_leads_to_another_service(there: str) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % there.encode()
    response, connections = asked(says(answer, answer), allow_redirects=True)
    assert (response.status_code, len(connections)) == (302, 1)


def test_redirects_in_a_circle_end() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
    response, _ = asked(says(*[answer] * 11), allow_redirects=True)
    assert (response.status_code, response.error) == (302, None)


def test_cookies_come_back_to_their_service_alone() -> None:
    seen: list[bytes] = []

    def bake(connection: socket.socket) -> None:
        while request := request_of(connection):
            seen.append(request)
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nContent-Length: 0\r\n\r\n")

    with server(bake) as (base, _), server(bake, "127.0.0.2") as (other, _):
        client = Client(base)
        client.send("GET", "/a")
        client.send("GET", "/b")
        client.send("GET", "/c", headers={"cookie": "mine=2"})
        client.send("GET", f"{other}/d")
    assert [b"\r\nCookie: s=1\r\n" in request for request in seen] == [False, True, False, False]
    assert b"\r\ncookie: mine=2\r\n" in seen[2]
