"""A user's WebSocket: receives its account's changes and records which came, late, twice or never.

A connection that breaks is made anew and resumes after the last number seen, so a change that was pushed
meanwhile must still come. Delays are this machine's wall clock minus the service's `committed_at`: with the
service on another machine they contain the offset of the two clocks.
"""

from __future__ import annotations

import json
import logging
from enum import Enum
from functools import cache
from random import Random
from typing import Any

import gevent
from gevent.event import Event
from websocket import (
    WebSocket,
    WebSocketBadStatusException,
    WebSocketException,
    WebSocketTimeoutException,
    create_connection,
)

from harness.clock import utc_now
from harness.core.canary import foreign
from harness.load.auth import Login, LoginError
from harness.load.recorder import recorder
from harness.load.valve import valve

__all__ = ["Arrival", "Numbering", "Subscription"]

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 10.0
_SILENCE_S = 30.0
"""After so long without a frame the peer is asked for a sign of life; after twice that it is given up."""
_CLOSE_TIMEOUT_S = 1
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Arrival(Enum):
    """How a numbered message came."""

    IN_ORDER = "in order"
    LATE = "after a later one"
    AGAIN = "a second time"


class Numbering:
    """Which numbers of a stream have come. `last` is the highest, None before the stream has begun."""

    def __init__(self) -> None:
        self.last: int | None = None
        self._absent: set[int] = set()

    def begin(self, last: int) -> None:
        """The stream goes on after `last`; has no effect on a stream that has begun."""
        if self.last is None:
            self.last = last

    def arrive(self, number: int) -> Arrival:
        """Take note of a message."""
        if self.last is None or number > self.last:
            self._absent.update(range(number if self.last is None else self.last + 1, number))
            self.last = number
            return Arrival.IN_ORDER
        if number in self._absent:
            self._absent.remove(number)
            return Arrival.LATE
        return Arrival.AGAIN

    def give_up(self) -> int:
        """How many numbers were left out for good, once nothing more can come; they are counted once."""
        absent, self._absent = self._absent, set()
        return len(absent)


class Subscription:
    """One account's stream of changes. `run` goes on until its greenlet is killed or the valve is closed."""

    def __init__(self, host: str, path: str, login: Login, random: Random) -> None:
        self._url = f"ws{host.removeprefix('http')}{path}"
        self._login = login
        self._account = login.account.name
        self._random = random
        self._numbers = Numbering()
        self._connections = 0
        self._pause_s = _FIRST_PAUSE_S
        self.subscribed = Event()
        """Set when the service has first greeted: changes from then on are delivered."""

    def run(self) -> None:
        """Receive; connect again whenever the connection breaks."""
        while not valve.closed:
            try:
                self._connect_and_receive()
            except (WebSocketException, OSError, LoginError) as error:
                if not self._connections:
                    _warn(self._url, "cannot be subscribed to", type(error).__name__)
                self._pause()
            except (KeyError, TypeError, ValueError) as error:
                _warn(self._url, "sent a message of unknown shape", type(error).__name__)
                self._pause()

    def _pause(self) -> None:
        gevent.sleep(self._pause_s * self._random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _connect_and_receive(self) -> None:
        connection = self._connect()
        recorder.websocket_opened()
        try:
            if self._connections:
                recorder.websocket_reconnected()
            self._connections += 1
            self._receive(connection)
        finally:
            recorder.websocket_closed()
            recorder.websocket_missed(self._numbers.give_up())
            connection.close(timeout=_CLOSE_TIMEOUT_S)

    def _connect(self) -> WebSocket:
        credentials = self._login.credentials(self._login.session.request_now)
        resume = "" if self._numbers.last is None else f"?after={self._numbers.last}"
        try:
            # The token goes into a header: servers and proxies write query strings into their logs.
            return create_connection(
                self._url + resume,
                timeout=_CONNECT_TIMEOUT_S,
                header=credentials.headers_for("GET"),
                http_no_proxy=["*"],
            )
        except WebSocketBadStatusException as error:
            if error.status_code == 401:
                self._login.refused(credentials)
            raise

    def _receive(self, connection: WebSocket) -> None:
        connection.settimeout(_SILENCE_S)
        asked = False
        while True:
            try:
                message = connection.recv()
            except WebSocketTimeoutException:
                if asked:
                    raise
                connection.ping()
                asked = True
                continue
            asked = False
            if message:  # an empty one announces the peer's close; the next recv() raises
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "welcome":
            self._pause_s = _FIRST_PAUSE_S
            self._numbers.begin(message["last_seq"])
            self.subscribed.set()
        elif message["type"] == "change":
            self._check_owner(message["canary"])
            self._count(message)

    def _check_owner(self, canary: str) -> None:
        others = foreign(canary, self._account)
        if others:
            recorder.probe(self._account, "canary", "leaked", f"WS showed {', '.join(sorted(others))}")
        else:
            recorder.read_checked()

    def _count(self, message: dict[str, Any]) -> None:
        arrival = self._numbers.arrive(message["seq"])
        if arrival is Arrival.AGAIN:
            recorder.websocket_duplicated()
            return
        if arrival is Arrival.LATE:
            recorder.websocket_reordered()
        recorder.websocket_delivered(utc_now().timestamp() - message["committed_at"])


@cache
def _warn(url: str, what: str, cause: str) -> None:
    """Say once per process what the counts do not show."""
    _log.warning("%s %s (%s)", url, what, cause)
