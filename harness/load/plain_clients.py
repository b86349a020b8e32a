"""Locust's own clients, watched: their requests are known from the send on, and what they hide is noted.

HttpUser's and FastHttpUser's sessions, and `events.request.measure`, report a request when it has ended, so
one that hangs for ever, or whose user is stopped, would leave no trace.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.client_limits import FAST_HTTP, HTTP, Use
from harness.core.samples import Outcome
from harness.load.recorder import recorder

__all__ = ["watch_plain_clients"]


def watch_plain_clients() -> None:
    """Watch every session of Locust's own clients, and every measurement, of this process."""
    HttpSession.request = _watched(HttpSession.request, HTTP)  # type: ignore[method-assign]
    FastHttpSession.request = _watched(FastHttpSession.request, FAST_HTTP)  # type: ignore[method-assign]
    EventHook.measure = _measured(EventHook.measure)  # type: ignore[method-assign]


def _watched(request: Any, client: str) -> Any:
    """`request` of one of Locust's sessions, known to the recorder from its start."""

    @wraps(request)
    def watched(session: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        now = monotonic()
        token = recorder.sent(f"{method} {_name(session, url, args, options)}", now, now)
        try:
            response = request(session, method, url, *args, **options)
        except gevent.GreenletExit:  # the user is stopped
            recorder.cut(token, monotonic())
            raise
        except gevent.Timeout:  # the task's own deadline, of which Locust makes no event
            recorder.answered(token, monotonic(), Outcome.ERROR, "timed out")
            raise
        finally:
            recorder.forget(token)
        _note(type(session.user).__name__ if session.user else "", client, response, options)
        return response

    return watched


def _name(session: Any, url: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """What the session will call the request."""
    name = options.get("name") or (args[0] if args else None) or session.request_name
    if name or isinstance(session, FastHttpSession):
        return str(name or url)
    parts = urlsplit(url if isinstance(url, str) else url.decode())
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _note(user: str, client: str, response: Any, options: dict[str, Any]) -> None:
    recorder.note(user, client, Use.REQUESTS)
    if client == HTTP and options.get("timeout") is None:
        recorder.note(user, client, Use.NO_DEADLINE)
    if options.get("stream"):
        recorder.note(user, client, Use.STREAMED)
    if followed := len(getattr(response, "history", None) or ()):
        recorder.note(user, client, Use.REDIRECTS, followed)


def _measured(measure: Any) -> Any:
    """`measure` of the request event, known from its start; killed, it is not booked as a success."""

    @wraps(measure)
    @contextmanager
    def measured(hook: EventHook, request_type: str, name: str, *args: Any, **more: Any) -> Generator[Any]:
        now = monotonic()
        token = recorder.sent(f"{request_type} {name}", now, now)
        try:
            with measure(hook, request_type, name, *args, **more) as meta:
                meta["in_flight"] = token
                try:
                    yield meta
                except gevent.GreenletExit as stopped:
                    meta["exception"] = stopped
                    recorder.cut(token, monotonic())
                    raise
        finally:
            recorder.forget(token)

    return measured
