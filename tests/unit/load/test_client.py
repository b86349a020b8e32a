import socket
import ssl
from typing import Any

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locust.event import EventHook

from harness.core.bodies import ShapeError
from harness.core.operations import OperationOutcome
from harness.core.samples import Outcome
from harness.load import client, http
from harness.load.client import MeasuredSession, failure_cause, operation_outcome
from harness.load.http_answer import AnswerError, BrokenAnswerError, ClosedError, Http2Error
from harness.load.http_connection import Connection, NotSentError
from harness.load.http_response import Response
from tests.unit.load.test_http_answer import ANYTHING


class Answer(Response):
    """A response that never was on a wire."""

    def __init__(self, status: int = 200, error: BaseException | None = None) -> None:
        super().__init__(status, b"{}", error=error)


class Flights:
    """A recorder that remembers what it was told."""

    def __init__(self) -> None:
        self.sent_: list[tuple[str, float, float]] = []
        self.answered_: list[tuple[int, float, Outcome, str]] = []
        self.cut_: list[tuple[int, float]] = []

    def sent(self, endpoint: str, intended: float, sent: float) -> int:
        self.sent_.append((endpoint, intended, sent))
        return len(self.sent_) - 1

    def traceparent(self, token: int, user: int) -> str:
        return f"token {token} of user {user}"

    def answered(self, token: int, ended: float, outcome: Outcome, cause: str = "") -> None:
        self.answered_.append((token, ended, outcome, cause))

    def cut(self, token: int, now: float) -> None:
        self.cut_.append((token, now))


