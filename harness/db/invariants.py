"""Asks a database the queries that must return no row, as somebody who may only read."""

from __future__ import annotations

import psycopg

from harness.core.invariants import Answer
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["ask"]

APPLICATION = "mul-invariant"
"""The errors of sessions called so are the harness's own, and none of the service."""

WITHIN_S = 30.0
EXAMPLES = 3
LONGEST = 200
"""Characters of an example, at most."""

SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    f"SET LOCAL statement_timeout = '{WITHIN_S:g}s'",
    "SET LOCAL lock_timeout = '5s'",
)

COUNT = f"""
    SELECT count(*), coalesce(json_agg(told.line) FILTER (WHERE told.n <= {EXAMPLES}), '[]')
    FROM (SELECT row_to_json(found)::text AS line, row_number() OVER () AS n FROM (
{{query}}
    ) AS found) AS told
"""
"""As a subquery it can be nothing but a query: data-modifying statements are refused there, whatever the role
may do (https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING)."""

MISSING = ("42P01", "42703", "42883", "42704", "3F000")
"""SQLSTATE of a table, column, function, type or schema that does not exist."""


def ask(url: DatabaseUrl, query: str) -> Answer:
    """How many rows `query` returns, and some of them. Never raises for what the database answers, or not."""
    try:
        with connect(url, APPLICATION) as connection, connection.transaction():
            for setting in SETTINGS:
                connection.execute(setting)
            # Prepared, it is one statement: several in one string are refused (42601).
            text = COUNT.format(query=query)
            [rows, lines] = connection.execute(text, prepare=True).fetchone() or (0, [])
            return Answer(int(rows), tuple(line[:LONGEST] for line in lines))
    except SetupError as error:
        return Answer(None, error=error.message)
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        return Answer(None, error=reason, missing=error.sqlstate in MISSING)
