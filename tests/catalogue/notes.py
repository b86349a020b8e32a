"""A service of one table and one account, whose writes the ledger knows, and the turnstile where a migration
waits for them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Self

import psycopg

from harness.clock import monotonic
from harness.core.blocks import Block
from harness.core.canary import make_text, read_text
from harness.core.events import Kind
from harness.core.operations import (
    KeyNumbers,
    OperationKind,
    OperationOutcome,
    draft_operation,
    pack_operations,
)
from harness.core.record import FinalRead, Found
from harness.load.messages import final_read_line
from harness.run.migration_episode import MigrationEpisode
from tests.catalogue.migrating import Upgrade

__all__ = ["Notes", "Turnstile", "Writer"]

ACCOUNT = "ada"
OPTIONS = "-c statement_timeout=20s"

TABLE = "CREATE TABLE notes (id uuid PRIMARY KEY, version int NOT NULL, title text NOT NULL)"
CREATE = "INSERT INTO notes (id, version, title) VALUES (%(id)s, %(version)s, %(title)s)"
UPDATE = "UPDATE notes SET version = %(version)s, title = %(title)s WHERE id = %(id)s"
DELETE = "DELETE FROM notes WHERE id = %(id)s"
SQL = {OperationKind.CREATE: CREATE, OperationKind.UPDATE: UPDATE, OperationKind.DELETE: DELETE}


class Writer(threading.Thread):
    """One write, sent by a statement that its connection had prepared before the migration began."""

    def __init__(self, database: str, run: str, kind: OperationKind, key: uuid.UUID, version: int) -> None:
        super().__init__(daemon=True)
        self.kind, self.key, self.version = kind, key, version
        self.invoked = self.ended = 0.0
        self.outcome = OperationOutcome.INDETERMINATE
        self._title = make_text(ACCOUNT, run, version)
        self._connection = psycopg.connect(database, autocommit=True, options=OPTIONS)
        with self._connection.transaction(force_rollback=True):
            self._send(uuid.uuid4())

    def run(self) -> None:
        """Write; an answer without an error is an acknowledgement."""
        with self._connection:
            self.invoked = monotonic()
            self._send(self.key)
            self.ended = monotonic()
            self.outcome = OperationOutcome.OK

    def _send(self, key: uuid.UUID) -> None:
        values = {"id": key, "version": self.version, "title": self._title}
        self._connection.execute(SQL[self.kind], values, prepare=True)


class Reader:
    """A read whose snapshot is taken when it begins, and which looks for its record when it ends."""

    kind = OperationKind.READ
    outcome = OperationOutcome.OK
    version = 0

    def __init__(self, database: str, key: uuid.UUID) -> None:
        self.key = key
        self.shown = -1
        self.invoked = self.ended = 0.0
        self._connection = psycopg.connect(database)
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

    def __enter__(self) -> Self:
        self.invoked = monotonic()
        self._connection.execute("SELECT")
        return self

    def __exit__(self, *_: object) -> None:
        with self._connection:
            found = self._connection.execute("SELECT count(*) FROM notes WHERE id = %s", [self.key])
            [self.shown] = found.fetchone() or (-1,)
        self.ended = monotonic()


class Notes:
    """The service on `upgrade`'s database; its operations go to the upgrade's run directory."""

    def __init__(self, upgrade: Upgrade) -> None:
        self._upgrade = upgrade
        self._sent: list[Writer | Reader] = []
        with psycopg.connect(upgrade.database) as connection:
            connection.execute(TABLE)

    def write(self, kind: OperationKind, key: uuid.UUID | None = None, version: int = 1) -> Writer:
        """A write that is not yet sent; to a new note, unless `key` is given."""
        writer = Writer(self._upgrade.database, self._run, kind, key or uuid.uuid4(), version)
        self._sent.append(writer)
        return writer

    def read(self, key: uuid.UUID) -> Reader:
        """A read of a note, which lasts as long as its `with`."""
        reader = Reader(self._upgrade.database, key)
        self._sent.append(reader)
        return reader

    def create(self) -> uuid.UUID:
        """Create a note, acknowledged; returns its key."""
        writer = self.write(OperationKind.CREATE)
        writer.run()
        return writer.key

    def record(self) -> None:
        """Write down every operation, and what the service shows at the end."""
        upgrade = self._upgrade
        upgrade.note(Kind.WORKER_JOINED, 0.0, worker="w1", base_at=0.0)
        keys = KeyNumbers()
        packed = pack_operations(b"".join(self._draft(sent, keys[sent.key.int]) for sent in self._sent))
        block = Block("w1", 0, len(self._sent), packed, {"accounts": {"0": ACCOUNT}}, keys.take())
        upgrade.directory.append_block("operations", block.encode())
        upgrade.note(Kind.WORKER_FINAL, worker="w1", operations=1, samples=0)
        upgrade.directory.append_line("final_read.ndjson.gz", final_read_line(self._read_back()))
        upgrade.directory.close()

    @property
    def _run(self) -> str:
        return self._upgrade.directory.run_id

    def _draft(self, sent: Writer | Reader, key: int) -> bytes:
        zero = self._upgrade.zero
        shown = sent.shown if isinstance(sent, Reader) else 0
        instants = sent.invoked - zero, sent.ended - zero
        return draft_operation(0, sent.kind, sent.outcome, sent.version, *instants, key, shown)

    def _read_back(self) -> FinalRead:
        with psycopg.connect(self._upgrade.database) as connection:
            rows = connection.execute("SELECT id::text, version, title FROM notes ORDER BY id").fetchall()
        told = tuple(Found(key, version, ACCOUNT, _claimed(title)) for key, version, title in rows)
        return FinalRead(ACCOUNT, monotonic() - self._upgrade.zero, told, worker="w1")


def _claimed(title: str) -> int | None:
    says = read_text(title)
    return None if says is None else says.version


class Turnstile:
    """Where the migration waits until every write that was sent meanwhile is done or waits for it."""

    def __init__(self, database: str, writers: Sequence[Writer]) -> None:
        self._writers = writers
        self._begun = False
        self.waited = 0
        self._lock = psycopg.connect(database, autocommit=True, application_name="turnstile")
        self._lock.execute("SELECT pg_advisory_lock(hashtext('pause'))")

    def step(self, _: MigrationEpisode) -> None:
        """Send the writes when the migration has come, and let it go on when they are done or wait."""
        if self._lock.closed:
            return
        if not self._begun and self._waiting("locktype = 'advisory'"):
            self._begun = True
            for writer in self._writers:
                writer.start()
        alive = sum(writer.is_alive() for writer in self._writers)
        if self._begun and alive == self._waiting("locktype <> 'advisory'"):
            self.waited = alive
            self.close()

    def close(self) -> None:
        """Let the migration go on, and wait for the writes. Idempotent."""
        self._lock.close()
        for writer in self._writers if self._begun else ():
            writer.join(timeout=30)

    def _waiting(self, condition: str) -> int:
        row = self._lock.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            f" WHERE datname = current_database() AND NOT granted AND {condition}"
        ).fetchone()
        return 0 if row is None else int(row[0])
