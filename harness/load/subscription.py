"""A user's subscription: receives its account's changes, and records which came, late, twice or never.

A connection that breaks is made anew and resumes after the last number seen, so a change that was pushed
meanwhile must still come. After the load, each subscription is settled: what the service says was its last
change must have come, too, or a service that falls silent would seem to have missed nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from random import Random

import gevent
from gevent.event import Event
from gevent.pool import Pool

from harness.clock import monotonic, wait_until
from harness.core.bodies import ShapeError
from harness.core.canary import foreign, told
from harness.core.numbering import Arrival, Numbering
from harness.core.record import FinalRead
from harness.core.stream import Message, Stream
from harness.load.auth import Login, LoginError, Send
from harness.load.hooks import on_drop, on_final_read
from harness.load.recorder import recorder
from harness.load.stream_connection import open_stream
from harness.load.valve import valve
from harness.load.websocket import CONNECT_WITHIN_S, Refused, WebSocket, WebSocketEnded

__all__ = ["Subscription", "drop_connections"]

_log = logging.getLogger(__name__)

_BY_THE_LOAD = "ended by the load"

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_SETTLE_WITHIN_S = 2.0
"""How long after the load a last change may still be under way."""
_SETTLED_AT_ONCE = 20
_ALL_SETTLED_WITHIN_S = 6.0

_open: dict[WebSocket, Subscription] = {}
"""The connections of this process, and whose they are."""

_running: set[Subscription] = set()
"""What is to be settled after the load: a subscription counts also while it is without a connection."""


class Subscription:
    """One account's stream of changes. `run` goes on until its greenlet is killed or the valve is closed."""

    def __init__(self, host: str, stream: Stream, login: Login, random: Random) -> None:
        self._host = host
        self._stream = stream
        self._login = login
        self._account = login.account.name
        self._random = random
        self._numbers = Numbering()
        self._number = 0
        self._asked_at = 0.0
        self._first: int | None = None
        self._caught_up_at: int | None = None
        self._left_at: int | None = None
        self._lost_at: float | None = None
        self._counting = False
        self._pause_s = _FIRST_PAUSE_S
        self.subscribed = Event()
        """Set when the service has first greeted: changes from then on are delivered."""

    def run(self) -> None:
        """Receive; connect again whenever the connection breaks."""
        _running.add(self)
        try:
            self._stay_connected()
        except gevent.GreenletExit:
            _running.discard(self)  # the load itself takes its user away
            raise

    def _stay_connected(self) -> None:
        while not valve.closed:
            self._asked_at = monotonic()
            try:
                connection = self._connect(self._numbers.last, self._login.session.request_now)
            except (Refused, LoginError) as error:
                cause = str(error) if isinstance(error, Refused) else f"no login: {error.cause}"
                recorder.websockets.refused(cause)
                if self._number == 0:
                    _warn(f"ws{self._host.removeprefix('http')}{self._stream.path}", cause)
            else:
                self._live(connection)
            self._pause()

    def _pause(self) -> None:
        gevent.sleep(self._pause_s * self._random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _connect(self, last: int | None, send: Send, within_s: float = CONNECT_WITHIN_S) -> WebSocket:
        """A connection on which all is said that the service wants to hear."""
        credentials, session = self._login.credentials(send), self._login.session
        try:
            return open_stream(
                self._stream,
                self._host,
                self._account,
                credentials,
                last=last,
                within_s=within_s,
                verified=session.verified,
            )
        except Refused as refused:
            if refused.status in self._login.auth.refusals:
                self._login.refused(credentials)
            raise
        except WebSocketEnded as end:
            raise Refused(end.cause) from end

    def _live(self, connection: WebSocket) -> None:
        """Receive until the connection ends, however it does."""
        self._number = recorder.websockets.connected()
        _open[connection] = self
        cause = _BY_THE_LOAD
        try:
            self._begin()
            while True:
                self._take(connection.receive())
        except WebSocketEnded as end:
            cause = end.cause
        finally:
            del _open[connection]
            connection.close()
            now = monotonic()
            if self._counting:
                self._lost_at = now
            elif cause != _BY_THE_LOAD:
                recorder.websockets.odd("a connection that was never greeted")
            recorder.websockets.count.missed += self._numbers.give_up()
            recorder.websockets.ended(self._number, self._account, cause, now)

    def _begin(self) -> None:
        self._counting = False
        self._caught_up_at = None
        if self._stream.resume is None and self._numbers.last is not None:
            self._left_at = self._numbers.last
            self._numbers.begin_anew()
        if self._stream.greeting is None:
            self._count_from_now()

    def _count_from_now(self) -> None:
        """The service knows of the connection."""
        if self._counting:
            return
        now = monotonic()
        away_s = None if self._lost_at is None else now - self._lost_at
        self._counting, self._lost_at, self._pause_s = True, None, _FIRST_PAUSE_S
        if away_s is not None and self._stream.greeting is None:
            recorder.websockets.count.resumed = None  # nobody says which changes are older
        recorder.websockets.counts(self._number, self._account, away_s, now)
        self.subscribed.set()

    # messages

    def _take(self, text: str | bytes) -> None:
        now = monotonic()
        recorder.websockets.heard(self._number, now)
        self._check_owner(text if isinstance(text, str) else text.decode(errors="replace"))
        try:
            message = self._stream.read(text)
        except ShapeError as error:
            recorder.websockets.odd(str(error))
            return
        if message.sequence is not None:
            self._count_from_now()
            self._count(message, message.sequence, now)
        elif message.last is not None:
            self._greeted(message.last)
        if message.announcement is not None:
            recorder.websockets.status(message.announcement, self._number, now)

    def _greeted(self, last: int) -> None:
        seen = self._numbers.last
        self._first = last + 1 if seen is None and self._left_at is None else None
        if seen is not None and last < seen:
            recorder.websockets.odd("numbers that go back")
            self._numbers.begin_anew()
        self._caught_up_at = last if seen is not None else None
        self._pass_by(last)
        self._numbers.begin(last)
        self._count_from_now()

    def _check_owner(self, text: str) -> None:
        others = foreign(text, self._account)
        if others:
            recorder.probe(self._account, "canary", "leaked", f"WS showed {told(others)}")
        elif f"canary:{self._account}" in text:
            recorder.read_checked()

    def _count(self, message: Message, number: int, now: float) -> None:
        counts = recorder.websockets.count
        self._pass_by(number - 1)
        arrival = self._numbers.arrive(number)
        if arrival is Arrival.AGAIN:
            counts.duplicated += 1
            return
        if arrival is Arrival.LATE:
            counts.reordered += 1
        if self._caught_up_at is not None and number <= self._caught_up_at and counts.resumed is not None:
            counts.resumed += 1
        recorder.websockets.delivered(message.committed, message.record, now)
        if number == self._first and message.committed is not None:
            recorder.websockets.after(self._asked_at, message.committed)

    def _pass_by(self, last: int) -> None:
        """The stream goes on after `last`, and what came since the account left it is not sent again."""
        if self._left_at is not None:
            recorder.websockets.count.passed += max(last - self._left_at, 0)
            self._left_at = None

    # after the load

    @property
    def tells_its_last(self) -> bool:
        """Whether the service tells the number of an account's latest change."""
        return self._stream.greeting is not None

    def settle(self) -> None:
        """Ask a second connection for the last number, and see whether the first has brought it, or does.

        A first one that ended with the load, as one does with its token, is made anew for what is missing.
        """
        last = self._last_number()
        if last is None or self._numbers.last is None or not self._brings(last):
            recorder.websockets.count.unsettled += 1
            return
        self._numbers.end(last)
        recorder.websockets.count.missed += self._numbers.give_up()
        recorder.websockets.count.settled += 1

    def _brings(self, last: int) -> bool:
        """Wait for the change of that number; False where it is missing and no connection could bring it."""

        def came() -> bool:
            return self._numbers.last is not None and self._numbers.last >= last

        again = gevent.spawn(self._come_back) if not came() and not self._is_open else None
        try:
            return wait_until(came, _SETTLE_WITHIN_S, gevent.sleep) or self._is_open
        finally:
            if again is not None:
                again.kill()

    def _come_back(self) -> None:
        """Resume on a connection of its own, where the service can."""
        if self._stream.resume is not None:
            with suppress(Refused, LoginError):
                send = self._login.session.unrecorded
                self._live(self._connect(self._numbers.last, send, _SETTLE_WITHIN_S))

    @property
    def _is_open(self) -> bool:
        return self in _open.values()

    def _last_number(self) -> int | None:
        """The number of the account's latest change, None where the service does not tell it."""
        last: int | None = None
        with (
            suppress(Refused, LoginError, ShapeError, WebSocketEnded),
            gevent.Timeout(_SETTLE_WITHIN_S, False),
        ):
            send = self._login.session.unrecorded
            connection = self._connect(None, send, _SETTLE_WITHIN_S)
            with closing(connection):
                while last is None:
                    last = self._stream.read(connection.receive()).last
        return last


@on_drop
def drop_connections() -> int:
    """Cut off every connection of this process, as if its network were gone; how many there were."""
    connections = tuple(_open)
    for connection in connections:
        connection.drop()
    return len(connections)


@on_final_read
def _settle_all() -> Iterator[FinalRead]:
    """Settle all before the records are read back; yields none itself."""
    left = {subscription for subscription in _running if subscription.tells_its_last}
    _running.clear()

    def settle(subscription: Subscription) -> None:
        subscription.settle()
        left.discard(subscription)

    pool = Pool(_SETTLED_AT_ONCE)
    with gevent.Timeout(_ALL_SETTLED_WITHIN_S, False):
        for subscription in tuple(left):
            pool.spawn(settle, subscription)
        pool.join()
    pool.kill(block=False)
    recorder.websockets.count.unsettled += len(left)
    yield from ()


@cache
def _warn(url: str, cause: str) -> None:
    """Say once per process that users wait for a stream that does not begin."""
    _log.warning("%s cannot be subscribed to (%s)", url, cause)
