"""What a process leaves in the server when it ends: sessions, their locks, prepared transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["Leftovers", "find_leftovers", "living_backends"]

APPLICATION = "mul-leftovers"


@dataclass(frozen=True)
class Leftovers:
    """How many there are of each."""

    sessions: int
    locks: int
    prepared: int

    def __bool__(self) -> bool:
        return bool(self.sessions or self.locks or self.prepared)


def living_backends(url: DatabaseUrl, pids: Sequence[int]) -> list[int]:
    """Those of `pids` that are sessions now. Raises SetupError when the database does not answer."""
    if not pids:
        return []
    rows = _ask(
        url,
        "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND backend_type = 'client backend'",
        list(pids),
    )
    return sorted(int(str(pid)) for (pid,) in rows)


def find_leftovers(url: DatabaseUrl, application: str, pids: Sequence[int]) -> Leftovers:
    """Of a program that calls itself `application` in this database, or had the sessions `pids`; prepared
    transactions are anybody's. Raises SetupError when the database does not answer.
    """
    [(sessions, locks, prepared)] = _ask(
        url,
        "WITH own AS (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND datname = current_database() AND (application_name = %s OR pid = ANY(%s)))"
        " SELECT (SELECT count(*) FROM own), (SELECT count(*) FROM pg_locks JOIN own USING (pid)),"
        " (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())",
        application,
        list(pids),
    )
    return Leftovers(int(str(sessions)), int(str(locks)), int(str(prepared)))


def _ask(url: DatabaseUrl, query: str, *values: object) -> list[tuple[object, ...]]:
    try:
        with connect(url, application_name=APPLICATION) as connection:
            return connection.execute(query.encode(), values).fetchall()
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(f"The sessions of {url.masked} could not be listed: {reason}.") from None
