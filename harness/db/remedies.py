"""Statements that mend by hand what a migration left, run outside of a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["mend"]


def mend(url: DatabaseUrl, statements: Sequence[str], within_s: float) -> None:
    """Run the statements, each within `within_s`; raises SetupError at the first that fails."""
    try:
        with connect(url, "mul-remedy") as connection:
            connection.execute(sql.SQL("SET statement_timeout = {}").format(round(within_s * 1000)))
            for statement in statements:
                connection.execute(statement.encode())
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(f"The remedy failed: {reason}.") from None
