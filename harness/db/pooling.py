"""What a pooler does to a session: in transaction mode it gives each transaction another of PostgreSQL's
processes, and what was set outside of one stays behind in the process, for whoever comes next.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

__all__ = ["backend_of", "is_direct", "set_if_direct"]


def backend_of(connection: psycopg.Connection) -> int:
    """The pid of PostgreSQL's process that serves it now; another than `info.backend_pid` behind a pooler."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return int(row[0]) if row else 0


def is_direct(connection: psycopg.Connection) -> bool:
    """Whether nothing stands between the connection and the process that serves it."""
    return backend_of(connection) == connection.info.backend_pid


def set_if_direct(connection: psycopg.Connection, **settings: int | str) -> None:
    """Set what holds until the connection ends, such as `statement_timeout=0`; behind a pooler nothing."""
    if is_direct(connection):
        for name, value in settings.items():
            connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), value))
