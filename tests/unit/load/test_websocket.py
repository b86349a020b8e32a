from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.accounts import Account
from harness.load import websocket
from harness.load.auth import Login, NoAuth
from harness.load.client import MeasuredSession
from harness.load.websocket import Arrival, Numbering, Subscription


def test_messages_in_order_leave_nothing_out() -> None:
    numbering = Numbering()
    numbering.begin(4)
    assert [numbering.arrive(number) for number in (5, 6, 7)] == [Arrival.IN_ORDER] * 3
    assert numbering.give_up() == 0


def test_number_left_out_is_counted_once() -> None:
    numbering = Numbering()
    numbering.begin(4)
    numbering.arrive(7)
    assert numbering.give_up() == 2
    assert numbering.give_up() == 0


def test_message_after_a_later_one_is_late_not_left_out() -> None:
    numbering = Numbering()
    numbering.begin(4)
    assert numbering.arrive(6) is Arrival.IN_ORDER
    assert numbering.arrive(5) is Arrival.LATE
    assert numbering.arrive(5) is Arrival.AGAIN
    assert numbering.give_up() == 0


def test_message_that_came_before_comes_again() -> None:
    numbering = Numbering()
    numbering.begin(4)
    numbering.arrive(5)
    assert numbering.arrive(5) is Arrival.AGAIN
    assert numbering.arrive(4) is Arrival.AGAIN


def test_first_message_of_a_stream_without_a_welcome_is_in_order() -> None:
    numbering = Numbering()
    assert numbering.arrive(9) is Arrival.IN_ORDER
    assert numbering.give_up() == 0


def test_welcome_of_a_resumed_stream_does_not_hide_what_was_missed() -> None:
    numbering = Numbering()
    numbering.begin(4)
    numbering.arrive(5)
    numbering.begin(8)
    numbering.arrive(8)
    assert numbering.give_up() == 2


class Counts:
    """A recorder that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    monkeypatch.setattr(websocket, "recorder", counts)
    monkeypatch.setattr(websocket, "utc_now", lambda: SimpleNamespace(timestamp=lambda: 50.25))
    return counts


@pytest.fixture
def subscription() -> Subscription:
    login = Login(NoAuth(), Account("account-0001"), cast(MeasuredSession, None))
    return Subscription("http://127.0.0.1:8000", "/ws", login, Random(1))


def _change(number: int, account: str = "account-0001") -> dict[str, Any]:
    return {"type": "change", "seq": number, "committed_at": 50.0, "canary": f"canary:{account}"}


def test_change_is_checked_and_its_delay_counts_from_the_commit(
    counts: Counts, subscription: Subscription
) -> None:
    subscription._take({"type": "welcome", "last_seq": 0})
    subscription._take(_change(1))
    assert counts.told == [("read_checked",), ("websocket_delivered", 0.25)]


def test_change_that_comes_late_is_delivered_and_one_that_comes_again_is_not(
    counts: Counts, subscription: Subscription
) -> None:
    subscription._take({"type": "welcome", "last_seq": 0})
    for number in (2, 1, 1):
        subscription._take(_change(number))
    assert [name for name, *_ in counts.told if name != "read_checked"] == [
        "websocket_delivered",
        "websocket_reordered",
        "websocket_delivered",
        "websocket_duplicated",
    ]


def test_change_of_another_account_is_a_leak(counts: Counts, subscription: Subscription) -> None:
    subscription._take(_change(1, "account-0002"))
    assert ("probe", "account-0001", "canary", "leaked", "WS showed account-0002") in counts.told
    assert ("read_checked",) not in counts.told


def test_migration_status_is_no_change(counts: Counts, subscription: Subscription) -> None:
    subscription._take({"type": "migration", "status": "started"})
    assert counts.told == []


@pytest.mark.parametrize(
    ("host", "url"),
    [("http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws"), ("https://shop.example", "wss://shop.example/ws")],
)
def test_websocket_is_on_the_same_host(host: str, url: str) -> None:
    login = Login(NoAuth(), Account("a"), cast(MeasuredSession, None))
    assert Subscription(host, "/ws", login, Random(1))._url == url
