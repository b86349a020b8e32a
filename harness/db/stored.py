"""What the reference service's database holds, read past the service: tells hidden writes from lost ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import psycopg

from harness.core.canary import read_text
from harness.core.record import FinalRead, Found, Total
from harness.core.totals import amount_text
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["Stored", "StoredRecords", "read_stored"]

log = logging.getLogger("harness")

DOCUMENTS = """
    SELECT accounts.name, documents.id::text, documents.version, documents.title
    FROM documents JOIN accounts ON accounts.id = documents.account_id
    WHERE strpos(documents.title, %s) > 0
    ORDER BY accounts.name, documents.id
"""
WALLETS = """
    SELECT accounts.name, sum(wallets.balance), count(*)
    FROM wallets JOIN accounts ON accounts.id = wallets.account_id GROUP BY accounts.name
"""
TRANSFERS = """
    SELECT accounts.name, transfers.id::text
    FROM transfers JOIN accounts ON accounts.id = transfers.account_id ORDER BY transfers.id
"""
WALLETS_NAME = "wallets"
"""What the reference service's locustfile calls them."""


@dataclass(frozen=True)
class Stored:
    """By account, every document that bears the canary of a run, what its wallets come to, and the keys of
    all its transfers.
    """

    documents: Mapping[str, tuple[Found, ...]]
    totals: Mapping[str, Total]
    transfers: Mapping[str, tuple[str, ...]]


def read_stored(database_url: str, run: str) -> Stored:
    """What the database holds; raises SetupError when it does not answer, or not to the end."""
    documents, wallets, transfers = _read_rows(DatabaseUrl.parse(database_url), run)
    found: dict[str, list[Found]] = {}
    for account, key, version, title in documents:
        says = read_text(title)
        if says is not None and says.run == run:
            found.setdefault(account, []).append(Found(key, version, says.account, says.version))
    moved: dict[str, list[str]] = {}
    for account, key in transfers:
        moved.setdefault(account, []).append(key)
    return Stored(
        {account: tuple(own) for account, own in found.items()},
        {
            account: Total(WALLETS_NAME, amount_text(Decimal(total)), count)
            for account, total, count in wallets
        },
        {account: tuple(own) for account, own in moved.items()},
    )


def _read_rows(url: DatabaseUrl, run: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of documents, wallets and transfers."""
    try:
        with connect(url, "migrate-under-load final read") as connection:
            yield connection.execute(DOCUMENTS, [f"run:{run} "]).fetchall()
            yield connection.execute(WALLETS).fetchall()
            yield connection.execute(TRANSFERS).fetchall()
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise SetupError(
            f"The records in {url.masked} could not be read: {reason}.", "Look at the server's log."
        ) from None


class StoredRecords:
    """Completes final reads with what the database holds, asked once, when the first read comes."""

    def __init__(self, database_url: str, run: str) -> None:
        self._database_url = database_url
        self._run = run

    def complete(self, read: FinalRead) -> FinalRead:
        """The read with what is `stored` filled in; as it was when the database does not answer."""
        stored = self._stored
        if stored is None:
            return read
        own = stored.totals.get(read.account)
        asked = own is not None and any(total.name == own.name for total in read.totals)
        return replace(
            read,
            stored=stored.documents.get(read.account, ()),
            stored_totals=(own,) if own is not None and asked else (),
            stored_transfers=stored.transfers.get(read.account, ()),
        )

    @cached_property
    def _stored(self) -> Stored | None:
        try:
            return read_stored(self._database_url, self._run)
        except SetupError as error:
            log.warning("The database could not be asked what it holds: %s", error)
            return None
