"""The history: two branches from `v1`, both reversible, and one that the running service does not feel."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fix_target import Client, run_alembic, running_service, seed, start_alembic

pytestmark = [pytest.mark.integration, pytest.mark.migration]

SCHEMA = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'public' UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' UNION ALL
    SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'public' UNION ALL
    SELECT tgrelid::regclass::text, tgname, NULL, NULL, NULL FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2, 3
"""

BLOCKED = """
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


def query(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(statement).fetchall()


def await_blocked(database_url: str) -> None:
    """Returns as soon as a backend waits for a lock of the tests' own."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if query(database_url, BLOCKED):
            return
        time.sleep(0.02)
    raise AssertionError("nobody came to wait for the lock")


@pytest.fixture
def seeded(database: str) -> str:
    seed(database, rows=2_500, accounts=10)
    return database


@contextmanager
def working(client: Client) -> Iterator[Counter[str]]:
    """Lists, reads, creates, updates and deletes until the block ends; counts what was answered."""
    answers: Counter[str] = Counter()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            document = client.create_document(tags=["legal"])
            path = f"/documents/{document}"
            answers[f"list {client.get('/documents').status}"] += 1
            answers[f"read {client.get(path).status}"] += 1
            change = {"version": 1, "title": "t", "body": "longer body"}
            answers[f"update {client.put(path, change).status}"] += 1
            answers[f"delete {client.delete(path).status}"] += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("branch", ["safe", "unsafe"])
def test_a_branch_reaches_the_goal_and_returns_to_v1(seeded: str, branch: str) -> None:
    before = query(seeded, SCHEMA)
    content = query(seeded, "SELECT id, account_id, title, body, size, version FROM documents ORDER BY id")
    run_alembic(seeded, "upgrade", f"{branch}@head")
    assert query(seeded, "SELECT count(*), count(DISTINCT share_id) FROM documents") == [(2500, 2500)]
    assert query(
        seeded,
        "SELECT name, count(*) FROM documents JOIN categories ON categories.id = category_id "
        "WHERE name = tags[1] GROUP BY name ORDER BY name",
    ) == [("finance", 625), ("general", 625), ("legal", 625), ("people", 625)]
    assert query(seeded, "SELECT FROM pg_index WHERE NOT indisvalid") == []
    assert query(seeded, "SELECT FROM pg_constraint WHERE NOT convalidated") == []
    run_alembic(seeded, "downgrade", "v1")
    assert query(seeded, SCHEMA) == before
    assert (
        query(seeded, "SELECT id, account_id, title, body, size, version FROM documents ORDER BY id")
        == content
    )


@pytest.mark.parametrize("halfway", ["safe1", "safe3", "safe5"])
def test_safe_may_turn_back_halfway_and_go_on(seeded: str, halfway: str) -> None:
    run_alembic(seeded, "upgrade", "safe@head")
    head = query(seeded, SCHEMA)
    run_alembic(seeded, "downgrade", halfway)
    assert query(seeded, SCHEMA) != head
    run_alembic(seeded, "upgrade", "safe@head")
    assert query(seeded, SCHEMA) == head


def test_the_history_leads_back_to_an_empty_schema(seeded: str) -> None:
    run_alembic(seeded, "downgrade", "base")
    assert query(seeded, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("alembic_version",)
    ]


def test_the_service_does_not_feel_safe_nor_its_way_back(seeded: str, tmp_path: Path) -> None:
    with running_service(seeded, tmp_path / "service.log") as service:
        with working(service.sign_in("account-0001")) as answers:
            run_alembic(seeded, "upgrade", "safe@head")
            during = answers.copy()
            kept = service.sign_in("account-0002").create_document(body="12345", tags=["people"])
            filled = query(
                seeded,
                f"SELECT share_id IS NOT NULL, category_id, size_bytes FROM documents WHERE id = '{kept}'",
            )
            run_alembic(seeded, "downgrade", "v1")
        log = (tmp_path / "service.log").read_text()
    assert filled == [(True, 1, 5)]
    assert set(during) == set(answers) == {"list 200", "read 200", "update 200", "delete 204"}
    assert min(during.values()) > 10
    assert log == ""


def test_the_backfill_keeps_what_is_written_meanwhile(seeded: str) -> None:
    """A row locked by a request is waited for and filled from what the request wrote."""
    run_alembic(seeded, "upgrade", "safe1")
    with psycopg.connect(seeded) as request:
        request.execute("UPDATE documents SET title = 'Kept', size = 77 WHERE id::text LIKE '%0001'")
        backfill = start_alembic(seeded, "upgrade", "safe2")
        await_blocked(seeded)
        request.commit()
    assert backfill.wait(timeout=60) == 0
    assert query(
        seeded, "SELECT title, size_bytes, share_id IS NOT NULL FROM documents WHERE id::text LIKE '%0001'"
    ) == [("Kept", 77, True)]
    assert query(seeded, "SELECT FROM documents WHERE share_id IS NULL") == []


def test_safe_lets_go_and_tries_again_when_it_cannot_have_its_lock(seeded: str) -> None:
    """An idle transaction holds the table: readers behind the migration wait for its lock_timeout at most."""
    with psycopg.connect(seeded) as idle:
        idle.execute("SELECT count(*) FROM documents")
        migration = start_alembic(seeded, "upgrade", "safe1")
        await_blocked(seeded)
        with psycopg.connect(seeded) as reader:
            reader.execute("SET statement_timeout = '3s'")
            assert reader.execute("SELECT FROM documents LIMIT 1").fetchall() == [()]
        assert migration.poll() is None
        idle.rollback()
    assert migration.wait(timeout=60) == 0


def test_unsafe_is_one_transaction(seeded: str) -> None:
    """It fails at its last step, and nothing of it is left."""
    with psycopg.connect(seeded) as connection:
        connection.execute("CREATE INDEX documents_category_idx ON documents (version)")
    before = query(seeded, SCHEMA)
    with pytest.raises(AssertionError, match="already exists"):
        run_alembic(seeded, "upgrade", "unsafe@head")
    assert query(seeded, SCHEMA) == before
    assert query(seeded, "SELECT version_num FROM alembic_version") == [("v1",)]


def test_the_service_works_on_after_unsafe(seeded: str, tmp_path: Path) -> None:
    with running_service(seeded, tmp_path / "service.log") as service:
        client = service.sign_in("account-0003")
        run_alembic(seeded, "upgrade", "unsafe@head")
        path = f"/documents/{client.create_document(tags=['legal'])}"
        assert client.put(path, {"version": 1, "title": "t", "body": "b"}).status == 200
        assert client.get(path).json["version"] == 2
        run_alembic(seeded, "downgrade", "v1")
        assert service.sign_in("account-0003").delete(path).status == 204
