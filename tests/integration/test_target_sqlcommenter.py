"""A statement that waits in the database says for which request it runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from harness.clock import wait_until
from harness.core.traceparent import Tie, make, parse, worker_crc
from harness.db.server import EmbeddedServer
from tests.fix_target import Client, Service, running_service, seed

pytestmark = pytest.mark.integration

TRACEPARENT = make("local", 12_345_678, 42, 7)


@contextmanager
def locked(service: Service, table: str) -> Iterator[None]:
    """Nobody else can touch the table."""
    with psycopg.connect(service.database_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


def waiting(service: Service) -> list[str]:
    """What the waiting sessions of the database execute."""
    with psycopg.connect(service.database_url) as connection:
        rows = connection.execute(
            "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ).fetchall()
    return [row[0] for row in rows]


def waiting_query(service: Service, client: Client, table: str, traceparent: str) -> str:
    """What waits when a document is written with this header while a table is locked."""
    document = client.create_document()
    headers = {"Authorization": f"Bearer {client.token}", "traceparent": traceparent}
    change: dict[str, Any] = {"version": 1, "title": "New", "body": "Body"}
    url = f"{client.base}/documents/{document}"
    with ThreadPoolExecutor() as pool:
        with locked(service, table):
            answer = pool.submit(requests.put, url, json=change, headers=headers, timeout=60)
            assert wait_until(lambda: bool(waiting(service)), within=10)
            [query] = waiting(service)
        assert answer.result().status_code == 200
    return query


@pytest.mark.parametrize("table", ["documents", "events"])
def test_a_waiting_statement_names_the_sample_of_its_request(
    service: Service, account: Client, table: str
) -> None:
    """`events` is written by the longest statement of the service."""
    query = waiting_query(service, account, table, TRACEPARENT)
    assert query.endswith(f"/*traceparent='{TRACEPARENT}'*/")
    assert parse(query) == Tie(worker_crc("local"), 12_345_678, 42)


def test_a_header_that_is_no_traceparent_reaches_no_statement(service: Service, account: Client) -> None:
    query = waiting_query(service, account, "documents", f"{TRACEPARENT}'*/; DROP TABLE documents; --")
    assert "/*" not in query
    assert "DROP" not in query


def test_comments_can_be_switched_off(postgres: EmbeddedServer, tmp_path: Path) -> None:
    database_url = postgres.create_database("target_uncommented")
    seed(database_url, rows=10, accounts=2)
    with running_service(database_url, tmp_path / "service.log", SQLCOMMENTER="0") as service:
        client = service.sign_in("account-0001")
        assert "/*" not in waiting_query(service, client, "documents", TRACEPARENT)
