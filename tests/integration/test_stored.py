"""What the final read learns from the reference service's database, past the service."""

import uuid

import psycopg
import pytest

from harness.core.canary import make_text
from harness.core.record import FinalRead, Found, Total
from harness.db.server import EmbeddedServer
from harness.db.stored import StoredRecords
from tests.fix_target import seed

pytestmark = pytest.mark.integration

KEY = uuid.UUID(int=7)


def test_documents_of_the_run_and_what_the_wallets_come_to(postgres: EmbeddedServer) -> None:
    database_url = postgres.create_database("stored")
    seed(database_url, rows=10, accounts=2)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO documents (id, account_id, title, body, status, tags, size)"
            " SELECT %s, id, %s, '', 'active', '{}', 0 FROM accounts WHERE name = 'account-0001'",
            [KEY, make_text("account-0001", "run-1", 1)],
        )
        connection.execute(
            "INSERT INTO transfers (id, account_id, source_id, target_id, amount)"
            " SELECT %s, account_id, min(wallets.id), max(wallets.id), 5"
            " FROM wallets JOIN accounts ON accounts.id = account_id"
            " WHERE accounts.name = 'account-0001' GROUP BY account_id",
            [KEY],
        )
        connection.execute(
            "UPDATE wallets SET balance = balance - 1 WHERE name = 'main of canary:account-0001'"
        )
    stored = StoredRecords(database_url, "run-1")
    shown = Total("wallets", "30000", 3)
    first = stored.complete(FinalRead("account-0001", 1.0, (), totals=(shown,)))
    second = stored.complete(FinalRead("account-0002", 1.0, (), totals=(shown,)))
    assert first.stored == (Found(str(KEY), 1, "account-0001", 1),)
    assert first.stored_totals == (Total("wallets", "29999", 3),)
    assert first.stored_transfers == (str(KEY),)
    assert (second.stored, second.stored_totals, second.stored_transfers) == ((), (shown,), ())
    assert stored.complete(FinalRead("account-0001", 1.0, ())).stored_totals == ()
