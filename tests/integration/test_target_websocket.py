"""The socket pushes every change of its own account, in order, whichever process made it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import websocket

from tests.fix_target import PASSWORD, Client, Service

pytestmark = pytest.mark.integration


class Socket:
    """An open socket and what came over it."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv())
        return message

    def closed(self) -> int:
        """The code with which it is closed next."""
        opcode, data = self._connection.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        return int.from_bytes(data[:2], "big")

    def receive_changes(self, count: int) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = []
        while len(changes) < count:
            message = self.receive()
            if message["type"] == "change":
                changes.append(message)
        return changes

    def receive_migration(self, revision: str) -> dict[str, Any]:
        """The next broadcast about `revision`, one that this test invented."""
        while True:
            message = self.receive()
            if message["type"] == "migration" and message["revision"] == revision:
                return message


@contextmanager
def connected(service: Service, token: str | None, query: str = "", **options: Any) -> Iterator[Socket]:
    url = service.socket_url + (f"?token={token}" if token else "?") + query
    connection = websocket.create_connection(url, timeout=10, **options)
    try:
        yield Socket(connection)
    finally:
        connection.close()
        if connection.sock is not None:  # as where the peer has hung up
            connection.sock.close()


@pytest.fixture
def name(service: Service) -> str:
    """A fresh account's name."""
    name = f"socket-{uuid.uuid4().hex[:12]}"
    assert service.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
    return name


@pytest.fixture
def client(service: Service, name: str) -> Client:
    return service.sign_in(name)


def test_a_socket_is_welcomed_with_its_account_and_last_number(
    service: Service, name: str, client: Client
) -> None:
    client.create_document()
    with connected(service, client.token) as socket:
        assert socket.receive() == {"type": "welcome", "account": name, "last_seq": 1}


def test_changes_come_numbered_with_their_version_time_and_canary(
    service: Service, name: str, client: Client
) -> None:
    with connected(service, client.token) as socket:
        assert socket.receive()["type"] == "welcome"
        started_at = time.time()
        document = client.create_document()
        assert client.put(f"/documents/{document}", {"version": 1, "title": "t", "body": "b"}).status == 200
        assert client.delete(f"/documents/{document}").status == 204
        changes = socket.receive_changes(3)
    assert [(c["seq"], c["version"], c["op"]) for c in changes] == [
        (1, 1, "create"),
        (2, 2, "update"),
        (3, 2, "delete"),
    ]
    assert {c["document"] for c in changes} == {document}
    assert {(c["account"], c["canary"]) for c in changes} == {(name, f"canary:{name}")}
    assert all(started_at - 1 < c["committed_at"] < time.time() + 1 for c in changes)


def test_every_process_hears_of_every_change(service: Service, client: Client) -> None:
    """Eight sockets and twenty writes spread over two processes; all sockets see the same, in order."""
    sockets = [
        websocket.create_connection(f"{service.socket_url}?token={client.token}", timeout=10)
        for _ in range(8)
    ]
    try:
        for connection in sockets:
            assert Socket(connection).receive()["type"] == "welcome"
        documents = [client.create_document() for _ in range(20)]
        for connection in sockets:
            changes = Socket(connection).receive_changes(20)
            assert [c["seq"] for c in changes] == list(range(1, 21))
            assert [c["document"] for c in changes] == documents
    finally:
        for connection in sockets:
            connection.close()


def test_a_refused_write_takes_no_number(service: Service, client: Client) -> None:
    with connected(service, client.token) as socket:
        assert socket.receive()["type"] == "welcome"
        document = client.create_document()
        assert client.post("/documents", {"id": document, "title": "t", "body": "b"}).status == 409
        client.create_document()
        assert [c["seq"] for c in socket.receive_changes(2)] == [1, 2]


def test_an_account_sees_only_its_own_changes(
    service: Service, client: Client, other_account: Client
) -> None:
    with connected(service, client.token) as socket:
        assert socket.receive()["type"] == "welcome"
        other_account.create_document()
        document = client.create_document()
        assert socket.receive_changes(1)[0]["document"] == document


def test_a_socket_resumes_after_the_number_it_names(service: Service, client: Client) -> None:
    documents = [client.create_document() for _ in range(5)]
    with connected(service, client.token, "&after=2") as socket:
        assert socket.receive()["last_seq"] == 5
        documents.append(client.create_document())
        changes = socket.receive_changes(4)
    assert [c["seq"] for c in changes] == [3, 4, 5, 6]
    assert [c["document"] for c in changes] == documents[2:]


def test_the_migrations_status_reaches_every_process(service: Service, client: Client) -> None:
    revision = uuid.uuid4().hex
    operator = service.sign_in("operator")
    event = {"status": "statement", "statement": 3, "revision": revision, "sql": "ALTER TABLE é \x01" * 1000}
    sockets = [
        websocket.create_connection(f"{service.socket_url}?token={client.token}", timeout=10)
        for _ in range(8)
    ]
    try:
        for connection in sockets:
            assert Socket(connection).receive()["type"] == "welcome"
        assert operator.post("/migration-events", event).status == 202
        for connection in sockets:
            message = Socket(connection).receive_migration(revision)
            assert (message["status"], message["statement"]) == ("statement", 3)
            assert message["sql"].startswith("ALTER TABLE é")
            assert abs(message["server_time"] - time.time()) < 5
    finally:
        for connection in sockets:
            connection.close()


def test_nothing_is_missed_when_the_listening_connections_are_lost(service: Service, client: Client) -> None:
    with connected(service, client.token) as socket:
        assert socket.receive()["type"] == "welcome"
        client.create_document()
        assert [c["seq"] for c in socket.receive_changes(1)] == [1]
        with psycopg.connect(service.database_url, autocommit=True) as connection:
            killed = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            ).fetchall()
        assert len(killed) == 2
        for _ in range(3):
            client.create_document()
        assert [c["seq"] for c in socket.receive_changes(3)] == [2, 3, 4]


def test_the_token_may_come_in_the_header(service: Service, client: Client) -> None:
    header = [f"Authorization: Bearer {client.token}"]
    with connected(service, None, header=header) as socket:
        assert socket.receive()["type"] == "welcome"


def test_a_socket_is_closed_when_its_token_ends(service: Service, name: str) -> None:
    token = service.tokens().issue(name, frozenset({"read"}), time.time(), 2)
    with connected(service, token) as socket:
        assert socket.receive()["type"] == "welcome"
        assert socket.closed() == 4401
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        connected(service, token),
    ):
        pass
    assert refused.value.status_code == 401


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_a_socket_without_a_good_token_is_refused_with_401(service: Service, token: str | None) -> None:
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        connected(service, token),
    ):
        pass
    assert refused.value.status_code == 401


def test_a_socket_of_a_revoked_token_is_refused_with_401(service: Service, client: Client) -> None:
    assert client.post("/token/revoke", {"token": client.token}).status == 200
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        connected(service, client.token),
    ):
        pass
    assert refused.value.status_code == 401


def test_a_socket_without_the_scope_is_refused_with_403(service: Service) -> None:
    writer = service.sign_in("account-0002", "write")
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        connected(service, writer.token),
    ):
        pass
    assert refused.value.status_code == 403
