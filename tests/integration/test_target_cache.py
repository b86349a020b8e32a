"""With a cache the service answers as without one, but for where it keeps what it knows."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import websocket

from harness.clock import wait_until
from harness.db.server import EmbeddedServer
from harness.run.cache_server import EmbeddedCache, cache_program
from harness.target.cache import Cache
from tests.fix_cache import command
from tests.fix_target import PASSWORD, Client, Service, run_alembic, running_service, seed
from tests.integration.test_target_websocket import Socket, connected

pytestmark = pytest.mark.integration

ANN, TOKEN = "ann", uuid.uuid4()


@pytest.fixture(scope="module")
def cached(
    postgres: EmbeddedServer, cache_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Two processes with a cache."""
    database_url = postgres.create_database("target_cached")
    seed(database_url, rows=60, accounts=6)
    log = tmp_path_factory.mktemp("target") / "service.log"
    with running_service(database_url, log, workers=2, CACHE_URL=cache_url) as service:
        yield service


@pytest.fixture
def person(cached: Service) -> Client:
    """A fresh account, signed in."""
    name = f"cached-{uuid.uuid4().hex[:12]}"
    assert cached.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
    return cached.sign_in(name)


def listening(cache_url: str) -> int:
    """How many connections wait for what is published."""
    return str(command(cache_url, "CLIENT", "LIST", "TYPE", "pubsub")).count("id=")


def retitle(service: Service, document: str, title: str) -> None:
    """Change a row behind the service's back."""
    with psycopg.connect(service.database_url) as connection:
        connection.execute("UPDATE documents SET title = %s WHERE id = %s", [title, document])


def test_health_says_how_the_processes_hear_of_one_another(cached: Service) -> None:
    assert cached.anonymous.get("/health").json["notifications"] == "cache"


def test_a_document_that_was_read_is_kept_and_shown_alike(cached: Service, person: Client) -> None:
    document = person.create_document()
    first = person.get(f"/documents/{document}").json
    retitle(cached, document, "Behind its back")
    assert [person.get(f"/documents/{document}").json for _ in range(4)] == [first] * 4


def test_what_is_kept_is_shown_to_nobody_else(person: Client, cached: Service) -> None:
    document = person.create_document()
    assert person.get(f"/documents/{document}").status == 200
    assert cached.sign_in("account-0001").get(f"/documents/{document}").status == 404


def test_a_document_is_never_shown_as_it_was_before_an_acknowledged_write(person: Client) -> None:
    document = person.create_document()
    for version in range(1, 20):
        assert person.get(f"/documents/{document}").json["version"] == version
        change = {"version": version, "title": "t", "body": "b"}
        assert person.put(f"/documents/{document}", change).status == 200
    assert person.delete(f"/documents/{document}").status == 204
    assert person.get(f"/documents/{document}").status == 404


def test_a_reader_that_was_overtaken_by_a_write_keeps_nothing(cache_url: str) -> None:
    async def read_again_after(overtaken: bool) -> str | None:
        cache, document = Cache(cache_url), uuid.uuid4()
        found = await cache.find(TOKEN, ANN, document, "1")
        if overtaken:
            await cache.written(ANN, [document], "told", "")
        await cache.keep(ANN, document, "1", "row", found)
        again = await cache.find(TOKEN, ANN, document, "1")
        await cache.close()
        return again.document

    assert asyncio.run(read_again_after(overtaken=True)) is None
    assert asyncio.run(read_again_after(overtaken=False)) == "row"


def test_a_document_is_kept_for_each_revision_apart(cache_url: str) -> None:
    async def look() -> tuple[str | None, str | None]:
        cache, document = Cache(cache_url), uuid.uuid4()
        await cache.keep(ANN, document, "1", "old", await cache.find(TOKEN, ANN, document, "1"))
        found = [await cache.find(TOKEN, ANN, document, revision) for revision in ("1", "2")]
        await cache.close()
        return found[0].document, found[1].document

    assert asyncio.run(look()) == ("old", None)


def test_a_revoked_token_is_refused_by_every_process(cached: Service, person: Client) -> None:
    document = person.create_document()
    assert person.get(f"/documents/{document}").status == 200
    assert cached.anonymous.post("/token/revoke", {"token": person.token}).status == 200
    assert {person.get("/wallets").status for _ in range(8)} == {401}
    assert {person.get(f"/documents/{document}").status for _ in range(8)} == {401}


