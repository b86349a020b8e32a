"""What the reference service's database holds, read past the service: tells hidden writes from lost ones."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg

from harness.core.canary import read_text
from harness.core.record import FinalRead, Found
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["StoredDocuments", "read_documents"]

log = logging.getLogger("harness")

QUERY = """
    SELECT accounts.name, documents.id::text, documents.version, documents.title
    FROM documents JOIN accounts ON accounts.id = documents.account_id
    WHERE strpos(documents.title, %s) > 0
    ORDER BY accounts.name, documents.id
"""


def read_documents(database_url: str, run: str) -> dict[str, tuple[Found, ...]]:
    """By account, every document that bears the canary of `run`; raises SetupError when the database does
    not answer, or not to the end."""
    found: dict[str, list[Found]] = {}
    for account, key, version, title in _read_rows(DatabaseUrl.parse(database_url), run):
        says = read_text(title)
        if says is not None and says.run == run:
            found.setdefault(account, []).append(Found(key, version, says.account, says.version))
    return {account: tuple(documents) for account, documents in found.items()}


def _read_rows(url: DatabaseUrl, run: str) -> list[tuple[Any, ...]]:
    try:
        with connect(url, "migrate-under-load final read") as connection:
            return connection.execute(QUERY, [f"run:{run} "]).fetchall()
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(
            f"The documents in {url.masked} could not be read: {reason}.", "Look at the server's log."
        ) from None


class StoredDocuments:
    """Completes final reads with what the database holds, asked once, when the first read comes."""

    def __init__(self, database_url: str, run: str) -> None:
        self._database_url = database_url
        self._run = run

    def complete(self, read: FinalRead) -> FinalRead:
        """The read with `stored` filled in; as it was when the database does not answer."""
        if self._documents is None:
            return read
        return replace(read, stored=self._documents.get(read.account, ()))

    @cached_property
    def _documents(self) -> dict[str, tuple[Found, ...]] | None:
        try:
            return read_documents(self._database_url, self._run)
        except SetupError as error:
            log.warning("The database could not be asked what it holds: %s", error)
            return None
