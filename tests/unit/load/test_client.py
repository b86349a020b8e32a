from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from geventhttpclient.useragent import RetriesExceeded
from locust.contrib.fasthttp import FastResponse
from locust.event import EventHook

from harness.core.bodies import ShapeError
from harness.core.operations import OperationOutcome
from harness.core.samples import Outcome
from harness.load import client
from harness.load.client import MeasuredSession, NotSentError, failure_cause, operation_outcome


class Answer(FastResponse):
    """A response that never was on a wire."""

    status_code = 0
    content = b"{}"

    def __init__(self, status: int = 200, error: BaseException | None = None) -> None:
        self.status_code = status
        if error is not None:
            self.error = error


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
        monkeypatch.setattr(self.session, "_exchange", self._exchange)

    def _exchange(self, *_: object, **payload: object) -> Answer:
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


def test_request_event_fires_once_with_latency_service_time_and_lag(wire: Wire) -> None:
    wire.session.due = 98.0
    wire.session.request("GET", "/documents/7", "/documents/{id}")
    [event] = wire.events
    assert (event["request_type"], event["name"], event["exception"]) == ("GET", "/documents/{id}", None)
    assert (event["response_time"], event["service_time"], event["lag"]) == (3000.0, 1000.0, 2000.0)
    assert (event["intended_at"], event["sent_at"], event["ended_at"]) == (98.0, 100.0, 101.0)


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


def _misses(response: FastResponse) -> None:
    raise ShapeError(f"no 'id' in {response.status_code}, 6f1ed002-ab59-5b1c-8d8b-3c1a3f6d1d0e")


def test_answer_that_its_reader_cannot_read_is_an_error(wire: Wire) -> None:
    wire.session.request("GET", "/a", reader=_misses)
    assert wire.flights.answered_[0][2:] == (Outcome.ERROR, "HTTP 200, but no 'id' in 200, #")
    assert str(wire.events[0]["exception"]) == "HTTP 200, but no 'id' in 200, #"


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


def test_redirect_is_an_answer_and_never_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def redirect(request: Any) -> Any:
        asked.append(request.url)
        headers = {"location": "http://elsewhere.example/"}
        return SimpleNamespace(status_code=302, headers=headers, content=b"", release=lambda: None)

    session = MeasuredSession("http://127.0.0.1:1", EventHook())
    session.cookiejar = session.client.cookiejar = None  # type: ignore[assignment]
    monkeypatch.setattr(session.client, "_urlopen", redirect)
    response = session.unrecorded("GET", "/documents/7")

    assert asked == ["http://127.0.0.1:1/documents/7"]
    assert failure_cause(response) == "HTTP 302"
    assert failure_cause(response, {302}) == ""


def test_an_unexpected_status_has_what_the_body_says_in_its_cause() -> None:
    answer = Answer(500)
    answer.content = b'{"sqlstate": "42703"}'
    assert failure_cause(answer) == "HTTP 500 (42703)"
    assert failure_cause(answer, {500}) == ""


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ({"traceparent": "ours"}, "ours"),
        ({"traceparent": "ours", "headers": {"traceparent": "theirs"}}, "theirs"),
        ({"traceparent": None}, None),
    ],
)
def test_traceparent_is_a_header_unless_the_caller_gives_one(
    monkeypatch: pytest.MonkeyPatch, payload: dict[str, Any], sent: str | None
) -> None:
    headers: list[Any] = []

    def keep(*_: object, **fields: Any) -> Answer:
        headers.append(fields["headers"])
        return Answer()

    session = MeasuredSession("http://127.0.0.1:1", EventHook())
    monkeypatch.setattr(session, "_send_request_safe_mode", keep)
    session._exchange("GET", "/a", **payload)
    assert headers[0].get("traceparent") == sent


def _because(error: OSError) -> NotSentError:
    not_sent = NotSentError("not connected")
    not_sent.__cause__ = error
    return not_sent


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (_because(ConnectionRefusedError(111, "Connection refused")), "connection refused"),
        (_because(TimeoutError("timed out")), "timed out"),
        (_because(OSError(113, "No route to host")), "EHOSTUNREACH"),
        (RetriesExceeded("http://h/documents/7", 0, original=TimeoutError("timed out")), "timed out"),
        (gevent.Timeout(60), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset"),
        (HTTPConnectionClosed("connection closed."), "connection closed"),
        (HTTPParseError("connection closed before end of the headers"), "broken answer"),
        (RuntimeError("Cannot resolve h:80"), "RuntimeError"),
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
        (Answer(0, gevent.Timeout(60)), OperationOutcome.INDETERMINATE),
        (Answer(201, HTTPParseError("cut off in the body")), OperationOutcome.INDETERMINATE),
    ],
)
def test_write_is_ok_surely_not_done_or_indeterminate(answer: Answer, outcome: OperationOutcome) -> None:
    assert operation_outcome(answer) is outcome
