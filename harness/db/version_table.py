"""The version table: what Alembic wrote down of where a schema is."""

from __future__ import annotations

import psycopg
from psycopg import sql

from harness.core.trace import VersionTable
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["read_versions"]

_NAME_OF = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = %s"
)


def read_versions(url: DatabaseUrl, table: VersionTable) -> tuple[str, ...] | None:
    """The revisions in `table`, sorted; () when there is no such table.

    One whose oid is not known is looked for by its name, on the search path unless it has a schema; None when
    the search path has none, since env.py's may be another. Raises SetupError when it cannot be read.
    """
    name = sql.Identifier(*filter(None, (table.schema, table.name)))
    with connect(url, application_name="mul-migrator", database=table.database) as connection:
        try:
            if table.oid is not None:
                row = connection.execute(_NAME_OF, [table.oid]).fetchone()
                if row is None:
                    return ()
                name = sql.Identifier(*row)
            query = sql.SQL("SELECT version_num FROM {} ORDER BY version_num").format(name)
            return tuple(row[0] for row in connection.execute(query))
        except psycopg.errors.UndefinedTable:
            return None if table.oid is None and table.schema is None else ()
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
