"""Services that answer anything: a request ends in bounded time and memory, and its outcome names why."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException

import gevent
import pytest
from locust.event import EventHook

from harness.core.operations import OperationOutcome
from harness.core.samples import Outcome
from harness.load.answers import answer_of
from harness.load.client import MeasuredSession, failure_cause, operation_outcome
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.run.http import open_url
from tests.fix_wire import Handle, answers, goes_on, says, server

pytestmark = pytest.mark.integration

MEGABYTE = 2**20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
JSON, GZIP = "Content-Type: application/json", "Content-Encoding: gzip"


@pytest.fixture
def recorded() -> Iterator[list[tuple[Outcome, str]]]:
    """The outcomes of the requests, and why they failed, as they are recorded."""
    kept: list[tuple[Outcome, str]] = []
    recorder.begin("w", RunSettings("run", "canary", 1, 1, None, 0, 1, 1), 0.0)
    answered = recorder.answered

    def keep(token: int, ended: float, outcome: Outcome, cause: str = "") -> None:
        kept.append((outcome, cause))
        answered(token, ended, outcome, cause)

    recorder.answered = keep  # type: ignore[method-assign]
    yield kept
    del recorder.answered
    recorder.end()


@contextmanager
def session(handle: Handle) -> Iterator[tuple[MeasuredSession, list[int]]]:
    """A user's connections to a service, and a list of them. The bound is soon reached."""
    with server(handle) as (base, connections):
        own = MeasuredSession(base, EventHook())
        own.http.most_bytes = MEGABYTE
        try:
            yield own, connections
        finally:
            own.close()


UNREADABLE: dict[str, Handle] = {
    "garbage": answers(bytes(range(256)) * 8),
    "HTML": answers(b"<!doctype html><title>Down for maintenance</title>", "Content-Type: text/html"),
    "nothing": answers(b""),
    "cut off": answers(b'{"id": "7", "title": "a', JSON),
    "invalid UTF-8": answers(b'{"id": "7", "title": "\xff\xfe"}', JSON),
    "half a character": answers(b'{"id": "\\ud800"}', JSON),
    "nested": answers(b"[" * 100_000, JSON),
    "a number too long": answers(b"9" * 100_000, JSON),
    "a charset nobody knows": answers(b"<html>", f"{JSON}; charset=klingon"),
    "a charset of no text": answers(b"<html>", f"{JSON}; charset=hex"),
}

TOO_LONG = "answer longer than 1 MB"
HEAD_TOO_LONG = "head longer than 64 kB"
BROKEN: dict[str, tuple[Handle, str]] = {
    "no HTTP": (says(b"220 mail.example.org ESMTP\r\n"), "broken answer"),
    "nothing at all": (says(b""), "connection closed"),
    "half a head": (says(OK + b"Content-Le"), "broken answer"),
    "half a body": (says(OK + b"Content-Length: 100\r\n\r\nhalf"), "broken answer"),
    "a wrong chunk": (says(CHUNKED + b"zz\r\n"), "broken answer"),
    "a large body": (answers(b"x" * (MEGABYTE + 1)), TOO_LONG),
    "an endless body": (goes_on(CHUNKED, CHUNK), TOO_LONG),
    "an endless body to the end": (goes_on(OK + b"\r\n", b"x" * 65536), TOO_LONG),
    "an endless head": (goes_on(OK, b"X-More: " + b"x" * 8000 + b"\r\n"), HEAD_TOO_LONG),
    "endless continues": (goes_on(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), HEAD_TOO_LONG),
    "little that unpacks to much": (answers(gzip.compress(b"x" * (MEGABYTE + 1)), GZIP), TOO_LONG),
    "not offered": (answers(b"{}", "Content-Encoding: zstd"), "a content encoding that was not offered"),
    "no gzip": (answers(b"{}", GZIP), "a body that is not gzip"),
    "half of a gzip": (answers(gzip.compress(b"{}")[:-5], GZIP), "a body that is not gzip"),
    "no deflate": (answers(b"<html>", "Content-Encoding: deflate"), "a body that is not deflate"),
}


@pytest.mark.parametrize("handle", UNREADABLE.values(), ids=UNREADABLE)
def test_body_that_cannot_be_read_is_an_error(recorded: list[tuple[Outcome, str]], handle: Handle) -> None:
    with session(handle) as (own, _):
        response = own.request("GET", "/documents", reader=answer_of)
    assert recorded == [(Outcome.ERROR, "HTTP 200, but a body that is not JSON")]
    assert isinstance(response.text, str)


