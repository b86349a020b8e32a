"""The HTTP client over TLS."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.load import http_connection
from harness.load.http_answer import ClosedError, Http2Error
from harness.load.http_connection import NotSentError
from tests.fix_http import OK, Client, asked
from tests.fix_tls import over_tls, self_signed
from tests.fix_wire import request_of, says, server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("closed_clients")]


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
