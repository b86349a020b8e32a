"""Causes of failures are short, without ids, and keep what PostgreSQL said."""

from __future__ import annotations

from http.client import RemoteDisconnected

import pytest
from geventhttpclient.response import HTTPConnectionClosed

from harness.load.causes import cause_of, http_cause, is_dropped


class _Answer:
    status_code = 503


class HTTPError(Exception):
    """As requests and geventhttpclient have it."""

    response = _Answer()


class RetriesExceededError(Exception):
    """As geventhttpclient has it: what went wrong is inside."""

    original = TimeoutError("timed out")


class CatchResponseError(Exception):
    """As Locust has it."""


@pytest.mark.parametrize(
    ("exception", "cause"),
    [
        (HTTPError("503 for url http://127.0.0.1/documents/81"), "HTTP 503"),
        (RetriesExceededError("GET http://127.0.0.1/documents/81"), "TimeoutError"),
        (ConnectionResetError(104, "reset by 127.0.0.1:51234"), "ConnectionResetError"),
        (CatchResponseError("no row 8b3b1c1e-6d7e-4d0a-9f55-0a6c1d3f9b11 (12345)"), "no row # (#)"),
        (CatchResponseError("SQLSTATE 42703 (42P01) for 42799"), "SQLSTATE 42703 (42P01) for #"),
        (CatchResponseError("token=abc refused"), "token=*** refused"),
        ("Got a string at http://127.0.0.1/x?y", "Got a string at #"),
        (CatchResponseError("long " * 100), ("long " * 16)),
    ],
)
def test_cause(exception: object, cause: str) -> None:
    assert cause_of(exception) == cause


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "HTTP 500"),
        (b'{"detail": "database error", "sqlstate": "42703"}', "HTTP 500 (42703)"),
        (b'{"title": "No stock", "sqlstate":"23514"}', "HTTP 500 (23514)"),
        (b'{"title": "No stock for 81234", "sqlstate": null}', "HTTP 500 (No stock for #)"),
        (b'{"title": "' + b"long " * 100 + b'"}', "HTTP 500 (" + "long " * 14),
        (b"<title>Internal Server Error</title>", "HTTP 500"),
        (b" " * 5000 + b'{"sqlstate": "42703"}', "HTTP 500"),
    ],
)
def test_the_cause_of_a_status_is_what_the_body_says_of_it(body: bytes, cause: str) -> None:
    assert http_cause(500, body) == cause


class _Limited:
    status_code = 429


def test_a_refusal_for_coming_too_often_is_known_whatever_the_task_says() -> None:
    assert cause_of(CatchResponseError("slow down"), _Limited()) == "HTTP 429 (slow down)"
    assert cause_of(CatchResponseError("slow down"), _Answer()) == "slow down"
    assert cause_of(TimeoutError(), _Limited()) == "TimeoutError"


def _wrapped(error: BaseException) -> Exception:
    """As requests has it: urllib3's error around http.client's, each among the arguments of the next."""
    return ConnectionError(OSError("Connection aborted.", error))


def _as_original(error: BaseException) -> Exception:
    found = RetriesExceededError()
    found.original = error  # type: ignore[assignment]
    return found


def _circular() -> Exception:
    error = ValueError()
    error.__cause__ = error.__context__ = error
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        BrokenPipeError(),
        HTTPConnectionClosed("closed"),
        _wrapped(RemoteDisconnected("Remote end closed connection without response")),
        _as_original(BrokenPipeError()),
    ],
)
def test_a_connection_that_ended_under_a_request(error: Exception) -> None:
    assert is_dropped(error)


@pytest.mark.parametrize(
    "error", [_wrapped(ConnectionRefusedError()), TimeoutError(), "connection reset", None, _circular()]
)
def test_another_failure(error: object) -> None:
    assert not is_dropped(error)


@pytest.mark.parametrize("where", ["_content", "_cached_content"])
def test_what_the_body_says_of_an_error_is_kept_for_any_client(where: str) -> None:
    response = _Answer()
    setattr(response, where, b'{"sqlstate": "42703"}')
    assert cause_of(HTTPError(), response) == "HTTP 503 (42703)"


def test_a_body_that_is_streamed_is_not_fetched_for_its_cause() -> None:
    class Streamed(_Answer):
        _content = False  # as requests has it until the body is read

        @property
        def content(self) -> bytes:
            raise AssertionError("the task reads the body, not the recorder")

    assert cause_of(HTTPError(), Streamed()) == "HTTP 503"
