"""A small load on the catalogue's tables, and a client that leaves its transaction open meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from harness.clock import monotonic
from harness.run.migration_episode import MigrationEpisode

__all__ = ["IdleClient", "load"]

EVERY_S = 0.1

INSERT = (
    "INSERT INTO busy (tenant_id, customer_id, qty, amount, code, note, email, status)"
    " VALUES (1, 1, 1, 1, left(md5(random()::text), 12), 'note', 'a@example.com', 'new')"
)
OPERATIONS = (
    "SELECT id, qty, note FROM busy WHERE id = {row}",
    "SELECT id, qty, note FROM busy WHERE tenant_id = 7 LIMIT 5",
    "UPDATE busy SET qty = 1 WHERE id = {row}",
    "UPDATE busy SET amount = 1 WHERE id = {row}",
    INSERT,
    "SELECT name FROM customers WHERE id = 7",
    "SELECT id, note FROM child WHERE id = 7",
    "SELECT title FROM tickets WHERE id = 7",
    "SELECT v FROM pt WHERE id = 7",
    "UPDATE pt SET v = 1 WHERE id = 7",
    "SELECT amount FROM totals WHERE tenant_id = 7",
    "SELECT id FROM open_busy WHERE id = 7",
)
HOT_ROWS = 9_000
"""Clients touch the rows up to here: what waits for the idle client's row has locked theirs before."""

IDLE_IN = (
    "UPDATE busy SET note = note WHERE id = 12000",
    "UPDATE pt SET v = v WHERE id = 2000",
    INSERT,
    "SELECT FROM customers, child, tickets, totals, open_busy LIMIT 1",
)


class _Client(threading.Thread):
    """Sends one operation again and again, at intended instants; reconnects after an error, as pools do."""

    def __init__(self, database: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.errors = Counter[str]()
        self.sent = 0
        self._database = database
        self._operation = OPERATIONS[number]
        self._number = number
        self._stop_asked = stop

    def run(self) -> None:
        intended = monotonic() + EVERY_S * self._number / len(OPERATIONS)
        with psycopg.connect(self._database, autocommit=True, application_name="client") as connection:
            while not self._stop_asked.wait(max(0.0, intended - monotonic())):
                self._send(connection)
                intended += EVERY_S

    def _send(self, connection: psycopg.Connection) -> None:
        row = 1 + (self.sent * 997 + self._number) % HOT_ROWS
        self.sent += 1
        try:
            connection.execute(self._operation.format(row=row), prepare=False)
        except psycopg.Error as error:
            self.errors[error.sqlstate or type(error).__name__] += 1


@contextmanager
def load(database: str) -> Iterator[Counter[str]]:
    """Some 120 operations a second; yields the clients' SQLSTATEs, which are counted when it ends."""
    stop = threading.Event()
    clients = [_Client(database, number, stop) for number in range(len(OPERATIONS))]
    errors = Counter[str]()
    for client in clients:
        client.start()
    try:
        yield errors
    finally:
        stop.set()
        for client in clients:
            client.join(timeout=30)
            errors.update(client.errors)
        assert not any(client.is_alive() for client in clients)
        assert all(client.sent for client in clients)


class IdleClient:
    """A client that has read and written every table and does not end its transaction until the migration has
    waited for it for `KEEPS_S`, or has ended."""

    KEEPS_S = 1.3

    def __init__(self, database: str) -> None:
        self._transaction = psycopg.connect(database, application_name="idle client")
        self._look = psycopg.connect(database, autocommit=True, application_name="mul-catalogue")
        self._waited_since: float | None = None
        for statement in IDLE_IN:
            self._transaction.execute(statement)

    def step(self, episode: MigrationEpisode) -> None:
        """Look whether the migration waits, and end the transaction when it has for long enough."""
        if self._transaction.closed:
            return
        if self._waited_since is None and self._migration_waits():
            self._waited_since = monotonic()
        waited = self._waited_since is not None and monotonic() - self._waited_since >= self.KEEPS_S
        if waited or episode.ended:
            self.close()

    def _migration_waits(self) -> bool:
        row = self._look.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'mul-migration%' AND wait_event_type = 'Lock'"
        ).fetchone()
        return row is not None and row[0] > 0

    def close(self) -> None:
        """End the transaction. Idempotent."""
        if not self._transaction.closed:
            self._transaction.commit()
            self._transaction.close()
            self._look.close()
