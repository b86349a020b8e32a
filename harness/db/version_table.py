"""The version table: what Alembic wrote down of where a schema is."""

from __future__ import annotations

import psycopg
from psycopg import sql

from harness.core.trace import VersionTable
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["read_versions"]

_SCHEMA = "SELECT nspname FROM pg_namespace WHERE oid = %s"


def read_versions(url: DatabaseUrl, table: VersionTable) -> tuple[str, ...] | None:
    """The revisions in `table`, sorted; () when there is no such table.

    Where the schema is not known it is looked for on the search path; None when that has none, since env.py's
    may be another. Raises SetupError when it cannot be read.
    """
    name = sql.Identifier(*filter(None, (table.schema, table.name)))
    with connect(url, application_name="mul-migrator", database=table.database) as connection:
        try:
            if table.schema_oid is not None:
                row = connection.execute(_SCHEMA, [table.schema_oid]).fetchone()
                if row is None:
                    return ()
                name = sql.Identifier(row[0], table.name)
            query = sql.SQL("SELECT version_num FROM {} ORDER BY version_num").format(name)
            return tuple(row[0] for row in connection.execute(query))
        except psycopg.errors.UndefinedTable:
            return None if table.schema_oid is None and table.schema is None else ()
        except psycopg.Error as error:
            raise _unreadable(url, name, error) from None


def _unreadable(url: DatabaseUrl, name: sql.Identifier, error: psycopg.Error) -> SetupError:
    table = name.as_string(None)
    user = sql.Identifier(url.resolved().user).as_string(None)
    reason = error.diag.message_primary or type(error).__name__
    remedy = "Look at the server's log."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        schema, dot, _ = table.rpartition(".")
        usage = f"GRANT USAGE ON SCHEMA {schema} TO {user}; " if dot else ""
        remedy = f"Give the role the right: {usage}GRANT SELECT ON {table} TO {user}"
    return SetupError(f"The version table {table} cannot be read: {reason}.", remedy)
