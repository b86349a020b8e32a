"""The HTTP client of our users: FastHttpUser's session, made honest for a run in which the service stalls.

Differences from `locust.contrib.fasthttp.FastHttpSession`:

- A request goes over the wire once, and over no connection on which a 5xx came. geventhttpclient sends GET,
  PUT and DELETE again, up to `concurrency + 1` times, when a connection drops (`geventhttpclient/client.py`,
  `HTTPClient.request`), which hides an outage.
- A kept connection is probed with poll(2). geventhttpclient probes with select(2), which takes every
  descriptor above 1023 for dead (`geventhttpclient/connectionpool.py`, `_is_socket_alive`).
- A request as a whole has a deadline, and its answer a longest length (`harness/load/answers.py`);
  FastHttpSession's timeouts are per socket operation, and it reads whatever comes.
- Latency counts from the instant a request was intended for, and a request is known to the recorder from
  its send on. One that is killed is `unfinished` there and never booked as answered.
- A redirect is not followed: it could lead the load to a host that no guard has seen. It is an answer like
  any other, an error (`HTTP 302`) unless the caller expects it.
- The caller says which statuses it expects (any 2xx by default), and may say what reads the answer: one that
  cannot be read is an error like any other. `catch_response` does not exist.
- Each recorded request carries a `traceparent` header (`harness/core/traceparent.py`), by which a wait seen
  in the database is tied to it. A header of that name that the caller gives takes its place.
"""

from __future__ import annotations

import errno
import json as encoder
import select
import socket
import ssl
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

import gevent
from gevent.monkey import get_original
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from geventhttpclient.url import URL
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, FastHttpSession, FastResponse
from locust.event import EventHook
from locust.user import User

from harness.clock import monotonic, utc_now
from harness.core.bodies import ShapeError
from harness.core.client_limits import Use
from harness.core.operations import OperationOutcome
from harness.core.samples import Outcome
from harness.load.answers import Answer, AnswerError, BoundedConnection
from harness.load.causes import http_cause, shape_cause
from harness.load.recorder import recorder

__all__ = [
    "DEADLINE_S",
    "MeasuredSession",
    "NotSentError",
    "Reader",
    "RequestError",
    "failure_cause",
    "operation_outcome",
]

CONNECT_TIMEOUT_S = 10.0

DEADLINE_S = 60.0
"""How long a request may take in all: longer than the stalls we measure, so that their end is seen."""

# The probe never waits, so the system's own poll does: gevent's starts a watcher, 20 µs instead of 1.
_poll = get_original("select", "poll")

_SUCCESS = range(200, 300)
_UNSURE = frozenset({408, 425, 499})
"""Request timeout, too early, client closed request: a proxy gives up on a service that may go on."""
_ACCEPTED = 202
_SERVER_ERROR = 500
_NEVER_AGAIN = -1


Reader = Callable[[FastResponse], object]
"""What looks into an answer whose status was expected; raises ShapeError when it is not what it should be."""


class RequestError(Exception):
    """Why a request failed, in words without ids or URLs: Locust groups failures by this text."""


class NotSentError(OSError):
    """The connection could not be opened, so the service never saw the request."""


