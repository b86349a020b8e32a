"""What the observer sees of replicas: through the primary, and of one that it reads itself.

That one is read on a thread of its own, as a replica that hangs must not keep the observer from seeing who
waits on the primary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

import psycopg

from harness.core.observation import ReplicaPoint
from harness.core.replication import Reading, ReplicaFold
from harness.db.guard import connect
from harness.db.observer_reads import Server
from harness.db.observer_sql import REPLAYED
from harness.db.pooling import is_direct
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError

__all__ = ["READ_EVERY_S", "Replicas"]

READ_EVERY_S = 0.5
CONNECT_WITHIN_S = 2
STOP_WITHIN_S = 1.0

LIMITS = ("SET statement_timeout = '2s'", "SET idle_session_timeout = 0")


class Replicas:
    """The replicas of a server; `url` leads to the one that is to be read itself, if any, by sessions called
    `application`. `now` is the clock of the run.
    """

    def __init__(self, url: DatabaseUrl | None, application: str, now: Callable[[], float]) -> None:
        self._now = now
        self._watch = None if url is None else _Watch(url, application, now)
        self._fold = ReplicaFold("" if url is None else _name(url))
        self.lag_s: float | None = None

    def start(self) -> None:
        """Begin to read the replica."""
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """End that; a replica that does not answer is not waited for."""
        if self._watch is not None:
            self._watch.stop()

    def look(self, server: Server, ahead_s: float) -> list[ReplicaPoint]:
        """What the primary tells now, and what was read since; `lag_s` is then the longest known lag.

        Raises psycopg.Error. The primary's clock is `ahead_s` ahead of the run's.
        """
        self.lag_s = None
        position, senders = server.replicas()
        points = self._fold.primary(self._now(), position, senders)
        if self._watch is not None:
            points += [self._fold.replica(reading, ahead_s) for reading in self._watch.take()]
        self.lag_s = max((point.lag_s for point in points if point.lag_s is not None), default=None)
        return points


def _name(url: DatabaseUrl) -> str:
    target = url.resolved()
    return f"{target.peers[0] or 'the local socket'}:{target.port}"


class _Watch:
    """Reads a replica until it is stopped."""

    def __init__(self, url: DatabaseUrl, application: str, now: Callable[[], float]) -> None:
        self._url = url
        self._application = application
        self._now = now
        self._readings: SimpleQueue[Reading] = SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replica", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(STOP_WITHIN_S)

    def take(self) -> list[Reading]:
        """What was read since the last time."""
        found: list[Reading] = []
        while True:
            try:
                found.append(self._readings.get_nowait())
            except Empty:
                return found

    def _run(self) -> None:
        """Connect anew whenever the connection is lost; each failure is a reading that says why."""
        while not self._over.is_set():
            try:
                with connect(self._url, self._application, CONNECT_WITHIN_S) as connection:
                    self._read_on(connection)
            except psycopg.Error as error:
                why = error.diag.message_primary or type(error).__name__
                self._readings.put(Reading(self._now(), why=why))
            except HarnessError as error:
                self._readings.put(Reading(self._now(), why=error.message))
            self._over.wait(READ_EVERY_S)

    def _read_on(self, connection: psycopg.Connection) -> None:
        if is_direct(connection):
            for limit in LIMITS:
                connection.execute(limit)
        else:  # a pooler is between, and would hand what is set or prepared here to others
            connection.prepare_threshold = None
        while not self._over.is_set():
            row = connection.execute(REPLAYED).fetchone()
            if row is not None:
                replayed, replayed_at, conflicts = row
                self._readings.put(Reading(self._now(), replayed, replayed_at, conflicts or {}))
            self._over.wait(READ_EVERY_S)
