"""The HTTP client: a request goes over the wire once, is answered before its deadline, and comes to one end.

HTTP/1.1 with kept connections on gevent's sockets; no HTTP/2, no proxy. What sets it apart from the clients
that Locust ships, all of which hide an outage:

- No request is sent twice. A kept connection that is found closed before anything was sent is opened anew,
  and `reopened` is told so.
- The deadline is for the request as a whole, from its connection to the end of its answer.
- A redirect is an answer like any other: it could lead the load to a host that no guard has seen. Who asks
  for it (`allow_redirects=True`) is led within the service alone.
- Answers have a bound, certificates are checked, and what could not be read or decoded is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from harness.clock import monotonic
from harness.load.http_answer import Answer, AnswerError
from harness.load.http_connection import PORTS, Connection, NotSentError, Origin, connect
from harness.load.http_cookies import Cookies
from harness.load.http_request import (
    Fields,
    Head,
    basic_auth,
    body_of,
    is_target,
    message,
    refuse,
    target_of,
    without_account,
)
from harness.load.http_response import ENCODINGS, Response, decoded

__all__ = ["CONNECT_S", "DEADLINE_S", "LONGEST_ANSWER", "HttpClient"]

CONNECT_S = 10.0
"""How long the opening of a connection may take, of the request's whole time."""

DEADLINE_S = 60.0
"""How long a request may take in all: longer than the stalls we measure, so that their end is seen."""

LONGEST_ANSWER = 8 * 2**20
"""Bytes of an answer that are read, and of a body that are decoded; a longer one is given up."""

