"""The faults: each strikes at every n-th chance, and leaves everything else as the service had it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from harness.target.faults import FAULTS, plant
from harness.target.tokens import SigningKey, Tokens, new_private_pem

ANN, BOB = b"Bearer ann", b"Bearer bob"


class Service:
    """An ASGI application that answers as it is told, behind a fault that strikes at every second chance."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FAULTS[name], "every", 2)
        self.status, self.body = 200, b""
        self.who = ANN
        self.pushed: list[dict[str, Any]] = []
        self.authorizations: list[bytes] = []
        self.executed: list[dict[str, Any]] = []
        self.tokens = Tokens(SigningKey("key", new_private_pem()), "issuer", "audience")
        self._behind = FAULTS[name](self._app)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.authorizations += [value for name, value in scope["headers"] if name == b"authorization"]
        if scope["type"] == "websocket":
            for message in self.pushed:
                await send({"type": "websocket.send", "text": json.dumps(message)})
            return
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [length]})
        await send({"type": "http.response.body", "body": self.body})

    def ask(self, method: str, path: str, who: bytes = ANN, status: int = 200, **body: Any) -> dict[str, Any]:
        """What the client gets when the service itself answers with `status` and `body`."""
        self.status, self.body = status, json.dumps(body).encode()
        start, end = self._sent({"type": "http", "method": method, "path": path}, who)
        assert dict(start["headers"])[b"content-length"] == str(len(end["body"])).encode()
        assert start["status"] == status
        found: dict[str, Any] = json.loads(end["body"])
        return found

    def subscribe(self, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """What a subscriber gets of the messages that the service itself pushes."""
        self.pushed = list(messages)
        return [json.loads(one["text"]) for one in self._sent({"type": "websocket", "path": "/ws"}, self.who)]

    def _sent(self, scope: dict[str, Any], who: bytes) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise NotImplementedError

        async def tokens() -> Tokens:
            return self.tokens

        async def execute(_statement: object, row: dict[str, Any]) -> None:
            self.executed.append(row)

        @asynccontextmanager
        async def begin() -> Any:
            yield SimpleNamespace(execute=execute)

        access = SimpleNamespace(engine=SimpleNamespace(begin=begin))
        state = SimpleNamespace(access=access, guard=SimpleNamespace(tokens=tokens))
        whole = {**scope, "headers": [(b"authorization", who)], "app": SimpleNamespace(state=state)}
        asyncio.run(self._behind(whole, receive, send))
        return sent


def test_a_fault_that_does_not_exist_is_refused_by_the_names_of_those_that_do() -> None:
    with pytest.raises(SystemExit, match="MUL_TARGET_FAULT is 'drop-all'; it takes one of drop-writes, mix"):
        plant(FastAPI(), "drop-all")


def test_a_fault_of_the_cache_needs_one() -> None:
    app = FastAPI()
    app.state.access = SimpleNamespace(cache=None)
    with pytest.raises(SystemExit, match="MUL_TARGET_CACHE_URL is not set"):
        plant(app, "forget-revisions")


def test_what_was_created_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("drop-writes", monkeypatch)
    for number in range(4):
        assert service.ask("POST", "/documents", status=201, id=number) == {"id": number}
        service.ask("POST", "/documents", status=409, id=number)
        service.ask("POST", "/transfers", status=201, id=number)
    assert service.executed == [{"id": 1}, {"id": 3}]


def test_a_read_shows_what_another_account_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("mix-up-accounts", monkeypatch)
    asked = [(ANN, "a1"), (ANN, "a2"), (BOB, "b1"), (ANN, "a3"), (BOB, "b2"), (BOB, "b3"), (ANN, "a4")]
    shown = [service.ask("GET", "/documents/7", who, id=own)["id"] for who, own in asked]
    assert shown == ["a1", "a2", "b1", "b1", "b2", "a3", "a4"]
    assert service.ask("GET", "/documents", BOB, id="page") == {"id": "page"}
    assert service.ask("GET", "/documents/8", BOB, 404, detail="none") == {"detail": "none"}


def test_what_has_changed_is_shown_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("serve-stale-reads", monkeypatch)
    shown = [service.ask("GET", "/documents/7", version=version)["version"] for version in (1, 1, 2, 3, 4)]
    assert shown == [1, 1, 2, 1, 4]
    assert service.ask("GET", "/documents/7", BOB, version=5) == {"version": 5}


def test_what_a_transfer_gave_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("break-transfers", monkeypatch)
    for number in range(4):
        service.ask("POST", "/transfers", status=201, id=number, to=2, amount=5)
    assert [row["id"] for row in service.executed] == [1, 3]


def test_a_change_is_pushed_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("skip-events", monkeypatch)
    others = [{"type": "welcome"}, {"type": "migration"}]
    changes = [{"type": "change", "seq": number} for number in range(1, 5)]
    assert service.subscribe([*others, *changes]) == [*others, changes[0], changes[2]]


@pytest.mark.parametrize("wrong", ["expired", "forged", "unsigned"])
def test_any_token_is_believed(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    service = Service("accept-any-token", monkeypatch)
    said = {"sub": "ann", "scope": "read write", "exp": int(time.time()) + 60}
    scopes = frozenset({"read", "write"})
    token = {
        "expired": lambda: service.tokens.issue("ann", scopes, time.time() - 100, 50),
        "forged": lambda: jwt.encode(said, "k" * 32, "HS256"),
        "unsigned": lambda: jwt.encode(said, "", "none"),
    }[wrong]()
    service.ask("GET", "/wallets", f"Bearer {token}".encode())
    claims = service.tokens.verify(service.authorizations[0].decode().removeprefix("Bearer "))
    assert (claims.account, claims.scopes) == ("ann", scopes)


def test_a_stream_is_opened_by_a_token_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("accept-any-token", monkeypatch)
    service.who = b"Bearer " + service.tokens.issue("ann", frozenset({"read"}), time.time(), 2).encode()
    service.subscribe([])
    claims = service.tokens.verify(service.authorizations[0].decode().removeprefix("Bearer "))
    assert (claims.account, claims.scopes) == ("ann", frozenset({"read"}))
    assert claims.expires_at > time.time() + 3600


@pytest.mark.parametrize("token", ["nonsense", ""])
def test_what_is_no_token_stays_none(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    service = Service("accept-any-token", monkeypatch)
    service.who = f"Bearer {token}".encode()
    service.ask("GET", "/wallets", service.who)
    service.subscribe([])
    assert service.authorizations == [service.who] * 2


def test_a_good_token_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("accept-any-token", monkeypatch)
    good = service.tokens.issue("ann", frozenset({"read"}), time.time(), 60).encode()
    service.ask("GET", "/wallets", b"Bearer " + good)
    assert service.authorizations == [b"Bearer " + good]
