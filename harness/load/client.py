"""The session of our users: each request is recorded once, as it was intended, whatever becomes of it.

`http.HttpClient` carries the requests; here they are timed, judged and told:

- Latency counts from the instant a request was intended for, and a request is known to the recorder from
  its send on. One that is killed is `unfinished` there and never booked as answered.
- No request goes over a connection on which a 5xx came: many services close theirs after one, and what meets
  that end would fail once more for the same reason.
- The caller says which statuses it expects (any 2xx by default), and may say what reads the answer: one that
  cannot be read is an error like any other. Or it decides in a `with` block (`catch_response=True`).
- Each recorded request carries a `traceparent` header (`harness/core/traceparent.py`), by which a wait seen
  in the database is tied to it. A header of that name that the caller gives takes its place.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Container, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from time import time
from typing import Any

import gevent
from locust.event import EventHook
from locust.user import User

from harness.clock import monotonic
from harness.core.bodies import ShapeError
from harness.core.client_limits import Use
from harness.core.operations import OperationOutcome
from harness.core.samples import Outcome
from harness.load.bystanders import bystanders_of
from harness.load.caught_response import CaughtResponse
from harness.load.causes import http_cause, shape_cause
from harness.load.http import HttpClient
from harness.load.http_answer import AnswerError, BrokenAnswerError, ClosedError, Http2Error
from harness.load.http_connection import NotSentError
from harness.load.http_cookies import Cookies
from harness.load.http_response import Response
from harness.load.recorder import recorder

__all__ = ["MeasuredSession", "Reader", "RequestError", "failure_cause", "operation_outcome"]

_OK = Outcome.OK
_NOBODY = EventHook()
_SUCCESS = range(200, 300)
_ACCEPTED = 202
_UNSURE = frozenset({408, 425, 499})
"""Request timeout, too early, client closed request: a proxy gives up on a service that may go on."""
_SERVER_ERROR = 500


Reader = Callable[[Response], object]
"""What looks into an answer whose status was expected; raises ShapeError when it is not what it should be."""


_Flight = tuple[int, str, str, Mapping[str, Any] | None, float, float, float]
"""A request that has ended, and whose outcome is still to be told: its token, method, name and context, and
the instants that it was intended for, sent and ended at, by the monotonic clock.
"""


class RequestError(Exception):
    """Why a request failed, in words without ids or URLs: Locust groups failures by this text."""


class MeasuredSession:
    """One user's requests to the service.

    `due` is the instant the next request is intended for: the user sets it from its schedule before a task,
    and each answer sets it to its own end, so that a task's further requests count from there. A task that
    pauses on purpose between two requests sets it to None, which means the instant of the send. `number` is
    the user's, from 1, as the requests' trace ids have it.
    """

    def __init__(
        self, base_url: str, request_event: EventHook, user: User | None = None, *, verified: bool = True
    ) -> None:
        self.http = HttpClient(base_url, verified=verified, reopened=_count_reopening)
        self._bystanders = bystanders_of(request_event)
        self.user = user
        self.due: float | None = None
        self.number = 0
        self.request_name: str | None = None
        """What requests are called that are given no name."""

    @property
    def base_url(self) -> str:
        """The service's address."""
        return self.http.base_url

    @property
    def verified(self) -> bool:
        """Whether the service's certificate is checked."""
        return self.http.verified

    @property
    def cookiejar(self) -> Cookies:
        """What the service has set."""
        return self.http.cookiejar

    def another(self) -> MeasuredSession:
        """A session with the same service that shares nothing with this one, and tells nobody."""
        return MeasuredSession(self.base_url, _NOBODY, verified=self.verified)

    def close(self) -> None:
        """Close the connections that wait for a request."""
        self.http.close()

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        *,
        catch_response: bool = False,
        expect: Container[int] = _SUCCESS,
        reader: Reader | None = None,
        context: Mapping[str, Any] | None = None,
        **payload: Any,
    ) -> Response:
        """Send one request and record it as intended for `due`, under `name`, `request_name`, or its URL.

        `payload` is any of `headers`, `params`, `data` (bytes, text, or a mapping that is sent as a form),
        `json`, `auth` (a name and a password) and `allow_redirects`. Returns the response whatever became of
        it; `status_code` is 0 when there was none. With `catch_response` it is a CaughtResponse: in its
        `with` block the task decides.
        """
        intended, self.due = self.due, None
        flight, response, cause = self._recorded(
            method, url, name or self.request_name or url, expect, reader, context, intended, payload
        )
        self.due = flight[-1]
        if catch_response:
            return CaughtResponse(response, cause, partial(self._settle, flight))
        self._settle(flight, response, cause)
        return response

    def get(self, url: str, **options: Any) -> Any:
        """Send a GET; the options are those of `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> Any:
        """Send a HEAD."""
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Any) -> Any:
        """Send an OPTIONS."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str, **options: Any) -> Any:
        """Send a DELETE."""
        return self.request("DELETE", url, **options)

    def post(self, url: str, data: Any = None, json: Any = None, **options: Any) -> Any:
        """Send a POST."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str, data: Any = None, **options: Any) -> Any:
        """Send a PUT."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str, data: Any = None, **options: Any) -> Any:
        """Send a PATCH."""
        return self.request("PATCH", url, data=data, **options)

    @contextmanager
    def rename_request(self, name: str) -> Generator[None]:
        """Call the requests of a `with` block by this name, those that are given none."""
        before, self.request_name = self.request_name, name
        try:
            yield
        finally:
            self.request_name = before

    def request_now(
        self,
        method: str,
        url: str,
        name: str | None = None,
        *,
        expect: Container[int] = _SUCCESS,
        reader: Reader | None = None,
        **payload: Any,
    ) -> Response:
        """Like `request`, for what happens beside the user's tasks: intended for now, `due` stays."""
        flight, response, cause = self._recorded(
            method, url, name or url, expect, reader, None, None, payload
        )
        self._settle(flight, response, cause)
        return response

    def unrecorded(
        self,
        method: str,
        url: str,
        *,
        expect: Container[int] = _SUCCESS,  # noqa: ARG002 - taken as `request` does; here nobody judges
        reader: Reader | None = None,  # noqa: ARG002
        **payload: Any,
    ) -> Response:
        """Send one request that is not part of the load: no sample, no event."""
        return self.http.send(method, url, **payload)

    def _recorded(
        self,
        method: str,
        url: str,
        name: str,
        expect: Container[int],
        reader: Reader | None,
        context: Mapping[str, Any] | None,
        intended: float | None,
        payload: Mapping[str, Any],
    ) -> tuple[_Flight, Response, str]:
        """A request that has ended and is not settled, its response, and why it failed if it did."""
        sent = monotonic()
        intended = sent if intended is None else intended
        token = recorder.sent(f"{method} {name}", intended, sent)
        try:
            response = self.http.send(
                method, url, traceparent=recorder.traceparent(token, self.number), **payload
            )
            ended = monotonic()
            as_expected = response.error is None and response.status_code in expect
            cause = "" if as_expected else failure_cause(response, expect)
            if reader is not None and not cause and response.status_code in _SUCCESS:
                cause = _misread(reader, response)
        except Exception as error:
            recorder.answered(token, monotonic(), Outcome.ERROR, type(error).__name__)
            raise
        except gevent.Timeout:  # the task's own
            recorder.answered(token, monotonic(), Outcome.ERROR, _TIMED_OUT)
            raise
        except gevent.GreenletExit:  # the user is stopped
            recorder.cut(token, monotonic())
            raise
        if response.status_code >= _SERVER_ERROR:
            self.http.give_up_connections()
        return (token, method, name, context, intended, sent, ended), response, cause

    def _settle(self, flight: _Flight, response: Response, cause: str) -> None:
        """Record the outcome, and fire Locust's `request` event, so that its figures count as ours do.

        Besides Locust's fields the event has `service_time` and `lag` in milliseconds.
        """
        token, method, name, context, intended, sent, ended = flight
        recorder.answered(token, ended, Outcome.ERROR if cause else _OK, cause)
        told = self.user.context() if self.user is not None else {}
        self._bystanders.tell(
            {
                "request_type": method,
                "name": name,
                "response_time": (ended - intended) * 1e3,
                "response_length": 0 if response.error else len(response.content),
                "response": response,
                "context": {**told, **context} if context else told,
                "exception": RequestError(cause) if cause else None,
                "start_time": time() - (ended - intended),
                "url": response.url,
                "service_time": (ended - sent) * 1e3,
                "lag": (sent - intended) * 1e3,
            }
        )


