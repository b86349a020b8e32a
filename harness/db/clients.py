"""A database's sessions as drills deal with them: ended at once, counted, and one that keeps its locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["HeldReader", "LeftOpen", "end_clients", "read_left_open"]

_OURS = "mul-%"
# A role that may not see another's session is shown nothing but its pid and its database.
_CLIENTS = """
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND coalesce(backend_type, 'client backend') = 'client backend'
    AND coalesce(application_name, '') NOT LIKE %(ours)s
"""
_END = "SELECT pg_terminate_backend(pid) AS ended " + _CLIENTS + " AND NOT pid = ANY(%(spared)s)"
_LEFT = (
    "SELECT count(*), count(*) FILTER (WHERE extract(epoch FROM now() - xact_start)"
    " BETWEEN %(older)s AND %(since)s),"
    " count(*) FILTER (WHERE wait_event_type = 'Lock'"
    " AND extract(epoch FROM now() - query_start) > %(older)s),"
    " count(*) FILTER (WHERE backend_type IS NULL),"
    " (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
    f" AND extract(epoch FROM now() - prepared) < %(since)s) {_CLIENTS}"
)
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relpersistence = 'p' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1, 2
"""


@dataclass(frozen=True)
class LeftOpen:
    """Clients' sessions of a database, how many of them have had a transaction open for long or have long
    waited for a lock, and prepared transactions, which outlive their sessions.
    """

    sessions: int
    long_transactions: int
    waiting: int
    prepared: int


def end_clients(url: DatabaseUrl, spared: Sequence[int] = ()) -> int:
    """`pg_terminate_backend` for every client of the database but the harness's own and those `spared`;
    returns how many there were. Raises SetupError when the role may not do it.
    """
    try:
        with connect(url, "mul-drill terminate-backends") as connection:
            rows = connection.execute(_END, {"ours": _OURS, "spared": list(spared)}).fetchall()
    except psycopg.Error as error:
        user = url.resolved().user
        raise SetupError(
            f"The backends of {url.masked} could not be ended as {user}: {_reason(error)}.",
            f"GRANT pg_signal_backend TO {user}; the backends of superusers only a superuser may end.",
        ) from None
    return sum(bool(ended) for (ended,) in rows)


def read_left_open(url: DatabaseUrl, older_s: float, since_s: float) -> LeftOpen:
    """What clients have open now, of the last `since_s` seconds; transactions and waits are long after
    `older_s`.

    Raises SetupError when the database does not answer, or not of all sessions.
    """
    try:
        with connect(url, "mul-drill what is left") as connection:
            row = (
                connection.execute(_LEFT, {"ours": _OURS, "older": older_s, "since": since_s}).fetchone()
                or (0,) * 5
            )
    except psycopg.Error as error:
        raise SetupError(f"The sessions of {url.masked} could not be counted: {_reason(error)}.") from None
    sessions, long_transactions, waiting, hidden, prepared = row
    if hidden:
        user = url.resolved().user
        raise SetupError(
            f"{user} may not see {hidden} sessions of {url.masked}.", f"GRANT pg_monitor TO {user}."
        )
    return LeftOpen(sessions, long_transactions, waiting, prepared)


class HeldReader:
    """A session that has read tables and stays idle in its transaction: it keeps ACCESS SHARE on all of them,
    as `pg_dump` does, or a report whose user has gone to lunch.
    """

    def __init__(self, connection: psycopg.Connection, pid: int, tables: tuple[str, ...]) -> None:
        self._connection = connection
        self.pid = pid
        self.tables = tables

    @classmethod
    def begin(cls, url: DatabaseUrl, table: str | None = None) -> HeldReader:
        """Read `table` (`name` or `schema.name`), or every table that the role may read.

        Raises SetupError when there is none, or the database does not answer.
        """
        connection = connect(url, "mul-drill hold-reader")
        try:
            names = _named(table) if table else connection.execute(_TABLES).fetchall()
            if not names:
                raise SetupError(f"{url.masked} has no table that a reader could hold.")
            connection.execute("BEGIN READ ONLY")
            # Otherwise a server that ends idle transactions would end the drill before its time.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.execute("SET LOCAL lock_timeout = '5s'")
            for name in names:
                connection.execute(
                    sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(sql.Identifier(*name))
                )
        except psycopg.Error as error:
            connection.close()
            what = table or "the tables"
            raise SetupError(f"A reader could not hold {what} of {url.masked}: {_reason(error)}.") from None
        except BaseException:
            connection.close()
            raise
        return cls(connection, connection.info.backend_pid, tuple(".".join(name) for name in names))

    def holds(self) -> bool:
        """Whether its transaction is still open: somebody may have ended the session."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return self._connection.info.transaction_status is TransactionStatus.INTRANS

    def end(self) -> None:
        """Let go. Idempotent."""
        self._connection.close()


def _named(table: str) -> list[tuple[str, ...]]:
    return [tuple(table.split("."))]


def _reason(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__
