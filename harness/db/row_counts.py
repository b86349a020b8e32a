"""How many rows each table has, counted."""

from __future__ import annotations

import psycopg
from psycopg import sql

from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["count_rows"]

_TABLES = (
    "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE relkind IN ('r', 'p') AND NOT relispartition AND relpersistence <> 't'"
    " AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
)


def count_rows(url: DatabaseUrl, within_s: float) -> dict[str, int]:
    """The rows of every table by its name, with the schema before it unless that is `public`.

    Raises SetupError when one cannot be counted within `within_s`, or not be read.
    """
    try:
        with connect(url, application_name="mul-counting") as connection:
            return {
                name if schema == "public" else f"{schema}.{name}": _count(connection, schema, name, within_s)
                for schema, name in connection.execute(_TABLES).fetchall()
            }
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(f"The rows of {url.masked} could not be counted: {reason}.") from None


def _count(connection: psycopg.Connection, schema: str, name: str, within_s: float) -> int:
    limit = sql.SQL("SET LOCAL statement_timeout = {}").format(round(within_s * 1000))
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
    with connection.transaction():
        connection.execute(limit)
        row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])
