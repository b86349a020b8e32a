"""Tells the service under test's users what the migration is doing, through `POST /migration-events`.

Announcements go through a thread of their own (a greenlet where gevent has patched the library): the service
may be stuck behind the very lock that is announced, and the controller must not wait for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from harness.clock import monotonic
from harness.core.events import Kind
from harness.core.stream import ANNOUNCEMENT
from harness.run.http import open_url

__all__ = ["Announcer"]

log = logging.getLogger("harness.announcer")


class Announcer:
    """Announces as the account `name`, which the service grants the scope `migration_test`.

    `note(kind, at, **data)` writes each announcement down, with the run instant of its send; run time counts
    from the `clock.monotonic()` instant `zero`.
    """

    def __init__(
        self,
        host: str,
        name: str,
        password: str,
        note: Callable[..., object],
        zero: float,
        timeout_s: float = 5.0,
    ) -> None:
        self._note = note
        self._zero = zero
        self._announced = 0
        self._closed = False
        self._host = host
        self._credentials = {"grant_type": "password", "username": name, "password": password}
        self._timeout_s = timeout_s
        self._token: str | None = None
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(maxsize=1000)
        self._thread = threading.Thread(target=self._work, name="announcer", daemon=True)
        self._thread.start()

    def announce(self, status: str, **what: Any) -> None:
        """Queue one announcement; when a thousand are waiting, further ones are dropped and logged."""
        try:
            self._waiting.put_nowait({"status": status, **what})
        except queue.Full:
            log.warning("The service does not take announcements; one was dropped.")

    def close(self, within_s: float = 2.0) -> None:
        """Send what is queued, for at most `within_s` seconds."""
        with contextlib.suppress(queue.Full):  # nobody takes them: the thread is a daemon and may be left
            self._waiting.put_nowait(None)
        self._thread.join(within_s)
        self._closed = True

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            self._send(message)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._announced += 1
        numbered = {**message, ANNOUNCEMENT: self._announced}
        error: str | None = None
        sent = monotonic()
        try:
            bearer = self._bearer()
            sent = monotonic()
            self._post("/migration-events", json.dumps(numbered).encode(), "application/json", bearer)
        except (OSError, HTTPException, ValueError, KeyError) as failure:
            self._token = None  # it may have expired
            error = type(failure).__name__
            log.warning("An announcement was not taken: %s", error)
        if self._closed:  # the record is, too
            return
        self._note(
            Kind.ANNOUNCED,
            sent - self._zero,
            number=self._announced,
            status=message["status"],
            took_s=round(monotonic() - sent, 6),
            error=error,
        )

    def _bearer(self) -> str:
        if self._token is None:
            form = urllib.parse.urlencode({**self._credentials, "scope": "migration_test"}).encode()
            answer = self._post("/token", form, "application/x-www-form-urlencoded")
            self._token = str(json.loads(answer)["access_token"])
        return self._token

    def _post(self, path: str, body: bytes, kind: str, bearer: str | None = None) -> bytes:
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        request = urllib.request.Request(self._host + path, body, headers)
        with open_url(request, self._timeout_s) as answer:
            return bytes(answer.read())