class MeasuredSession(FastHttpSession):
    """One user's connections to the service.

    `due` is the instant the next request is intended for: the user sets it from its schedule before a task,
    and each answer sets it to its own end, so that a task's further requests count from there. A task that
    pauses on purpose between two requests sets it to None, which means the instant of the send. `number` is
    the user's, from 1, as the requests' trace ids have it.
    """

    def __init__(self, base_url: str, request_event: EventHook, user: User | None = None) -> None:
        pool = _Clients(
            connection_timeout=CONNECT_TIMEOUT_S,
            network_timeout=DEADLINE_S,
            concurrency=10,
            insecure=True,
            ssl_context_factory=gevent.ssl._create_unverified_context,
        )
        super().__init__(base_url, request_event, user, client_pool=pool, max_retries=0)
        # Statuses are judged here, by what the caller expects; no exception is raised for one.
        self.client.valid_response_codes = frozenset(range(1000))  # type: ignore[misc]
        self.client.redirect_response_codes = frozenset()  # type: ignore[misc]
        self.client.response_type = Answer  # type: ignore[misc]
        self.due: float | None = None
        self.number = 0

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        name: str | None = None,
        *,
        expect: Container[int] = _SUCCESS,
        reader: Reader | None = None,
        context: Mapping[str, Any] | None = None,
        **payload: Any,
    ) -> FastResponse:
        """Send one request and record it under `name` (the URL without one) as intended for `due`.

        `payload` is any of `headers`, `params`, `data` (bytes, text, or a mapping that is sent as a form) and
        `json`. Returns the response whatever became of it; `status_code` is 0 when there was none.
        """
        intended, self.due = self.due, None
        judged = _Expected(expect, reader)
        response, self.due = self._recorded(method, url, name or url, judged, context, intended, payload)
        return response

    def request_now(
        self,
        method: str,
        url: str,
        name: str | None = None,
        *,
        expect: Container[int] = _SUCCESS,
        reader: Reader | None = None,
        **payload: Any,
    ) -> FastResponse:
        """Like `request`, for what happens beside the user's tasks: intended for now, `due` stays."""
        return self._recorded(method, url, name or url, _Expected(expect, reader), None, None, payload)[0]

    def unrecorded(
        self,
        method: str,
        url: str,
        *,
        expect: Container[int] = _SUCCESS,  # noqa: ARG002 - taken as `request` does; here nobody judges
        reader: Reader | None = None,  # noqa: ARG002
        **payload: Any,
    ) -> FastResponse:
        """Send one request that is not part of the load: no sample, no event."""
        return self._exchange(method, url, **payload)

    def _recorded(
        self,
        method: str,
        url: str,
        name: str,
        expected: _Expected,
        context: Mapping[str, Any] | None,
        intended: float | None,
        payload: Mapping[str, Any],
    ) -> tuple[FastResponse, float]:
        """The response and the instant it ended."""
        sent = monotonic()
        intended = sent if intended is None else intended
        token = recorder.sent(f"{method} {name}", intended, sent)
        try:
            response = self._exchange(
                method, url, traceparent=recorder.traceparent(token, self.number), **payload
            )
        except Exception as error:
            recorder.answered(token, monotonic(), Outcome.ERROR, type(error).__name__)
            raise
        except gevent.Timeout:  # the caller's own deadline
            recorder.answered(token, monotonic(), Outcome.ERROR, "timed out")
            raise
        except gevent.GreenletExit:  # the user is stopped
            recorder.cut(token, monotonic())
            raise
        ended = monotonic()
        if response.status_code >= _SERVER_ERROR:
            self._give_up_connections()
        cause = expected.cause(response)
        recorder.answered(token, ended, Outcome.ERROR if cause else Outcome.OK, cause)
        self._fire(method, url, name, response, cause, context or {}, (intended, sent, ended))
        return response, ended

    def _give_up_connections(self) -> None:
        """Close the kept connections: after a 5xx many services close theirs, and a request that meets that
        end would fail once more for the same reason.
        """
        for client in self.client.clientpool.clients.values():
            client.give_up_connections()  # type: ignore[attr-defined] # they are of the kind below

    def _exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        json: Any = None,
        traceparent: str | None = None,
    ) -> FastResponse:
        fields = {"Accept-Encoding": "gzip, deflate"}
        if traceparent is not None:
            fields["traceparent"] = traceparent
        fields.update(headers or {})
        if json is not None:
            data = encoder.dumps(json)
            fields |= {"Content-Type": "application/json", "Accept": "application/json"}
        with gevent.Timeout(DEADLINE_S) as deadline:
            response = self._send_request_safe_mode(
                method, self._build_url(url), payload=data, headers=fields, params=params
            )
            try:
                response.content  # noqa: B018 - reads the body, which belongs to the request's time
            except FAILURE_EXCEPTIONS as error:
                late = AnswerError(f"no end of the answer within {DEADLINE_S:g} s")
                # as `raise_for_status` looks for it
                response.error = late if error is deadline else error  # type: ignore[attr-defined]
        _pass_on(_error(response), deadline)
        return response

    def _fire(
        self,
        method: str,
        url: str,
        name: str,
        response: FastResponse,
        cause: str,
        context: Mapping[str, Any],
        instants: tuple[float, float, float],
    ) -> None:
        """Locust's `request` event, once, so that its own figures count from the intended start too.

        Besides Locust's fields: `service_time` and `lag` in milliseconds; `intended_at`, `sent_at` and
        `ended_at` on the monotonic clock, by which the recorder knows a sample it has already.
        """
        intended, sent, ended = instants
        self.request_event.fire(
            request_type=method,
            name=name,
            response_time=(ended - intended) * 1e3,
            response_length=len(response.content or b"") if not _error(response) else 0,
            response=response,
            context={**self.user.context(), **context} if self.user else context,
            exception=RequestError(cause) if cause else None,
            start_time=utc_now().timestamp() - (ended - intended),
            url=self._build_url(url),
            service_time=(ended - sent) * 1e3,
            lag=(sent - intended) * 1e3,
            intended_at=intended,
            sent_at=sent,
            ended_at=ended,
        )


