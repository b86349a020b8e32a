"""What is no token: refused by a careful service, and each kind of carelessness is found by its probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.isolation import STREAM_PROBES, TOKEN_PROBES
from harness.core.record import Said
from harness.load import token_probes
from harness.load.token_auth import PasswordGrant, StaticToken
from harness.load.token_probes import Outliving, probe_sessions, probe_tokens
from tests.unit.load.shop import AUTH, OTHER_PEM, PEM, Shop

NO_KEY = replace(AUTH, signing_key=None)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", PEM)
    monkeypatch.setattr(token_probes, "_REVOKED_WITHIN_S", 0.0)


def probed(shop: Shop, auth: PasswordGrant = AUTH, kept: Outliving | None = None) -> list[Said]:
    ann, bob = (shop.actor(name, auth) for name in ("ann", "bob"))
    tokens = probe_tokens(ann, bob, kept or Outliving(), lambda: None)
    return [*tokens, *probe_sessions(shop.actor("eve", auth), bob, "run-1", lambda: None)]


def outcomes(said: list[Said]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, kind, outcome, _ in said:
        found.setdefault(kind, set()).add(outcome)
    return found


def test_a_careful_service_refuses_all_and_takes_the_valid_token() -> None:
    tried = set(TOKEN_PROBES) - {"altered_token", *STREAM_PROBES}
    assert outcomes(probed(Shop())) == {"valid_token": {"worked"}, **{kind: {"refused"} for kind in tried}}


@pytest.mark.parametrize(
    ("careless", "accepted"),
    [
        ("signature", {"forged_signature", "expired_token", "wrong_audience", "wrong_issuer"}),
        ("none", {"alg_none"}),
        ("confusion", {"key_confusion"}),
        ("expiry", {"expired_token"}),
        ("audience", {"wrong_audience"}),
        ("issuer", {"wrong_issuer"}),
        ("scope", {"missing_scope"}),
        ("revocation", {"revoked_token"}),
    ],
)
def test_each_kind_of_carelessness_is_found_by_its_probe(careless: str, accepted: set[str]) -> None:
    found = outcomes(probed(Shop({careless})))
    assert {kind for kind in TOKEN_PROBES if "accepted" in found.get(kind, ())} == accepted


def test_a_write_that_a_reader_was_let_do_is_removed() -> None:
    shop = Shop({"scope"})
    probed(shop)
    assert shop.documents == {}


def test_what_is_shown_to_everybody_tells_nothing_of_tokens() -> None:
    found = outcomes(probed(Shop({"token"})))
    assert {kind: found[kind] for kind in ("forged_signature", "alg_none")} == {
        "forged_signature": {"error"},
        "alg_none": {"error"},
    }
    assert "accepted" not in found["revoked_token"]


def test_a_refusal_of_the_valid_token_too_says_nothing() -> None:
    found = outcomes(probed(Shop(failing={"GET /documents": 401})))
    assert found["valid_token"] >= {"failed"}
    assert not any({"refused", "accepted"} & found.get(kind, set()) for kind in TOKEN_PROBES)


def test_without_the_key_what_needs_it_is_said_to_be_untried() -> None:
    said = {kind: (outcome, detail) for _, kind, outcome, detail in probed(Shop(), NO_KEY)}
    why = "the key that the service signs with is not known"
    assert said["wrong_audience"] == said["wrong_issuer"] == ("not_tried", why)
    assert said["expired_token"] == ("not_tried", "no token outlived its end by the leeway of 5 s yet")


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (OTHER_PEM, "the key in SHOP_KEY is not the one that the service signs with"),
        ("hunter2", "the key in SHOP_KEY signs nothing (ValueError)"),
        (None, "SHOP_KEY is not set"),
    ],
    ids=["another's", "no key", "not set"],
)
def test_what_only_the_services_key_can_make_is_untried_without_it(
    held: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_KEY")
    if held is not None:
        monkeypatch.setenv("SHOP_KEY", held)
    said = {kind: (outcome, detail) for _, kind, outcome, detail in probed(Shop())}
    assert said["wrong_audience"] == said["wrong_issuer"] == ("not_tried", why)
    assert said["expired_token"] == ("not_tried", "no token outlived its end by the leeway of 5 s yet")
    assert said["alg_none"] == ("refused", "")


def test_where_what_is_signed_anew_is_not_taken_either_nothing_is_known() -> None:
    found = outcomes(probed(Shop({"sessions"})))
    assert found["expired_token"] == found["wrong_audience"] == found["wrong_issuer"] == {"error"}
    assert found["alg_none"] == {"refused"}


@pytest.mark.parametrize(("careless", "outcome"), [(set(), "refused"), ({"expiry"}, "accepted")])
def test_a_token_that_outlived_its_end_is_tried(
    careless: set[str], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, kept = Shop(careless, life_s=-60), Outliving()
    kept.keep("ann", shop.issue("ann"), 100.0)
    shop.life_s = 300
    now = 100.0 + AUTH.leeway_s
    monkeypatch.setattr(token_probes, "monotonic", lambda: now)
    assert outcomes(probed(shop, NO_KEY, kept))["expired_token"] == {"not_tried"}
    now += 1
    assert outcomes(probed(shop, NO_KEY, kept))["expired_token"] == {outcome}


def test_of_several_tokens_the_one_that_ends_first_is_kept() -> None:
    kept = Outliving()
    for token, ends_at in (("a", 9.0), ("b", 7.0), ("c", 8.0)):
        kept.keep("ann", token, ends_at)
    assert kept.token == "b"
    assert "b" not in repr(kept)


def test_an_opaque_token_is_altered() -> None:
    shop = Shop()
    auth = StaticToken()
    ann = shop.actor("ann")
    account = replace(ann.login.account, columns={"token": "3f2a77aa"})
    ann.login.auth, ann.login.account, ann.login.issued = auth, account, None
    said = {kind: outcome for _, kind, outcome, _ in probe_tokens(ann, None, Outliving(), lambda: None)}
    assert said["altered_token"] == "error"  # as this service does not take the opaque one either
    assert "alg_none" not in said


def test_without_a_path_nothing_can_be_tried() -> None:
    ann = replace(Shop().actor("ann"), probe_path=None)
    [(_, kind, outcome, detail)] = probe_tokens(ann, None, Outliving(), lambda: None)
    assert (kind, outcome) == ("forged_signature", "not_tried")
    assert "set probe_path" in detail


def test_what_is_not_declared_is_said_to_be_untried() -> None:
    said = {kind: (outcome, detail) for _, kind, outcome, detail in probed(Shop(), PasswordGrant("/token"))}
    assert said["revoked_token"] == ("not_tried", "no call is declared that revokes a token")
    assert said["missing_scope"] == ("not_tried", "no scope is declared that may only read")


def test_a_key_set_that_cannot_be_had_is_told() -> None:
    said = [one for one in probed(Shop(failing={"GET /jwks": 404})) if one[1] == "key_confusion"]
    assert ("ann", "key_confusion", "error", "GET /jwks: HTTP 404") in said


def test_no_token_stands_in_what_is_said() -> None:
    shop = Shop({"signature", "none", "confusion", "expiry"})
    words = " ".join(detail for *_, detail in probed(shop))
    assert "eyJ" not in words


def test_a_token_that_is_renewed_meanwhile_is_tried_once_more() -> None:
    shop = Shop()
    ann = shop.actor("ann", NO_KEY)
    issued = ann.login.issued
    assert issued is not None
    token = issued.credentials.headers["Authorization"].removeprefix("Bearer ")
    asked = 0

    def renew() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            shop.revoked.add(token)
            ann.login.issued = None

    said = [kind_ for kind_ in probe_tokens(ann, None, Outliving(), renew) if kind_[1] == "alg_none"]
    assert [outcome for _, _, outcome, _ in said] == ["refused", "refused"]
