"""Who is set on whose records, in which session, and when that ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.bodies import canary
from harness.core.declaration import Declaration
from harness.core.isolation import RECORD_PROBES, STREAM_PROBES, TOKEN_PROBES
from harness.core.stream import Stream
from harness.load import isolation, stream_connection, stream_probes
from harness.load.accounts import AccountPool, Actor, RunAccounts
from harness.load.auth import NoAuth
from harness.load.isolation import probe_isolation
from harness.load.messages import IsolationOrder
from harness.load.stream_probes import opened
from harness.load.token_probes import outliving
from tests.unit.load.shop import AUTH, DOCUMENTS, PEM, Shop

AT_ONCE = 1e9
SHARED = Declaration("/posts", create={"text": canary}, private=False)
UNREAD = Declaration("/notes", create={"text": canary}, without={"read"})


class Person:
    account_name = "spare-{}"
    account_password = "secret"


class Listening(Person):
    stream = Stream("/ws", resume=None, ends_with_token=True)


class Recorder:
    settings = None

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []

    def probe(self, account: str, kind: str, outcome: str, detail: str = "") -> None:
        self.said.append((account, kind, outcome, detail))

    def outcomes(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for _, kind, outcome, _ in self.said:
            found.setdefault(kind, set()).add(outcome)
        return found


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop()
    monkeypatch.setenv("SHOP_KEY", PEM)
    return shop


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    monkeypatch.setattr(isolation, "recorder", recorder)
    yield recorder
    outliving.cache_clear()
    opened.cache_clear()


def accounts(*actors: Actor, free: int = 1) -> RunAccounts:
    run = RunAccounts(AccountPool(free))
    run.actors.update({actor.login.account.name: actor for actor in actors})
    return run


def actor(shop: Shop, name: str, *resources: Declaration) -> Actor:
    made = shop.actor(name)
    return Actor(made.login, resources or (DOCUMENTS,), made.probe_path, user=Person())


def probe(run: RunAccounts, own_accounts: bool = False) -> None:
    probe_isolation(run, "run-1", IsolationOrder(AT_ONCE, 10.0, own_accounts), Random(1))


def test_everything_is_tried_of_a_careful_service_and_refused(shop: Shop, recorder: Recorder) -> None:
    probe(accounts(actor(shop, "ann"), actor(shop, "bob")))
    tried = {*RECORD_PROBES, *TOKEN_PROBES} - {"altered_token", *STREAM_PROBES}
    controls: dict[str, set[str]] = {"owner": {"worked"}, "valid_token": {"worked"}}
    assert recorder.outcomes() == {**controls, **{kind: {"refused"} for kind in tried}}
    assert shop.documents == {}


def test_sessions_are_those_of_an_account_without_a_user(shop: Shop, recorder: Recorder) -> None:
    run = accounts(actor(shop, "ann"), actor(shop, "bob"))
    probe(run)
    assert {who for who, kind, *_ in recorder.said if kind in ("revoked_token", "missing_scope")} == {
        "spare-1"
    }
    assert run.pool.left == 1


def test_without_such_an_account_no_users_session_is_touched_before_the_end(
    shop: Shop, recorder: Recorder
) -> None:
    run = accounts(actor(shop, "ann"), actor(shop, "bob"), free=0)
    logins = shop.asked.count("POST /token")
    probe(run)
    assert recorder.outcomes()["revoked_token"] == recorder.outcomes()["missing_scope"] == {"not_tried"}
    assert shop.asked.count("POST /token") == logins
    probe(run, own_accounts=True)
    assert "refused" in recorder.outcomes()["revoked_token"]
    held = [one.login.issued for one in run.actors.values()]
    assert not any(one and AUTH.token_of(one.credentials) in shop.revoked for one in held)


def test_one_account_alone_has_nobody_to_be_set_on(shop: Shop, recorder: Recorder) -> None:
    probe(accounts(actor(shop, "ann")))
    assert ("ann", "foreign_read", "not_tried", "no second account has such records") in recorder.said
    assert recorder.outcomes()["alg_none"] == {"refused"}


@pytest.mark.parametrize("resource", [SHARED, UNREAD, Declaration("/prices")])
def test_what_is_public_or_cannot_be_read_or_written_is_not_probed(
    shop: Shop, recorder: Recorder, resource: Declaration
) -> None:
    probe(accounts(actor(shop, "ann", resource), actor(shop, "bob", resource)))
    assert not {*RECORD_PROBES} & recorder.outcomes().keys()


def test_who_never_logged_in_takes_no_part(shop: Shop, recorder: Recorder) -> None:
    ann = actor(shop, "ann")
    ann.login.issued = None
    probe(accounts(ann))
    assert recorder.said == []


def test_who_proves_nothing_bears_no_token(shop: Shop, recorder: Recorder) -> None:
    ann, bob = actor(shop, "ann"), actor(shop, "bob")
    ann.login.auth = bob.login.auth = NoAuth()
    probe(accounts(ann, bob))
    assert not {*TOKEN_PROBES} & recorder.outcomes().keys()


def test_probes_end_with_the_load(shop: Shop, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "valve", cast(Any, SimpleNamespace(closed=True)))
    before = len(shop.asked)
    run = accounts(actor(shop, "ann"), actor(shop, "bob"))
    logins = len(shop.asked) - before
    probe(run)
    assert (recorder.said, len(shop.asked) - before) == ([], logins)


def streaming(shop: Shop, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> RunAccounts:
    """Accounts that are told of their changes, over connections that end with their tokens."""
    monkeypatch.setattr(stream_connection, "connect", shop.connect)
    for name, seconds in (("_TOLD_WITHIN_S", 0.2), ("_LATER_S", 0.02), ("_OVER_S", 0.01)):
        monkeypatch.setattr(stream_probes, name, seconds)
    return accounts(*(replace(actor(shop, name), user=Listening()) for name in names))


def test_the_connection_that_may_outlive_its_token_is_opened_before_all_else(
    shop: Shop, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = streaming(shop, ("ann", "bob"), monkeypatch)
    asked = len(shop.asked)
    probe(run)
    assert shop.asked[asked] == "WS ws://127.0.0.1:1/ws"


def test_whoever_was_tried_first_is_tried_again(
    shop: Shop, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = streaming(shop, [f"account-{number}" for number in range(9)], monkeypatch)
    kinds = {"alg_none", "stream_forged_token"}
    for seed in range(6):
        probe_isolation(run, "run-1", IsolationOrder(AT_ONCE, 10.0, False), Random(seed))
    assert len({account for account, kind, *_ in recorder.said if kind in kinds}) == 1


def test_requests_are_kept_apart(shop: Shop, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(isolation, "monotonic", lambda: now)
    monkeypatch.setattr(isolation, "gevent", SimpleNamespace(sleep=sleep))
    run = accounts(actor(shop, "ann"), actor(shop, "bob"))
    asked = len(shop.asked)
    probe_isolation(run, "run-1", IsolationOrder(8.0, 60.0, False), Random(1))
    logins = 2
    assert len(slept) == len(shop.asked) - asked - logins
    assert now == pytest.approx(100.0 + (len(slept) - 1) / 8.0)