class _Expected(NamedTuple):
    """What the caller takes for a good answer."""

    statuses: Container[int]
    reader: Reader | None

    def cause(self, response: FastResponse) -> str:
        """Why the response is none, "" when it is one."""
        if cause := failure_cause(response, self.statuses):
            return cause
        if self.reader is not None and response.status_code in _SUCCESS:
            try:
                self.reader(response)
            except ShapeError as error:
                return shape_cause(response.status_code, str(error))
        return ""


def failure_cause(response: FastResponse, expect: Container[int] = _SUCCESS) -> str:
    """Why the response is not what was expected: `HTTP 503`, `HTTP 500 (42703)`, `connection refused`.

    Empty when it is.
    """
    error = _error(response)
    if error is not None:
        return _transport_cause(error)
    if response.status_code in expect:
        return ""
    return http_cause(response.status_code, response.content or b"")


def operation_outcome(response: FastResponse) -> OperationOutcome:
    """What a write's response says about the write. 202 promises nothing: it may be carried out later, or
    never (RFC 9110, 15.3.3).

    Refused by the service (4xx) or never sent: it did not happen. No answer, a broken one, a redirect, a 5xx
    or a 4xx of a proxy that gave up: the service may have carried it out.
    """
    error = _error(response)
    if error is not None:
        return OperationOutcome.FAIL if isinstance(error, NotSentError) else OperationOutcome.INDETERMINATE
    if response.status_code in _SUCCESS and response.status_code != _ACCEPTED:
        return OperationOutcome.OK
    refused = 400 <= response.status_code < 500 and response.status_code not in _UNSURE
    return OperationOutcome.FAIL if refused else OperationOutcome.INDETERMINATE


def _error(response: FastResponse) -> BaseException | None:
    return getattr(response, "error", None)


def _pass_on(error: BaseException | None, deadline: gevent.Timeout) -> None:
    """Raise the deadline of a caller, which geventhttpclient takes for a failure of the request."""
    origin = getattr(error, "original", None) or error
    if isinstance(origin, gevent.Timeout) and origin is not deadline:
        raise origin


def _transport_cause(error: BaseException) -> str:
    error = getattr(error, "original", None) or error.__cause__ or error
    if isinstance(error, AnswerError):
        return str(error)
    for kinds, cause in _CAUSES:
        if isinstance(error, kinds):
            return cause
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__


_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((gevent.Timeout, TimeoutError), "timed out"),
    ((ConnectionRefusedError,), "connection refused"),
    ((ConnectionResetError, BrokenPipeError), "connection reset"),
    ((HTTPConnectionClosed,), "connection closed"),
    ((HTTPParseError,), "broken answer"),
    ((socket.gaierror,), "name not resolved"),
    ((ssl.SSLError,), "TLS failed"),
)


class _Clients(HTTPClientPool):
    """geventhttpclient's clients, one per host and port, of the kind below."""

    def get_client(self, url: str | URL) -> HTTPClient:
        url = url if isinstance(url, URL) else URL(url)
        key = url.host, url.port
        if key not in self.clients:
            self.clients[key] = _Client.from_url(url, **self.client_args)
        return self.clients[key]


class _Client(HTTPClient):
    """A client that sends a request once, keeps connections on any descriptor, and says what was not sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        pool = self._connection_pool
        # `size` has served its purpose (the semaphore and the queue are made); all that reads it from here on
        # is the count of hidden attempts, `size + 1`.
        pool.size = _NEVER_AGAIN
        pool._is_socket_alive = _is_kept  # type: ignore[method-assign, assignment]
        connect = pool._create_socket

        def connect_or_say_so() -> Any:
            try:
                return BoundedConnection(connect())
            except OSError as error:
                raise NotSentError("not connected") from error

        pool._create_socket = connect_or_say_so  # type: ignore[method-assign]

    def give_up_connections(self) -> None:
        """Close the connections that wait for a request."""
        kept = self._connection_pool._socket_queue
        while not kept.empty():
            kept.get(block=False).close()
            recorder.note("", "", Use.REOPENED)


def _is_kept(kept: socket.socket | None) -> bool:
    """Whether a kept connection may be used; the one that is opened in its place is counted."""
    if _is_idle(kept):
        return True
    recorder.note("", "", Use.REOPENED)
    return False


def _is_idle(kept: socket.socket | None) -> bool:
    """Whether a kept connection is open and has nothing to read; a readable one was closed by the peer."""
    if kept is None or kept.fileno() < 0:
        return False
    waiting = _poll()
    waiting.register(kept.fileno(), select.POLLIN)
    return not waiting.poll(0)
