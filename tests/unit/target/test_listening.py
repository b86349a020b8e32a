"""The listening connection: whatever takes it away, it comes back, or /health says so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from harness.target import app, websocket
from harness.target.cache import CacheError
from harness.target.websocket import Hub, Listen


def test_any_error_of_the_database_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter(
        [psycopg.errors.InsufficientPrivilege("no"), psycopg.OperationalError("gone"), CacheError("gone")]
    )

    async def listen_once() -> None:
        raise next(ends, asyncio.CancelledError())

    hub = Hub(Listen("postgresql://127.0.0.1:1/none"), lambda: None)
    monkeypatch.setattr(hub, "_listen_once", listen_once)
    monkeypatch.setattr(websocket, "_RECONNECT_S", 0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(hub.listen())

    assert next(ends, None) is None


def test_health_fails_when_nothing_listens() -> None:
    state = SimpleNamespace(listening=SimpleNamespace(done=lambda: True))
    request: Any = SimpleNamespace(app=SimpleNamespace(state=state))

    answer = asyncio.run(app._health(request))

    assert answer.status_code == 503
    assert b"nothing listens" in bytes(answer.body)