def test_a_cache_that_lost_its_memory_is_told_again_which_tokens_are_revoked(
    cached: Service, person: Client, cache_url: str
) -> None:
    assert cached.anonymous.post("/token/revoke", {"token": person.token}).status == 200
    command(cache_url, "FLUSHALL")
    assert person.get("/wallets").status == 200, "else the next says nothing"
    command(cache_url, "CLIENT", "KILL", "TYPE", "pubsub")
    assert wait_until(lambda: person.get("/wallets").status == 401, within=10)


def test_every_process_hears_of_every_change(cached: Service, person: Client) -> None:
    sockets = [
        websocket.create_connection(f"{cached.socket_url}?token={person.token}", timeout=10) for _ in range(8)
    ]
    try:
        for connection in sockets:
            assert Socket(connection).receive()["type"] == "welcome"
        documents = [person.create_document() for _ in range(20)]
        for connection in sockets:
            changes = Socket(connection).receive_changes(20)
            assert [change["seq"] for change in changes] == list(range(1, 21))
            assert [change["document"] for change in changes] == documents
    finally:
        for connection in sockets:
            connection.close()


def test_nothing_is_missed_when_the_listening_connections_are_lost(
    cached: Service, person: Client, cache_url: str
) -> None:
    with connected(cached, person.token) as socket:
        assert socket.receive()["type"] == "welcome"
        person.create_document()
        assert [c["seq"] for c in socket.receive_changes(1)] == [1]
        assert wait_until(lambda: listening(cache_url) == 2, 30)
        assert command(cache_url, "CLIENT", "KILL", "TYPE", "pubsub") == 2
        for _ in range(3):
            person.create_document()
        assert [c["seq"] for c in socket.receive_changes(3)] == [2, 3, 4]
    # What is published to a process that does not listen yet is lost on it, and the next test publishes.
    assert wait_until(lambda: listening(cache_url) == 2, 30)


def test_the_migrations_status_reaches_every_process(cached: Service, person: Client) -> None:
    revision = uuid.uuid4().hex
    event = {"status": "statement", "statement": 3, "revision": revision, "sql": "ALTER TABLE é"}
    with connected(cached, person.token) as one, connected(cached, person.token) as another:
        assert [socket.receive()["type"] for socket in (one, another)] == ["welcome"] * 2
        assert cached.sign_in("operator").post("/migration-events", event).status == 202
        assert [socket.receive_migration(revision)["statement"] for socket in (one, another)] == [3, 3]


def test_without_its_cache_the_service_refuses_and_comes_back(database: str, tmp_path: Path) -> None:
    seed(database, rows=4, accounts=2)
    program = cache_program()
    assert program is not None
    server = EmbeddedCache.start(program, tmp_path / "cache.log")
    try:
        with running_service(database, tmp_path / "service.log", CACHE_URL=server.url) as service:
            person = service.sign_in("account-0001")
            server.stop()
            assert person.get("/wallets").status == 503
            assert service.anonymous.get("/health").json == {
                "status": "unavailable",
                "why": "ConnectionError",
            }
    finally:
        server.stop()


COLUMNS = {"category_id", "share_id"}


@pytest.mark.migration
@pytest.mark.parametrize("fault", [None, "forget-revisions"])
def test_only_a_cache_that_forgets_the_revision_shows_the_old_shape_after_a_migration(
    database: str, cache_url: str, tmp_path: Path, fault: str | None
) -> None:
    seed(database, rows=4, accounts=2)
    with running_service(
        database, tmp_path / "service.log", CACHE_URL=cache_url, RELEASE="all", FAULT=fault or ""
    ) as service:
        person = service.sign_in("account-0001")
        document = person.create_document()

        def shown() -> set[str]:
            return {name for name in person.get(f"/documents/{document}").json if name in COLUMNS}

        assert shown() == set()
        run_alembic(database, "upgrade", "unsafe@head")
        if fault:
            time.sleep(1.5)  # three times what a correct service needs
            assert shown() == set()
            change = {"version": 1, "title": "t", "body": "b"}
            assert person.put(f"/documents/{document}", change).status == 200
        assert wait_until(lambda: shown() == COLUMNS, within=10)
        listed = person.get("/documents?limit=100").json["items"]
        assert all(item.keys() >= COLUMNS for item in listed)
