"""Seeding makes a database that a service can serve at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.fix_target import running_service, seed

pytestmark = pytest.mark.integration


def counts(database_url: str, *statements: str) -> list[int]:
    with psycopg.connect(database_url) as connection:
        rows = [connection.execute(f"SELECT count(*) FROM {each}").fetchone() for each in statements]
    return [row[0] for row in rows if row]


def test_rows_are_shared_out_evenly_and_carry_their_accounts_canary(database: str) -> None:
    seed(database, rows=1_000, accounts=8)
    assert counts(
        database,
        "documents",
        "accounts WHERE name LIKE 'account-____'",
        "accounts WHERE name = 'operator' AND scope LIKE '%migration_test%'",
        "wallets",
        "(SELECT account_id FROM documents GROUP BY account_id HAVING count(*) = 125)",
        "documents d JOIN accounts a ON a.id = account_id "
        "WHERE title LIKE '%canary:' || name AND body LIKE 'canary:' || name || ' %'",
        "pg_stats WHERE tablename = 'documents' AND attname = 'account_id'",
    ) == [1_000, 8, 1, 27, 8, 1_000, 1]


def test_a_seeded_database_is_not_seeded_again(database: str) -> None:
    seed(database, rows=10, accounts=2)
    with pytest.raises(AssertionError, match="already holds 3 accounts"):
        seed(database, rows=10, accounts=2)
    assert counts(database, "documents") == [10]


def test_a_token_outlives_a_restart(database: str, tmp_path: Path) -> None:
    seed(database, rows=10, accounts=2)
    with running_service(database, tmp_path / "first.log") as service:
        token = service.sign_in("account-0001").token
    with running_service(database, tmp_path / "second.log") as service:
        assert service.anonymous.with_token(token).get("/wallets").status == 200


def test_a_service_may_be_started_while_its_database_is_seeded(database: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        seeding = pool.submit(seed, database, rows=1_000, accounts=2)
        with running_service(database, tmp_path / "service.log") as service:
            seeding.result()
            items = service.sign_in("account-0002").get("/documents?limit=100").json["items"]
    assert len(items) == 100


def test_health_fails_while_there_is_no_schema(database: str, tmp_path: Path) -> None:
    with running_service(database, tmp_path / "service.log", healthy_status=503) as service:
        assert service.anonymous.get("/health").json["status"] == "unavailable"
