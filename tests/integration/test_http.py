"""The HTTP client against services of bare sockets, which do everything that a service should not."""

import gzip
import os
import resource
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import gevent
import pytest

from harness.clock import monotonic, wait_until
from harness.load import http_connection
from harness.load.http import HttpClient
from harness.load.http_answer import BrokenAnswerError, ClosedError, Http2Error
from harness.load.http_connection import NotSentError
from harness.load.http_response import Response
from tests.fix_tls import over_tls, self_signed
from tests.fix_wire import Handle, request_of, says, server

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Client(HttpClient):
    """One that is quick to give up, and counts what it opens anew."""

    def __init__(self, base: str, deadline_s: float = 20.0, **options: object) -> None:
        self.reopenings = 0
        super().__init__(base, deadline_s=deadline_s, reopened=self._count, **options)  # type: ignore[arg-type]
        _clients.append(self)

    def _count(self) -> None:
        self.reopenings += 1


_clients: list[Client] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close the clients of a test when it ends."""
    yield
    while _clients:
        _clients.pop().close()


def asked(handle: Handle, method: str = "GET", **options: object) -> tuple[Response, list[int]]:
    """What one request to a service came to, and the service's connections."""
    with server(handle) as (base, connections):
        response = Client(base).send(method, "/", **options)  # type: ignore[arg-type]
    return response, connections


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# one request, one answer


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


# once, and only once


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


# services that misbehave


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


# services that cannot be reached


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


def test_service_may_have_an_ipv6_address() -> None:
    with server(says(OK), "::1") as (base, _):
        assert Client(base).send("GET", "/").ok


# redirects and cookies


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


# TLS


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A certificate for `localhost`, which this process trusts, and its key."""
    file = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    http_connection._context.cache_clear()
    yield file
    http_connection._context.cache_clear()


def secure(base: str, host: str = "localhost") -> str:
    return base.replace("http://127.0.0.1", f"https://{host}")


def test_service_over_tls_is_verified_and_its_connection_kept(certificate: Path) -> None:
    with server(over_tls(certificate, says(*[OK] * 3))) as (base, connections):
        client = Client(secure(base))
        assert [client.send("POST", "/", json={}).error for _ in range(3)] == [None] * 3
        assert client.reopenings == 0
    assert len(connections) == 1


def test_certificate_of_another_name_is_refused_and_named(certificate: Path) -> None:
    with server(over_tls(certificate, says(OK))) as (base, _):
        response = Client(secure(base, "127.0.0.1")).send("POST", "/", json={})
    assert isinstance(response.error, NotSentError)
    assert isinstance(response.error.__cause__, ssl.SSLCertVerificationError)
    assert "127.0.0.1" in response.error.__cause__.verify_message


def test_certificate_that_nobody_vouches_for_is_refused_unless_told(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with server(over_tls(certificate, says(OK))) as (base, _):
        refused = Client(secure(base)).send("GET", "/")
        assert isinstance(refused.error, NotSentError)
        assert isinstance(refused.error.__cause__, ssl.SSLCertVerificationError)
        assert Client(secure(base, "127.0.0.1"), verified=False).send("GET", "/").ok


def test_plain_http_where_tls_is_spoken_is_nothing_sent() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    response, _ = asked(refuse)
    assert response.status_code == 400
    with server(refuse) as (base, _):
        response = Client(secure(base)).send("GET", "/")
    assert isinstance(response.error, NotSentError)
    assert isinstance(response.error.__cause__, ssl.SSLError)


def test_handshake_that_is_not_answered_is_nothing_sent_after_its_deadline() -> None:
    with server(request_of) as (base, _):
        response = Client(secure(base), connect_s=0.2).send("GET", "/")
    assert isinstance(response.error, NotSentError)
    assert isinstance(response.error.__cause__, TimeoutError)


def test_service_that_speaks_http_2_alone_is_refused_by_name(certificate: Path) -> None:
    def speak_http_2(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")

    with server(over_tls(certificate, speak_http_2)) as (base, _):
        response = Client(secure(base)).send("GET", "/")
    assert isinstance(response.error, Http2Error)


@pytest.mark.parametrize("length", [b"", b"Content-Length: 5\r\n"])
def test_answer_over_tls_that_is_cut_off_is_none(certificate: Path, length: bytes) -> None:
    def cut(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nabc")
        os.close(connection.detach())

    with server(over_tls(certificate, cut)) as (base, _):
        response = Client(secure(base)).send("GET", "/")
    assert isinstance(response.error, ClosedError)
    assert response.status_code == 200
