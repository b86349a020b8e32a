"""The PostgreSQL settings that change what a migration does to its users."""

from __future__ import annotations

import psycopg

from harness.db.guard import connect
from harness.db.url import DatabaseUrl

__all__ = ["may_monitor", "read_settings"]

NAMES = (
    "server_version",
    "max_connections",
    "shared_buffers",
    "work_mem",
    "maintenance_work_mem",
    "fsync",
    "synchronous_commit",
    "wal_level",
    "autovacuum",
    "deadlock_timeout",
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "log_lock_waits",
    "default_transaction_isolation",
    "max_parallel_maintenance_workers",
    "compute_query_id",
)
"""https://www.postgresql.org/docs/current/runtime-config.html"""


def read_settings(database_url: str) -> dict[str, str]:
    """The values in force for a new session, as PostgreSQL shows them; raises as `connect` does."""
    with connect(DatabaseUrl.parse(database_url), "migrate-under-load settings") as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(NAMES)]
        )
        return {str(name): str(value) for name, value in rows.fetchall()}


def may_monitor(connection: psycopg.Connection) -> bool:
    """Whether the role sees other roles' sessions (pg_monitor, or superuser).

    https://www.postgresql.org/docs/current/predefined-roles.html
    """
    row = connection.execute("SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE')").fetchone()
    return bool(row and row[0])