_ABSOLUTE = ("http://", "https://")
_AFTER_A_HOST = frozenset({"", "/", "?", "#"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_BY_GET = frozenset({301, 302, 303})
"""After these a POST goes on as a GET, as it does in browsers (RFC 9110 §15.4)."""


class HttpClient:
    """Requests to one service, and the connections they go over.

    One connection is kept (`kept`); requests that overlap get connections of their own meanwhile. `headers`
    go with every request, a name and password in `base_url` with those to the service. A client belongs to
    one user, whose cookies it keeps.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Fields | None = None,
        deadline_s: float = DEADLINE_S,
        connect_s: float = CONNECT_S,
        most_bytes: int = LONGEST_ANSWER,
        kept: int = 1,
        verified: bool = True,
        reopened: Callable[[], object] = lambda: None,
    ) -> None:
        self.base_url, self._authorization = without_account(base_url.rstrip("/"))
        self.cookiejar = Cookies()
        self.deadline_s = deadline_s
        self._connect_s = connect_s
        self.most_bytes = most_bytes
        self._most_kept = kept
        self.verified = verified
        self._reopened = reopened
        self._headers = headers or {}
        self._services: dict[str, _Service] = {}
        self._home: _Service | None = None
        self._prefix = ""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Fields | None = None,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        allow_redirects: bool = False,
        traceparent: str | None = None,
        **refused: Any,
    ) -> Response:
        """Send a request and return what came of it, an error too; `http_request` says what it takes.

        `url` is a path of the service, or absolute; `auth` a name and a password. Raises ValueError or
        TypeError for what is no request, and TypeError for the options that are `refused`. The end of the
        calling greenlet, or a deadline of its own, passes through.
        """
        if refused:
            refuse(refused)
        if auth is not None:
            headers = {"Authorization": basic_auth(*auth), **(headers or {})}
        body, kind = body_of(data, json)
        at, method = monotonic(), method.upper()
        if self._home is not None and params is None and is_target(url):
            service, target = self._home, f"{self._prefix}{url}"
        else:
            service, path = self._place(url)
            target = target_of(path, params)
        response = self._answered(service, method, target, headers, body, kind, traceparent, at)
        for _ in range(_MOST_REDIRECTS if allow_redirects else 0):
            location = response.headers.get("Location") if response.status_code in _REDIRECTS else None
            onward = _within(service.base, response.url, location)
            if onward is None:
                break
            if response.status_code in _BY_GET and method != "HEAD":
                method, body, kind = "GET", None, None
            target = target_of(onward)
            response = self._answered(service, method, target, headers, body, kind, traceparent, at)
        return response

    def url_of(self, url: str) -> str:
        """The absolute URL of a path of the service; a path that begins with no `/` gets one."""
        if url.startswith(_ABSOLUTE):
            return url
        return f"{self.base_url}{'' if url[:1] in _AFTER_A_HOST else '/'}{url}"

    def give_up_connections(self) -> None:
        """Close the connections that wait for a request; each one counts as opened anew."""
        for service in self._services.values():
            while service.idle:
                service.idle.pop().close()
                self._reopened()

    def close(self) -> None:
        """Close the connections that wait for a request."""
        for service in self._services.values():
            while service.idle:
                service.idle.pop().close()

    def _place(self, url: str) -> tuple[_Service, str]:
        """The service that an URL leads to, and the path there. Raises ValueError."""
        absolute = self.url_of(url)
        parts = urlsplit(absolute)
        base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        service = self._services.get(base)
        if service is None:
            if parts.scheme not in PORTS or not parts.hostname:
                raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is no http:// or https:// address")
            origin = Origin(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])
            own = self._authorization if f"{self.base_url}/".startswith(f"{base}/") else None
            head = Head({"Host": origin.authority, "Authorization": own, **_DEFAULTS, **self._headers})
            service = self._services[base] = _Service(base, origin, head)
        prefix = urlsplit(self.base_url).path
        if absolute is not url and is_target(prefix or "/"):
            self._home, self._prefix = service, prefix
        return service, f"{parts.path}?{parts.query}" if parts.query else parts.path

    def _answered(
        self,
        service: _Service,
        method: str,
        target: str,
        headers: Fields | None,
        body: bytes | None,
        kind: str | None,
        traceparent: str | None,
        at: float,
    ) -> Response:
        """What comes of one message; its deadline counts from the instant `at`."""
        url = f"{service.base}{target}"
        if self.cookiejar.holds_any and (cookies := self.cookiejar.header(url)):
            headers = {"Cookie": cookies, **(headers or {})}
        request = message(method, target, service.head, headers, body, kind, traceparent)
        try:
            answer = self._exchange(service, request, at + self.deadline_s, method == "HEAD")
        except NotSentError as unsent:
            return Response(method=method, url=url, error=unsent, elapsed_s=monotonic() - at)
        content, error = answer.body, answer.error
        if error is not None:
            if isinstance(error, TimeoutError) and answer.status:
                error = AnswerError(f"no end of the answer within {self.deadline_s:g} s")
        elif answer.is_encoded:
            try:
                content = decoded(content, answer.headers, self.most_bytes)
            except AnswerError as failed:
                error = failed
        if answer.sets_cookies:
            self.cookiejar.take(answer.headers, url)
        return Response(
            answer.status,
            content,
            answer.headers,
            method=method,
            url=url,
            error=error,
            elapsed_s=monotonic() - at,
        )

    def _exchange(self, service: _Service, request: bytes, deadline: float, head_only: bool) -> Answer:
        """The answer to a request, sent over a kept connection or one of its own. Raises NotSentError."""
        kept = self._kept(service)
        connection = kept or self._connected(service, deadline)
        try:
            answer = connection.exchange(request, deadline, head_only=head_only)
        except NotSentError:
            if kept is None:
                raise
            self._reopened()
            connection = self._connected(service, deadline)
            answer = connection.exchange(request, deadline, head_only=head_only)
        if answer.keeps:
            if len(service.idle) < self._most_kept:
                service.idle.append(connection)
            else:
                connection.close()
        return answer

    def _kept(self, service: _Service) -> Connection | None:
        """A connection that waited for a request and is still open; those that are not count as reopened."""
        while service.idle:
            connection = service.idle.pop()
            if connection.is_idle():
                return connection
            connection.close()
            self._reopened()
        return None

    def _connected(self, service: _Service, deadline: float) -> Connection:
        by = min(deadline, monotonic() + self._connect_s)
        return connect(service.origin, by, self.most_bytes, verified=self.verified)


_DEFAULTS = {"User-Agent": "migrate-under-load", "Accept": "*/*", "Accept-Encoding": ENCODINGS}


def _within(base: str, url: str, location: object) -> str | None:
    """Where in the service a redirect leads to, None for what leads out of it or is no address."""
    if not isinstance(location, str):
        return None
    try:
        there = urljoin(url, location)
    except ValueError:
        return None
    return there.removeprefix(base) if there.startswith(f"{base}/") else None


@dataclass(frozen=True, slots=True)
class _Service:
    """One service, what every request to it begins with, and the connections that wait for one."""

    base: str
    origin: Origin
    head: Head
    idle: list[Connection] = field(default_factory=list)
