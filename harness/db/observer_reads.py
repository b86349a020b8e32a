"""The observer's connection: what it reads of the server, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import ExecStatus

from harness.core.observation import DatabasePoint, Progress
from harness.core.replication import Sender
from harness.core.wait_fold import SessionSeen, Sight
from harness.db import observer_sql as sql
from harness.db.backends import Client
from harness.db.guard import connect
from harness.db.log_messages import shorten
from harness.db.pooling import backend_of
from harness.db.settings import may_monitor
from harness.db.url import DatabaseUrl

__all__ = ["OLDEST_SERVER", "LockRow", "Server", "by_leader"]

OLDEST_SERVER = 140000
"""`server_version_num` of the first release with `pg_locks.waitstart`."""

CONNECT_WITHIN_S = 2
LIMITS = ("SET statement_timeout = '2s'", "SET lock_timeout = '100ms'", "SET idle_session_timeout = 0")
"""A catalog that the migration has locked must not make the observer one more waiter."""

ROUND_TRIPS = 5

ANYONE = b"mul_anyone_waits"
"""The name of the prepared statement."""

TRANSACTION_POOLER = (
    "a connection pooler in transaction mode: SET, LOCK and advisory locks of a session may reach another's"
)
SESSION_POOLER = "a connection pooler or proxy"


class _Lenient(Loader):
    """Text as the server has it, in whatever encoding a session wrote it."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="replace")


@dataclass(frozen=True)
class LockRow:
    """A lock on a relation that a backend of the migration has or waits for."""

    pid: int
    relation_oid: int
    mode: str
    granted: bool


