"""Subscription against a WebSocket server that plays a script."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, Request, TextMessage

from harness.core.accounts import Account
from harness.load import websocket
from harness.load.auth import Credentials, Login, NoAuth
from harness.load.client import MeasuredSession
from harness.load.websocket import Subscription

pytestmark = pytest.mark.integration

Script = list[dict[str, Any]]


class Stage:
    """Plays one script per connection, then ends the show: the last one closes the valve."""

    def __init__(self, scripts: list[Script | int]) -> None:
        self.scripts = scripts
        self.targets: list[str] = []
        self.tokens: list[str] = []
        self.valve = SimpleNamespace(closed=False)

    def play(self, listener: socket.socket) -> None:
        for script in self.scripts:
            connection, _ = listener.accept()
            with connection:
                self._serve(connection, script)

    def _serve(self, connection: socket.socket, script: Script | int) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(connection.recv(65536))
        request = next(protocol.events())
        assert isinstance(request, Request)
        self.targets.append(request.target)
        self.tokens += [value.decode() for name, value in request.extra_headers if name == b"authorization"]
        self.valve.closed = script is self.scripts[-1]
        if isinstance(script, int):
            connection.sendall(protocol.send(RejectConnection(status_code=script)))
            return
        connection.sendall(protocol.send(AcceptConnection()))
        for message in script:
            connection.sendall(protocol.send(TextMessage(data=json.dumps(message))))
        connection.sendall(protocol.send(CloseConnection(code=1012)))
        connection.recv(65536)


@contextmanager
def playing(scripts: list[Script | int]) -> Iterator[tuple[Stage, str]]:
    stage = Stage(scripts)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=stage.play, args=(listener,))
        thread.start()
        yield stage, f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=10)
        assert not thread.is_alive()


class Counts:
    """A recorder that counts what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))

    def of(self, name: str) -> int:
        return sum(1 for told, *_ in self.told if told == name)


class Numbered(Login):
    """Tokens without a service."""

    def __init__(self) -> None:
        super().__init__(NoAuth(), Account("account-0001"), MeasuredSession("", cast(Any, None)))
        self.count = 0

    def credentials(self, _send: object) -> Credentials:
        return Credentials({"Authorization": f"Bearer token-{self.count}"})

    def refused(self, _credentials: Credentials) -> None:
        self.count += 1


def _listen(scripts: list[Script | int], monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Counts]:
    counts = Counts()
    monkeypatch.setattr(websocket, "recorder", counts)
    with playing(scripts) as (stage, host):
        monkeypatch.setattr(websocket, "valve", stage.valve)
        Subscription(host, "/ws", Numbered(), Random(1)).run()
    return stage, counts


def _welcome(last: int) -> dict[str, Any]:
    return {"type": "welcome", "account": "account-0001", "last_seq": last}


def _change(number: int) -> dict[str, Any]:
    return {"type": "change", "seq": number, "committed_at": 0.0, "canary": "canary:account-0001"}


def test_broken_connection_is_made_anew_and_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[Script | int] = [
        [_welcome(7), _change(8), _change(9)],
        [_welcome(11), _change(10), _change(11)],
    ]
    stage, counts = _listen(scripts, monkeypatch)
    assert stage.targets == ["/ws", "/ws?after=9"]
    assert counts.of("websocket_delivered") == 4
    assert counts.of("websocket_reconnected") == 1
    assert counts.of("websocket_opened") == counts.of("websocket_closed") == 2
    assert {told for told in counts.told if told[0] == "websocket_missed"} == {("websocket_missed", 0)}


def test_change_that_a_resumed_connection_skips_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[Script | int] = [
        [_welcome(7), _change(8)],
        [_welcome(11), _change(11)],
    ]
    _, counts = _listen(scripts, monkeypatch)
    assert [told[1] for told in counts.told if told[0] == "websocket_missed"] == [0, 2]


def test_refused_token_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[Script | int] = [401, [_welcome(0), _change(1)]]
    stage, counts = _listen(scripts, monkeypatch)
    assert stage.tokens == ["Bearer token-0", "Bearer token-1"]
    assert stage.targets == ["/ws", "/ws"]
    assert counts.of("websocket_delivered") == 1
    assert counts.of("websocket_reconnected") == 0


def test_message_of_unknown_shape_is_said_and_the_connection_made_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scripts: list[Script | int] = [[{"type": "change", "number": 1}], [_welcome(0), _change(1)]]
    _, counts = _listen(scripts, monkeypatch)
    assert "sent a message of unknown shape (KeyError)" in caplog.text
    assert counts.of("websocket_delivered") == 1