def _misread(reader: Reader, response: Response) -> str:
    """Why the reader cannot make sense of a response, "" when it can."""
    try:
        reader(response)
    except ShapeError as error:
        return shape_cause(response.status_code, str(error))
    return ""


def _count_reopening() -> None:
    recorder.note("", "", Use.REOPENED)


def failure_cause(response: Response, expect: Container[int] = _SUCCESS) -> str:
    """Why the response is not what was expected: `HTTP 503`, `HTTP 500 (42703)`, `connection refused`.

    Empty when it is.
    """
    if response.error is not None:
        return _transport_cause(response.error)
    if response.status_code in expect:
        return ""
    return http_cause(response.status_code, response.content)


def operation_outcome(response: Response) -> OperationOutcome:
    """What a write's response says about the write. 202 promises nothing: it may be carried out later, or
    never (RFC 9110, 15.3.3).

    Refused by the service (4xx) or never sent: it did not happen. No answer, a broken one, a redirect, a 5xx
    or a 4xx of a proxy that gave up: the service may have carried it out.
    """
    if response.error is not None:
        never_sent = isinstance(response.error, NotSentError)
        return OperationOutcome.FAIL if never_sent else OperationOutcome.INDETERMINATE
    if response.status_code in _SUCCESS and response.status_code != _ACCEPTED:
        return OperationOutcome.OK
    refused = 400 <= response.status_code < 500 and response.status_code not in _UNSURE
    return OperationOutcome.FAIL if refused else OperationOutcome.INDETERMINATE


def _transport_cause(error: BaseException) -> str:
    if isinstance(error, NotSentError):
        error = error.__cause__ or error
    if isinstance(error, ssl.SSLError):
        return _tls_cause(error)
    if isinstance(error, AnswerError):
        return str(error)
    for kinds, cause in _CAUSES:
        if isinstance(error, kinds):
            return cause
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__


def _tls_cause(error: ssl.SSLError) -> str:
    """`TLS failed (Hostname mismatch, certificate is not valid for 'shop')`."""
    reason = getattr(error, "reason", None) or ""  # not every SSLError has one
    said = getattr(error, "verify_message", "") or reason.lower().replace("_", " ")
    return f"TLS failed ({said.removesuffix('.')})"[:_CAUSE_LENGTH] if said else "TLS failed"


_CAUSE_LENGTH = 80
_TIMED_OUT = "timed out"
_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((TimeoutError,), _TIMED_OUT),
    ((ConnectionRefusedError,), "connection refused"),
    ((ConnectionResetError, BrokenPipeError), "connection reset"),
    ((ClosedError,), "connection closed"),
    ((Http2Error,), "HTTP/2 only"),
    ((BrokenAnswerError,), "broken answer"),
    ((socket.gaierror,), "name not resolved"),
)
