"""Fresh copies of the database as it is before the migration, one after the other.

the reference service   a template of its own beside the service's database, seeded as that was
--recreate-database     the template that the run's database is made from, copied in its place
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql

from harness.db.guard import connect
from harness.db.pooling import set_if_direct
from harness.db.template import Recreated, maintenance
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run.commands import run_command
from harness.run.services import end_of_log

__all__ = ["SEEDED_ROWS", "Copies", "RecreatedCopies", "SeededCopies"]

SEEDED_ROWS = 5_000
"""Documents of the reference service's copies, at most: what a statement leaves does not depend on them."""

COPY, TEMPLATE = "mul_walk", "mul_walk_template"


class Copies(Protocol):
    """Makes the copies."""

    def fresh(self) -> str:
        """The URL of a copy in which nobody is; the one before it is gone. Raises a HarnessError."""


class SeededCopies:
    """Of the reference service, on the server at `server_url`."""

    def __init__(self, server_url: str, rows: int, log: Path) -> None:
        self._server = DatabaseUrl.parse(server_url)
        self._rows = rows
        self._log = log
        self._seeded = False

    def fresh(self) -> str:
        """See `Copies`."""
        if not self._seeded:
            self._seed()
        self._recreate(COPY, TEMPLATE)
        return _text(self._server.at(COPY))

    def _seed(self) -> None:
        self._recreate(TEMPLATE, "template0")
        command = [sys.executable, "-P", "-m", "harness.target", "seed", "--rows", str(self._rows)]
        environment = {"MUL_TARGET_DATABASE_URL": _text(self._server.at(TEMPLATE))}
        if run_command(command, environment, self._log) != 0:
            raise SetupError(f"The copy could not be filled.\n{end_of_log(self._log)}")
        self._seeded = True

    def _recreate(self, name: str, template: str) -> None:
        names = sql.Identifier(name), sql.Identifier(template)
        try:
            with connect(self._server, "mul-walk copying") as connection:
                set_if_direct(connection, statement_timeout=0)
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(names[0]))
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise SetupError(f"The database {name} could not be copied: {reason}.") from None


class RecreatedCopies:
    """Of the person's own database, in its place: `--recreate-database` has made its template."""

    def __init__(self, url: str) -> None:
        self._text = url
        self._url = DatabaseUrl.parse(url)

    def fresh(self) -> str:
        """See `Copies`."""
        with connect(maintenance(self._url), "mul-walk copying") as connection:
            Recreated(self._url.resolved().dbname, connection).copy()
        return self._text


def _text(url: DatabaseUrl) -> str:
    """As a URL, with its password."""
    return url.sqlalchemy()
