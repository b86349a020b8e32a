"""Who is told of a change: its owner alone, and by a valid token alone."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import cast

import pytest

from harness.clock import monotonic
from harness.core.record import Said
from harness.core.stream import Stream
from harness.load import stream_connection, stream_probes
from harness.load.accounts import Actor
from harness.load.stream_probes import open_for_later, opened, probe_stream
from harness.load.token_probes import Outliving
from tests.unit.load.shop import AUTH, DOCUMENTS, PEM, Shop

OWN = Stream("/ws", resume=None)
NAMED = Stream("/ws", resume=None, says=({"subscribe": "{name}"},))


class Person:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, seconds in (("_TOLD_WITHIN_S", 0.2), ("_LATER_S", 0.02), ("_GREETED_WITHIN_S", 0.2)):
        monkeypatch.setattr(stream_probes, name, seconds)
    monkeypatch.setattr(stream_probes, "_OVER_S", 0.01)
    yield
    opened.cache_clear()


def an_actor(shop: Shop, name: str, stream: Stream) -> Actor:
    return replace(shop.actor(name), user=Person(stream))


def probed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, stream: Stream = OWN, kept: Outliving | None = None
) -> list[Said]:
    monkeypatch.setattr(stream_connection, "connect", shop.connect)
    owner, stranger = an_actor(shop, "ann", stream), an_actor(shop, "bob", stream)
    open_for_later(owner, "run-1", lambda: None)
    return list(probe_stream(owner, stranger, DOCUMENTS, kept or Outliving(), "run-1", lambda: None))


def outcomes(said: list[Said]) -> list[tuple[str, str, str]]:
    return [(account, kind, outcome) for account, kind, outcome, _ in said]


def test_only_its_owner_is_told_and_by_a_valid_token(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    assert outcomes(probed(shop, monkeypatch)) == [
        ("ann", "stream_outlived_token", "not_tried"),
        ("ann", "valid_token", "worked"),
        ("bob", "foreign_stream", "refused"),
        ("ann", "stream_forged_token", "refused"),
        ("ann", "stream_forged_token", "refused"),
    ]
    assert shop.documents == {}


def test_a_change_that_is_pushed_to_all_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    said = probed(Shop({"push"}), monkeypatch)
    assert ("bob", "foreign_stream", "leaked") in outcomes(said)
    [detail] = [detail for _, _, outcome, detail in said if outcome == "leaked"]
    assert detail == "WebSocket /ws, another account's: the change of a record came over it"


def test_a_subscription_to_anothers_changes_is_tried_where_it_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = probed(Shop(), monkeypatch, NAMED)  # this service believes what it is told
    assert [outcome for _, kind, outcome, _ in said if kind == "foreign_stream"] == ["refused", "leaked"]


@pytest.mark.parametrize(("careless", "accepted"), [("signature", 1), ("none", 1), ("token", 2)])
def test_a_forged_token_that_is_taken_is_found(
    careless: str, accepted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = probed(Shop({careless}), monkeypatch)
    found = [outcome for _, kind, outcome, _ in said if kind == "stream_forged_token"]
    assert found.count("accepted") == accepted


@pytest.mark.parametrize(("careless", "outcome"), [(set(), "refused"), ({"expiry"}, "accepted")])
def test_a_token_that_has_ended_is_tried(
    careless: set[str], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, kept = Shop(careless, life_s=-60), Outliving()
    kept.keep("ann", shop.issue("ann"), 0.0)
    shop.life_s = 300
    found = outcomes(probed(shop, monkeypatch, kept=kept))
    assert ("ann", "stream_expired_token", outcome) in found


@pytest.mark.parametrize(("careless", "outcome"), [(set(), "refused"), ({"expiry"}, "accepted")])
def test_with_the_services_key_no_token_has_to_end_first(
    careless: set[str], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", PEM)
    said = probed(Shop(careless), monkeypatch)
    [(_, _, found, detail)] = [one for one in said if one[1] == "stream_expired_token"]
    assert found == outcome
    if found == "accepted":
        how = "a token that was signed with the service's key, and ended an hour ago"
        assert detail == f"WebSocket /ws, {how}: the change of a record came over it"


def test_with_the_services_key_a_connection_is_opened_by_a_token_that_ends_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_KEY", PEM)
    shop, stream = Shop(), Stream("/ws", resume=None, ends_with_token=True)
    probed(shop, monkeypatch, stream)
    soon, ends_at = time.time() + stream_probes._SHORT_S, opened("run-1")["ann"].ends_at
    [claims] = [one for one in shop.claims if abs(one["exp"] - soon) < 60]
    assert claims["sub"] == "ann"
    assert claims["exp"] - time.time() == pytest.approx(ends_at - monotonic(), abs=2.0)
    monkeypatch.setattr(stream_probes, "monotonic", lambda: ends_at + AUTH.leeway_s + 0.1)
    shop.sockets = []  # nothing more is pushed to those who are connected now
    assert ("ann", "stream_outlived_token", "refused") in outcomes(probed(shop, monkeypatch, stream))


def test_another_accounts_token_would_be_told_of_nothing_so_it_is_not_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Outliving()
    kept.keep("bob", "a token of bob", 0.0)
    assert "stream_expired_token" not in {said[1] for said in probed(Shop(), monkeypatch, kept=kept)}


@pytest.mark.parametrize(
    ("careless", "ended", "expected"),
    [
        (set(), False, ("refused", "")),
        (
            {"outlive"},
            False,
            (
                "accepted",
                "WebSocket /ws, opened by a token that has ended since: the change of a record came over it",
            ),
        ),
        (set(), True, ("not_tried", "the connection ended before its token")),
    ],
)
def test_a_connection_that_outlives_its_token_is_found(
    careless: set[str], ended: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, stream = Shop(careless), Stream("/ws", resume=None, ends_with_token=True)

    def outlived() -> tuple[str, str]:
        said = probed(shop, monkeypatch, stream)
        return next((outcome, detail) for _, kind, outcome, detail in said if kind == "stream_outlived_token")

    now = monotonic()
    assert outlived() == ("not_tried", "no token ended while a connection was open")
    kept = opened("run-1")["ann"]
    if ended:
        kept.listener.ended_at = now
    if "outlive" not in careless:
        shop.sockets = []  # nothing more is pushed to those who are connected now
    monkeypatch.setattr(stream_probes, "monotonic", lambda: kept.ends_at + AUTH.leeway_s + 1)
    assert outlived() == expected


def test_where_the_owner_is_not_told_either_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(probed(Shop({"deaf"}), monkeypatch))
    assert found[1] == ("ann", "valid_token", "failed")
    assert {outcome for _, kind, outcome in found[2:]} == {"error"}


def test_a_service_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(probed(Shop(failing={"GET /ws": 503}), monkeypatch))
    assert {outcome for _, kind, outcome in found[2:]} == {"error"}


def test_a_record_that_cannot_be_written_leaves_nothing_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(failing={"POST /documents": 503})
    _, (_, kind, outcome, detail) = probed(shop, monkeypatch)
    assert (kind, outcome, detail) == ("foreign_stream", "not_tried", "POST /documents: HTTP 503")


def test_every_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop({"token"})
    probed(shop, monkeypatch)
    assert len(shop.sockets) == 4
    assert all(socket._messages.queue[-1] is None or not len(socket._messages) for socket in shop.sockets)


def test_without_a_stranger_tokens_are_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    monkeypatch.setattr(stream_connection, "connect", shop.connect)
    owner = an_actor(shop, "ann", OWN)
    found = outcomes(list(probe_stream(owner, None, DOCUMENTS, Outliving(), "run-1", lambda: None)))
    assert {kind for _, kind, _ in found} == {"valid_token", "stream_forged_token", "stream_outlived_token"}


def test_a_connection_that_was_not_judged_yet_stays_for_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, stream = Shop(), Stream("/ws", resume=None, ends_with_token=True)
    monkeypatch.setattr(stream_connection, "connect", shop.connect)
    owner = an_actor(shop, "ann", stream)
    open_for_later(owner, "run-1", lambda: None)
    before = opened("run-1")["ann"]
    monkeypatch.setattr(stream_probes, "monotonic", lambda: before.ends_at + AUTH.leeway_s + 1)
    said = cast(Generator[Said], probe_stream(owner, None, DOCUMENTS, Outliving(), "run-1", lambda: None))
    assert next(said)[1] == "valid_token"
    said.close()  # as when its time is over
    assert opened("run-1")["ann"] is before
    assert before.listener.ended_at is None
    assert "stream_outlived_token" in {
        kind for _, kind, *_ in probe_stream(owner, None, DOCUMENTS, Outliving(), "run-1", lambda: None)
    }
    assert opened("run-1")["ann"] is not before
