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
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from harness.run.http import open_url

__all__ = ["Announcer"]

log = logging.getLogger("harness.announcer")


class Announcer:
    """Announces as the account `name`, which the service grants the scope `migration_test`."""

    def __init__(self, host: str, name: str, password: str, timeout_s: float = 5.0) -> None:
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

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                self._post(
                    "/migration-events", json.dumps(message).encode(), "application/json", self._bearer()
                )
            except (OSError, HTTPException, ValueError, KeyError) as error:
                self._token = None  # it may have expired
                log.warning("An announcement was not taken: %s", type(error).__name__)

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