@pytest.mark.parametrize(("handle", "cause"), BROKEN.values(), ids=BROKEN)
def test_answer_that_breaks_off_or_does_not_end_is_an_error(
    recorded: list[tuple[Outcome, str]], handle: Handle, cause: str
) -> None:
    with session(handle) as (own, connections):
        response = own.request("POST", "/documents", json={})
    assert recorded == [(Outcome.ERROR, cause)]
    assert operation_outcome(response) is OperationOutcome.INDETERMINATE
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("head", "cause"),
    [(OK, "timed out"), (OK + b"Content-Length: 9999\r\n\r\n", "no end of the answer within 0.3 s")],
    ids=["head", "body"],
)
def test_answer_that_drips_is_cut_off_at_the_deadline(
    recorded: list[tuple[Outcome, str]], head: bytes, cause: str
) -> None:
    with session(goes_on(head, b"x", every_s=0.02)) as (own, _):
        own.http.deadline_s = 0.3
        response = own.request("POST", "/documents", json={})
    assert recorded == [(Outcome.ERROR, cause)]
    assert operation_outcome(response) is OperationOutcome.INDETERMINATE


@pytest.mark.parametrize(
    "handle",
    [
        says(b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\ncanary:bob"),
        says(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\ncanary:bob"),
    ],
    ids=["broken off", "not packed"],
)
def test_what_had_come_of_a_broken_answer_can_be_searched(handle: Handle) -> None:
    with session(handle) as (own, _):
        response = own.unrecorded("GET", "/documents")
    assert failure_cause(response) in ("broken answer", "a body that is not gzip")
    assert response.text == "canary:bob"


def test_what_is_sent_for_ever_is_not_read_for_ever() -> None:
    sent: list[int] = []
    with session(goes_on(CHUNKED, CHUNK, sent=sent)) as (own, _):
        own.unrecorded("GET", "/documents")
    assert sum(sent) < 8 * MEGABYTE, "what was read, and what the two sockets have room for"


def test_connection_is_good_for_more_than_the_longest_answer(recorded: list[tuple[Outcome, str]]) -> None:
    """The bound is one of each answer, not of all that a connection brings."""
    body = b"x" * (MEGABYTE // 2)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def handle(connection: object) -> None:
        while connection.recv(65536):  # type: ignore[attr-defined]
            connection.sendall(head + body)  # type: ignore[attr-defined]

    with session(handle) as (own, connections):
        for _ in range(5):
            assert len(own.request("GET", "/").content) == len(body)
    assert len(connections) == 1
    assert recorded == [(Outcome.OK, "")] * 5


@pytest.mark.parametrize(
    "handle",
    [
        answers(gzip.compress(b'{"id": 1}'), "Content-Encoding: gzip"),
        answers(zlib.compress(b'{"id": 1}'), "Content-Encoding: deflate"),
        answers(zlib.compress(b'{"id": 1}')[2:-4], "Content-Encoding: deflate"),
        answers(b'\xef\xbb\xbf{"id": 1}', JSON),
        answers('{"id": 1}'.encode("utf-16"), JSON),
        answers('{"id": 1}'.encode("latin-1"), "Content-Type: application/json; charset=iso-8859-1"),
    ],
    ids=["gzip", "zlib", "deflate", "byte order mark", "UTF-16", "Latin-1"],
)
def test_what_can_be_read_is_read(recorded: list[tuple[Outcome, str]], handle: Handle) -> None:
    with session(handle) as (own, _):
        response = own.request("GET", "/documents/1", reader=answer_of)
    assert answer_of(response) == {"id": 1}
    assert recorded == [(Outcome.OK, "")]


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=klingon", "application/octet-stream", ""])
def test_text_without_a_known_charset_is_utf_8(kind: str) -> None:
    body = "canary:Jörg ".encode() + b"\xff"
    with session(answers(body, f"Content-Type: {kind}")) as (own, _):
        response = own.unrecorded("GET", "/")
    assert response.text == "canary:Jörg �"


def test_deadline_of_a_caller_is_the_callers(recorded: list[tuple[Outcome, str]]) -> None:
    with session(goes_on(OK, b"X", every_s=0.02)) as (own, _):
        for ask in (own.request, own.unrecorded):
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
                ask("GET", "/documents")
    assert recorded == [(Outcome.ERROR, "timed out")]
    assert recorder.in_flight == 0


def test_answer_is_as_bad_without_a_reader(recorded: list[tuple[Outcome, str]]) -> None:
    """Pages may be of any kind."""
    with session(answers(b"<html>")) as (own, _):
        response = own.request("GET", "/about")
    assert failure_cause(response) == ""
    assert recorded == [(Outcome.OK, "")]


@pytest.mark.parametrize("head", [b"", OK, OK + b"Content-Length: 999\r\n\r\n"], ids=["none", "head", "body"])
def test_controller_waits_no_longer_than_it_said(head: bytes) -> None:
    """Each byte comes within its time, so that without an end of its own this would go on for an hour."""
    with server(goes_on(head, b"x", every_s=0.05)) as (base, connections):
        with suppress(OSError, HTTPException), open_url(base, 0.3) as answer:
            answer.read()
        assert len(connections) == 1