class Wire:
    """A session whose exchanges end as told, one second of a pretended clock after they began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.ends: BaseException | Answer = Answer()
        self.events: list[dict[str, Any]] = []
        self.payloads: list[dict[str, Any]] = []
        self.flights = Flights()
        monkeypatch.setattr(client, "monotonic", lambda: self.now)
        monkeypatch.setattr(client, "recorder", self.flights)
        hook = EventHook()
        hook.add_listener(lambda **fields: self.events.append(fields))
        self.session = MeasuredSession("http://127.0.0.1:1", hook)
        monkeypatch.setattr(self.session.http, "send", self._send)

    def _send(self, *_: object, **payload: object) -> Answer:
        self.payloads.append(payload)
        self.now += 1.0
        if isinstance(self.ends, Answer):
            return self.ends
        raise self.ends


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_request_counts_from_the_instant_it_was_intended_for(wire: Wire) -> None:
    wire.session.due = 97.5
    wire.session.request("GET", "/documents/7", "/documents/{id}")
    assert wire.flights.sent_ == [("GET /documents/{id}", 97.5, 100.0)]
    assert wire.flights.answered_ == [(0, 101.0, Outcome.OK, "")]


def test_further_request_of_a_task_counts_from_the_end_of_the_one_before(wire: Wire) -> None:
    wire.session.due = 97.5
    wire.session.request("GET", "/a")
    wire.now += 0.25
    wire.session.request("GET", "/b")
    assert wire.flights.sent_[1] == ("GET /b", 101.0, 101.25)


def test_request_that_nothing_was_scheduled_for_counts_from_its_send(wire: Wire) -> None:
    wire.session.request("GET", "/a")
    assert wire.flights.sent_ == [("GET /a", 100.0, 100.0)]


def test_request_beside_the_tasks_leaves_the_schedule_alone(wire: Wire) -> None:
    wire.session.due = 97.5
    wire.session.request_now("POST", "/token")
    assert wire.flights.sent_ == [("POST /token", 100.0, 100.0)]
    assert wire.session.due == 97.5


def test_unrecorded_request_leaves_no_trace(wire: Wire) -> None:
    wire.session.unrecorded("GET", "/documents/7")
    assert wire.flights.sent_ == []
    assert wire.events == []


def test_recorded_request_names_its_sample_and_its_user(wire: Wire) -> None:
    wire.session.number = 7
    wire.session.request("GET", "/a")
    wire.session.request_now("GET", "/b", headers={"X": "y"})
    wire.session.unrecorded("GET", "/c")
    assert wire.payloads == [
        {"traceparent": "token 0 of user 7"},
        {"traceparent": "token 1 of user 7", "headers": {"X": "y"}},
        {},
    ]


def test_requests_without_a_name_have_that_of_their_block(wire: Wire) -> None:
    with wire.session.rename_request("outer"):
        wire.session.get("/a")
        with wire.session.rename_request("inner"):
            wire.session.get("/b")
            wire.session.get("/c", name="own")
        wire.session.get("/d")
    wire.session.get("/e")
    names = [endpoint for endpoint, _, _ in wire.flights.sent_]
    assert names == ["GET outer", "GET inner", "GET own", "GET outer", "GET /e"]


def test_request_event_fires_once_with_latency_service_time_and_lag(wire: Wire) -> None:
    wire.session.due = 98.0
    wire.session.request("GET", "/documents/7", "/documents/{id}")
    [event] = wire.events
    assert (event["request_type"], event["name"], event["exception"]) == ("GET", "/documents/{id}", None)
    assert (event["response_time"], event["service_time"], event["lag"]) == (3000.0, 1000.0, 2000.0)


def test_unexpected_status_is_an_error_named_by_the_status(wire: Wire) -> None:
    wire.ends = Answer(503)
    response = wire.session.request("GET", "/documents/7", "/documents/{id}")
    assert response.status_code == 503
    assert wire.flights.answered_[0][2:] == (Outcome.ERROR, "HTTP 503")
    assert str(wire.events[0]["exception"]) == "HTTP 503"


def test_expected_status_is_ok_and_others_are_not(wire: Wire) -> None:
    wire.ends = Answer(409)
    wire.session.request("PUT", "/a", expect={200, 409})
    wire.session.request("PUT", "/a", expect={200})
    assert [answer[2] for answer in wire.flights.answered_] == [Outcome.OK, Outcome.ERROR]


def _misses(response: Response) -> None:
    raise ShapeError(f"no 'id' in {response.status_code}, 6f1ed002-ab59-5b1c-8d8b-3c1a3f6d1d0e")


def test_answer_that_its_reader_cannot_read_is_an_error(wire: Wire) -> None:
    wire.session.request("GET", "/a", reader=_misses)
    assert wire.flights.answered_[0][2:] == (Outcome.ERROR, "HTTP 200, but no 'id' in 200, #")
    assert str(wire.events[0]["exception"]) == "HTTP 200, but no 'id' in 200, #"


def test_reader_that_fails_fails_the_request_and_passes_on(wire: Wire) -> None:
    with pytest.raises(ZeroDivisionError):
        wire.session.request("GET", "/a", reader=lambda _: 1 / 0)
    assert [answer[2:] for answer in wire.flights.answered_] == [(Outcome.ERROR, "ZeroDivisionError")]


@pytest.mark.parametrize("status", [404, 409])
def test_only_answers_of_success_are_read(wire: Wire, status: int) -> None:
    wire.ends = Answer(status)
    wire.session.request("PUT", "/a", expect={200, 409}, reader=_misses)
    outcome = Outcome.OK if status == 409 else Outcome.ERROR
    assert wire.flights.answered_[0][2:] == (outcome, "" if status == 409 else "HTTP 404")


def test_killed_request_is_cut_and_fires_no_event(wire: Wire) -> None:
    wire.ends = gevent.GreenletExit()
    with pytest.raises(gevent.GreenletExit):
        wire.session.request("GET", "/a")
    assert len(wire.flights.sent_) == 1
    assert wire.flights.answered_ == []
    assert wire.flights.cut_ == [(0, 101.0)]
    assert wire.events == []


def test_request_that_could_not_be_made_is_an_error_and_is_raised(wire: Wire) -> None:
    wire.ends = ValueError("invalid request URI '/7 7'")
    with pytest.raises(ValueError, match="invalid request URI"):
        wire.session.request("GET", "/7 7")
    assert wire.flights.answered_[0][2:] == (Outcome.ERROR, "ValueError")


def test_deadline_of_the_task_itself_ends_the_request_as_an_error_and_passes_on(wire: Wire) -> None:
    wire.ends = gevent.Timeout(60)
    with pytest.raises(gevent.Timeout):
        wire.session.request("GET", "/a")
    assert wire.flights.answered_ == [(0, 101.0, Outcome.ERROR, "timed out")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"])
def test_there_is_a_verb_for_each_method(wire: Wire, method: str) -> None:
    send = getattr(wire.session, method.lower())
    assert send("/a", name="a", headers={"X": "y"}).status_code == 200
    assert wire.flights.sent_ == [(f"{method} a", 100.0, 100.0)]
    assert wire.payloads[0]["headers"] == {"X": "y"}


def test_caught_request_is_recorded_once_as_its_block_says_and_by_its_own_times(wire: Wire) -> None:
    wire.session.due = 98.0
    with wire.session.post("/a", json={"b": 1}, catch_response=True) as response:
        wire.now += 5.0
        assert wire.flights.answered_ == []
        response.failure("no total")
    assert wire.flights.answered_ == [(0, 101.0, Outcome.ERROR, "no total")]
    [event] = wire.events
    assert (event["response_time"], event["service_time"], event["lag"]) == (3000.0, 1000.0, 2000.0)
    assert str(event["exception"]) == "no total"
    assert wire.session.due == 101.0
    assert wire.payloads[0]["json"] == {"b": 1}


def test_an_unexpected_status_has_what_the_body_says_in_its_cause() -> None:
    answer = Response(500, b'{"sqlstate": "42703"}')
    assert failure_cause(answer) == "HTTP 500 (42703)"
    assert failure_cause(answer, {500}) == ""


class Script:
    """A wire on which a service says what it is told to, and then ends as it is told to."""

    def __init__(self, parts: list[bytes], end: type[OSError] | None) -> None:
        self._parts = list(parts)
        self._end = end

    def fileno(self) -> int:
        return 0  # nobody looks: each of these is used once

    def send(self, data: bytes, deadline: float) -> int:
        return len(data)

    def receive(self, deadline: float) -> bytes:
        if self._parts:
            return self._parts.pop(0)
        if self._end is not None:
            raise self._end
        return b""

    def close(self) -> None: ...


@settings(max_examples=100, deadline=None)
@given(
    parts=ANYTHING,
    end=st.sampled_from([None, TimeoutError, ConnectionResetError]),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_whatever_a_service_sends_comes_to_one_recorded_outcome(
    parts: list[bytes], end: type[OSError] | None, method: str
) -> None:
    flights, events = Flights(), list[dict[str, Any]]()
    hook = EventHook()
    hook.add_listener(lambda **fields: events.append(fields))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "recorder", flights)
        said = [part for part in parts if part]
        patch.setattr(http, "connect", lambda *_, **__: Connection(Script(said, end), 2_000))
        response = MeasuredSession("http://127.0.0.1:1", hook).request(method, "/a")
    [(_, _, outcome, cause)] = flights.answered_
    assert len(flights.sent_) == len(events) == 1
    assert (outcome is Outcome.OK) == (response.error is None and 200 <= response.status_code < 300)
    assert (cause == "") == (outcome is Outcome.OK)
    assert len(response.content) <= 2_000


def _because(error: OSError) -> NotSentError:
    not_sent = NotSentError("not connected")
    not_sent.__cause__ = error
    return not_sent


def _of_another_name() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "Hostname mismatch, certificate is not valid for 'shop'."
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (_because(ConnectionRefusedError(111, "Connection refused")), "connection refused"),
        (_because(TimeoutError("timed out")), "timed out"),
        (_because(OSError(113, "No route to host")), "EHOSTUNREACH"),
        (_because(socket.gaierror(-2, "Name or service not known")), "name not resolved"),
        (_because(ssl.SSLError(1, "[SSL] wrong version number")), "TLS failed"),
        (_because(_of_another_name()), "TLS failed (Hostname mismatch, certificate is not valid for 'shop')"),
        (NotSentError("nothing could be sent"), "NotSentError"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset"),
        (BrokenPipeError(32, "Broken pipe"), "connection reset"),
        (ClosedError("the connection was closed before the answer was complete"), "connection closed"),
        (BrokenAnswerError("the connection was closed within the head"), "broken answer"),
        (Http2Error("the service speaks HTTP/2"), "HTTP/2 only"),
        (AnswerError("answer longer than 8 MB"), "answer longer than 8 MB"),
    ],
)
def test_transport_failures_have_short_causes_without_ids(error: BaseException, cause: str) -> None:
    assert failure_cause(Answer(0, error)) == cause


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200), OperationOutcome.OK),
        (Answer(204), OperationOutcome.OK),
        (Answer(202), OperationOutcome.INDETERMINATE),
        (Answer(401), OperationOutcome.FAIL),
        (Answer(409), OperationOutcome.FAIL),
        (Answer(302), OperationOutcome.INDETERMINATE),
        (Answer(408), OperationOutcome.INDETERMINATE),
        (Answer(425), OperationOutcome.INDETERMINATE),
        (Answer(499), OperationOutcome.INDETERMINATE),
        (Answer(500), OperationOutcome.INDETERMINATE),
        (Answer(503), OperationOutcome.INDETERMINATE),
        (Answer(0, _because(ConnectionRefusedError())), OperationOutcome.FAIL),  # never sent
        (Answer(0, ConnectionResetError()), OperationOutcome.INDETERMINATE),
        (Answer(0, TimeoutError()), OperationOutcome.INDETERMINATE),
        (Answer(201, ClosedError("cut off in the body")), OperationOutcome.INDETERMINATE),
    ],
)
def test_write_is_ok_surely_not_done_or_indeterminate(answer: Answer, outcome: OperationOutcome) -> None:
    assert operation_outcome(answer) is outcome