class Server:
    """An autocommit connection that asks and never holds anything. Every method may raise psycopg.Error.

    `transactions` counts its own; `foreign` are sessions of other databases, as far as `sessions` met them,
    `leaders` the leader of each parallel worker among those it was last asked for.
    """

    def __init__(self, connection: psycopg.Connection, application: str, pooler: str) -> None:
        self._connection = connection
        self._application = application
        self._names: dict[int, tuple[str, str]] = {}
        self.pooler = pooler
        self.transactions = 0
        self.foreign: set[int] = set()
        self.leaders: dict[int, int] = {}
        self._asks = False  # whether ANYONE is prepared
        for kind in ("text", "name"):
            connection.adapters.register_loader(kind, _Lenient)
        # Kept, as making one for each poll costs a third of the poll; it copies the adapters of its making.
        self._cursor = connection.cursor()
        if pooler:
            connection.prepare_threshold = None
        elif self.version >= OLDEST_SERVER:
            for limit in LIMITS:
                connection.execute(limit)
        self._database = self._one("SELECT oid::int8 FROM pg_database WHERE datname = current_database()")

    @classmethod
    def connect(cls, url: DatabaseUrl, application: str) -> Self:
        """Connect, and see whether a pooler is between; raises SetupError or psycopg.Error."""

        def another() -> psycopg.Connection:
            return connect(url, application, CONNECT_WITHIN_S)

        connection = another()
        try:
            return cls(connection, application, _pooler(connection, another))
        except BaseException:
            connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def connection(self) -> psycopg.Connection:
        """The connection itself, for reading the log."""
        return self._connection

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    @property
    def version(self) -> int:
        """As 180006."""
        return self._connection.info.server_version

    def why_blind(self) -> str:
        """Why waits and their sessions cannot be seen, with the remedy; empty when they can."""
        if self.version < OLDEST_SERVER:
            return f"PostgreSQL {self.version // 10000} does not tell since when a session waits; 14 does."
        if not may_monitor(self._connection):
            user = psycopg.sql.Identifier(str(self._one("SELECT current_user::text"))).as_string(None)
            return f"The role may not see other roles' sessions. GRANT pg_monitor TO {user};"
        return ""

    def logs_waits(self) -> bool:
        """Whether the server's log tells of every wait of over a second."""
        return bool(self._one(sql.LOGS_WAITS))

    def clock_ahead_s(self, now: Callable[[], float]) -> float:
        """The server's clock, in seconds since the epoch, less `now`; of some round trips the shortest."""
        best: tuple[float, float] | None = None
        for _ in range(ROUND_TRIPS):
            sent = now()
            server = float(self._one(sql.CLOCK))
            received = now()
            measured = (received - sent, server - (sent + received) / 2)
            best = measured if best is None else min(best, measured)
        return 0.0 if best is None else best[1]

    def locks(self, migration: Sequence[int]) -> tuple[list[Sight], list[LockRow]]:
        """Who waits, and the locks on relations of the backends `migration`."""
        if not migration and not self._anyone_waits():
            return [], []
        rows = self._rows(sql.LOCKS, {"database": self._database, "migration": list(migration)})
        names = self.names(row[4] for row in rows)
        waiting = [
            Sight(pid, start, kind, mode, names.get(oid, (None, None))[0], oid, tuple(blocking))
            for pid, granted, kind, mode, oid, start, blocking in rows
            if not granted
        ]
        held = [
            LockRow(pid, oid, mode, granted)
            for pid, granted, kind, mode, oid, *_ in rows
            if pid in migration and kind == "relation"
        ]
        return waiting, held

    def sessions(self, pids: Sequence[int]) -> dict[int, SessionSeen]:
        """What `pg_stat_activity` says of those of `pids` that are not in another database."""
        if not pids:
            return {}
        rows = self._rows(sql.SESSIONS, {"database": self._database, "pids": list(pids)})
        self.foreign |= {row[0] for row in rows if row[-1] is False}
        self.leaders = {row[0]: row[-2] for row in rows if row[-2] is not None}
        return {
            pid: SessionSeen(
                pid, application or "", kind or "", state or "", shorten(query or ""), query_id, age_s
            )
            for pid, application, kind, state, query, query_id, age_s, _, ours in rows
            if ours is not False
        }

    def names(self, oids: Iterable[int | None]) -> dict[int, tuple[str, str]]:
        """Oid → name and kind (`pg_class.relkind`) of the relations that can be seen; remembered."""
        missing = {oid for oid in oids if oid is not None} - self._names.keys()
        if missing:
            rows = self._rows(sql.NAMES, [sorted(missing)])
            self._names |= {oid: (name, kind) for oid, name, kind in rows}
        return self._names

    def clients(self, ahead_s: float) -> list[Client]:
        """The sessions of this database; `ahead_s` is the server's clock less the run's."""
        return [
            Client(
                pid, user or "", application or "", address, port, None if start is None else start - ahead_s
            )
            for pid, user, application, address, port, start in self._rows(sql.CLIENTS)
        ]

    def progress(self, at: float, pids: Sequence[int]) -> list[Progress]:
        """What commands of these backends report of themselves."""
        rows = self._rows(sql.PROGRESS, {"pids": list(pids)})
        names = self.names(row[3] for row in rows)
        return [
            Progress(at, pid, command, phase, ratio, names.get(oid, (None, None))[0], locker)
            for pid, command, phase, oid, locker, ratio in rows
        ]

    def point(self, at: float) -> DatabasePoint:
        """The database now; counters as the server has them."""
        (row,) = self._rows(sql.POINT, {"own": self._application})
        sessions, waiting, oldest_s, deadlocks, temp, commits, rollbacks, wal, slot = row
        return DatabasePoint(
            at=at,
            sessions=sessions,
            waiting=waiting,
            oldest_transaction_s=oldest_s,
            deadlocks=deadlocks,
            temp_bytes=temp,
            commits=commits,
            rollbacks=rollbacks,
            wal_bytes=wal,
            slot_bytes=slot,
        )

    def replicas(self) -> tuple[int | None, list[Sender]]:
        """The position of the WAL, None on a server that is a replica itself, and who replays it."""
        rows = self._rows(sql.REPLICAS)
        senders = [
            Sender(pid, name or "", address or "", *rest) for _, pid, name, address, *rest in rows if pid
        ]
        return rows[0][0], senders

    def _anyone_waits(self) -> bool:
        """The question of every poll, by libpq itself: psycopg's cursor takes four times as long for it."""
        if self.pooler:
            return True
        self.transactions += 1
        link = self._connection.pgconn
        if not self._asks:
            self._asks = link.prepare(ANYONE, sql.ANYONE_WAITS.encode()).status == ExecStatus.COMMAND_OK
        answer = link.exec_prepared(ANYONE, [])
        if answer.status != ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(answer.get_error_message())
        return answer.ntuples > 0

    def _rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        self.transactions += 1
        prepare = None if self.pooler else True
        return self._cursor.execute(query, parameters, prepare=prepare).fetchall()

    def _one(self, query: str) -> Any:
        ((value,),) = self._rows(query)
        return value


def by_leader(sights: Iterable[Sight], leaders: Mapping[int, int]) -> list[Sight]:
    """The sights with what parallel workers wait for as their leader's; of several of one leader the longest.

    `pg_blocking_pids()` names leaders already, a worker's own leader among them and one more than once
    (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION).
    """
    found: dict[int, Sight] = {}
    for sight in sights:
        pid = leaders.get(sight.pid, sight.pid)
        blocking = tuple(dict.fromkeys(blocker for blocker in sight.blocking if blocker != pid))
        one = replace(sight, pid=pid, blocking=blocking)
        found[pid] = min(found.get(pid, one), one, key=_since)
    return list(found.values())


def _since(sight: Sight) -> float:
    return float("inf") if sight.waitstart is None else sight.waitstart


def _pooler(connection: psycopg.Connection, another: Callable[[], psycopg.Connection]) -> str:
    """What stands between, told by the pid: a pooler makes one up when a client connects.

    A client whose backend changes shares it with others, transaction by transaction, as do two clients that
    are open at once and yet are served by one.
    """
    serving = backend_of(connection)
    if serving == connection.info.backend_pid:
        return ""
    if backend_of(connection) != serving:
        return TRANSACTION_POOLER
    with another() as second:
        shared = backend_of(second) == serving or backend_of(connection) != serving
    return TRANSACTION_POOLER if shared else SESSION_POOLER
