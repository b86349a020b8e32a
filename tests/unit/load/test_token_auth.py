import re
import time
from email.utils import formatdate
from typing import Any

import jwt
import pytest

from harness.core.accounts import Account
from harness.errors import UsageError
from harness.load import auth
from harness.load.auth import Login, LoginError
from harness.load.token_auth import JsonLogin, PasswordGrant, Refresh, SignedJwt, StaticToken
from tests.unit.load.answers import ANN, Response, Service, login

PASSWORD = ANN.password


class Granting(Service):
    """Answers token requests as told."""

    def __init__(self) -> None:
        super().__init__()
        self.life = 100
        self.statuses: dict[str, int] = {}
        self["POST /token"] = lambda _: self._grant("/token")
        self["POST /token/refresh"] = lambda _: self._grant("/token/refresh")

    def _grant(self, path: str) -> Response:
        number = len(self.asked)
        granted = {
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "expires_in": self.life,
        }
        return Response(self.statuses.get(path, 200), granted)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]


def _token(grant: Login, service: Service) -> str:
    """The access token that requests bear."""
    return grant.headers(service.send)["Authorization"].removeprefix("Bearer ")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth, "monotonic", clock)
    return clock


@pytest.fixture
def service() -> Granting:
    return Granting()


@pytest.fixture
def grant() -> Login:
    return login(PasswordGrant("/token", refresh="/token/refresh", scope="read write"))


def test_first_token_comes_from_a_login_with_a_form(grant: Login, service: Granting, clock: Clock) -> None:
    assert _token(grant, service) == "access-1"
    [(_, path, payload)] = service.asked
    assert path == "/token"
    assert payload["data"] == {
        "grant_type": "password",
        "username": "ann@example.org",
        "password": PASSWORD,
        "scope": "read write",
    }


def test_token_is_kept_until_it_is_time_to_refresh_it(grant: Login, service: Granting, clock: Clock) -> None:
    _token(grant, service)
    clock.now += 79.0
    assert _token(grant, service) == "access-1"
    clock.now += 1.0
    assert _token(grant, service) == "access-2"
    assert service.asked[1] == ("POST", "/token/refresh", {"json": {"refresh_token": "refresh-1"}})


@pytest.mark.parametrize(("life", "used_for"), [(300, 240.0), (5, 3.0), (3, 1.5)])
def test_short_lived_token_is_refreshed_well_before_its_end(
    grant: Login, service: Granting, clock: Clock, life: int, used_for: float
) -> None:
    service.life = life
    _token(grant, service)
    clock.now += used_for - 0.01
    assert _token(grant, service) == "access-1"
    clock.now += 0.02
    assert _token(grant, service) == "access-2"


def test_refused_refresh_leads_to_a_login(grant: Login, service: Granting, clock: Clock) -> None:
    _token(grant, service)
    clock.now += 80.0
    service.statuses["/token/refresh"] = 401
    assert _token(grant, service) == "access-3"
    assert service.paths == ["/token", "/token/refresh", "/token"]


def test_token_is_used_to_its_end_when_no_new_one_can_be_had(
    grant: Login, service: Granting, clock: Clock
) -> None:
    _token(grant, service)
    service.statuses = {"/token": 503, "/token/refresh": 503}
    clock.now += 99.0
    assert _token(grant, service) == "access-1"
    clock.now += 1.0
    with pytest.raises(LoginError):
        _token(grant, service)


def test_refresh_token_that_may_be_spent_is_not_used_again(
    grant: Login, service: Granting, clock: Clock
) -> None:
    _token(grant, service)
    service.statuses = {"/token": 503, "/token/refresh": 503}
    clock.now += 80.0
    _token(grant, service)
    service.statuses = {}
    _token(grant, service)
    assert service.paths == ["/token", "/token/refresh", "/token", "/token"]


def test_after_a_401_the_next_token_comes_from_a_login(grant: Login, service: Granting, clock: Clock) -> None:
    grant.refused(grant.credentials(service.send))
    assert grant.issued is None
    assert _token(grant, service) == "access-2"
    assert service.paths == ["/token", "/token"]


def test_401_for_an_older_token_does_not_discard_the_newer_one(
    grant: Login, service: Granting, clock: Clock
) -> None:
    old = grant.credentials(service.send)
    grant.refused(old)
    new = grant.credentials(service.send)
    grant.refused(old)
    assert grant.issued is not None
    assert grant.issued.credentials == new


def test_failed_login_names_the_account_and_the_cause_and_no_secret(
    grant: Login, service: Granting, clock: Clock
) -> None:
    service.statuses["/token"] = 401
    with pytest.raises(LoginError) as raised:
        _token(grant, service)
    assert str(raised.value) == "ann@example.org could not log in: HTTP 401"


def test_neither_password_nor_tokens_are_shown(grant: Login, service: Granting, clock: Clock) -> None:
    _token(grant, service)
    shown = repr(grant.account) + repr(grant) + repr(grant.issued)
    assert PASSWORD not in shown
    assert "access-1" not in shown
    assert "refresh-1" not in shown


def test_refresh_token_that_is_not_replaced_is_used_again(clock: Clock) -> None:
    service = Service()
    service["POST /token"] = Response(200, {"access_token": "a", "refresh_token": "r", "expires_in": 100})
    service["POST /token/refresh"] = Response(200, {"access_token": "b", "expires_in": 100})
    grant = login(PasswordGrant("/token", refresh="/token/refresh"))
    for _ in range(3):
        grant.credentials(service.send)
        clock.now += 80.0
    assert service.calls == ["POST /token", "POST /token/refresh", "POST /token/refresh"]


@pytest.mark.parametrize(
    ("by", "sent"),
    [
        ("json", {"json": {"refresh": "r"}}),
        ("form", {"data": {"grant_type": "refresh_token", "refresh": "r"}}),
        ("bearer", {"headers": {"Authorization": "Bearer r"}}),
    ],
)
def test_refresh_token_is_sent_as_declared(clock: Clock, by: Any, sent: dict[str, Any]) -> None:
    service = Service()
    answer = {"tokens": {"access": "a", "refresh": "r"}, "expires_in": 100}
    service["POST /login"] = service["POST /again"] = Response(200, answer)
    refresh = Refresh("/again", by=by, field="refresh")
    grant = login(JsonLogin("/login", token="tokens.access", refresh_token="tokens.refresh", refresh=refresh))
    grant.credentials(service.send)
    clock.now += 80.0
    grant.credentials(service.send)
    assert service.asked[1] == ("POST", "/again", sent)


def test_json_login_sends_the_declared_fields_and_finds_the_token() -> None:
    service = Service()
    service["POST /login"] = Response(200, {"data": {"token": "abc"}})
    auth = JsonLogin(
        "/login", username="email", password="secret", token="data.token", extra={"tenant": "{tenant}"}
    )
    assert login(auth).headers(service.send) == {"Authorization": "Bearer abc"}
    assert service.last["json"] == {"email": "ann@example.org", "secret": PASSWORD, "tenant": "north"}


def test_header_and_scheme_can_be_chosen() -> None:
    service = Service()
    service["POST /login"] = Response(200, {"access_token": "abc"})
    assert login(JsonLogin("/login", scheme="Token")).headers(service.send) == {"Authorization": "Token abc"}
    bare = JsonLogin("/login", header="X-Auth", scheme="")
    assert login(bare).headers(service.send) == {"X-Auth": "abc"}


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (
            Response(200, {"detail": "hush", "code": 7}),
            "POST /token answered HTTP 200 without access_token; its keys are: code, detail",
        ),
        (
            Response(200, {"access_token": None}),
            "POST /token answered HTTP 200 without access_token; its keys are: access_token",
        ),
        (Response(200, {}), "POST /token answered HTTP 200 without access_token; its keys are: none"),
        (Response(200, "<html>hush</html>"), "POST /token answered HTTP 200, but no JSON"),
        (Response(200, ["hush"]), "POST /token answered HTTP 200, but a JSON list, not an object"),
        (Response(404), "HTTP 404"),
        (Response(429), "rate limited (HTTP 429)"),
        (Response(503), "HTTP 503"),
    ],
)
def test_login_without_a_token_says_what_came_instead_and_no_value(response: Response, says: str) -> None:
    service = Service()
    service["POST /token"] = response
    with pytest.raises(LoginError, match=re.escape(says)) as raised:
        login(PasswordGrant("/token")).credentials(service.send)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("given", [{}, {"expires_in": None}, {"expires_in": "soon"}])
def test_token_without_expires_in_is_renewed_by_its_own_exp(clock: Clock, given: dict[str, Any]) -> None:
    # An hour off: the service's clock is not ours, so only the difference counts.
    issued_at = int(time.time()) - 3600
    token = jwt.encode({"iat": issued_at, "exp": issued_at + 100}, "k" * 32)
    service = Service()
    service["POST /token"] = Response(200, {"access_token": token, **given})
    grant = login(PasswordGrant("/token"))
    grant.credentials(service.send)
    clock.now += 79.0
    grant.credentials(service.send)
    assert len(service.asked) == 1
    clock.now += 1.0
    grant.credentials(service.send)
    assert len(service.asked) == 2


def test_token_that_says_nothing_of_its_end_is_kept(clock: Clock) -> None:
    service = Service()
    service["POST /token"] = Response(200, {"access_token": "opaque"})
    grant = login(PasswordGrant("/token"))
    grant.credentials(service.send)
    clock.now += 1e6
    grant.credentials(service.send)
    assert len(service.asked) == 1


def test_static_token_is_the_accounts_own_and_asks_nobody() -> None:
    service = Service()
    assert login(StaticToken()).headers(service.send) == {"Authorization": "Bearer t-1"}
    key = StaticToken(header="X-API-Key", scheme="", column="tenant")
    assert login(key).headers(service.send) == {"X-API-Key": "north"}
    assert service.asked == []


def test_account_without_a_static_token_is_refused_before_any_load() -> None:
    with pytest.raises(UsageError, match=r"needs a token of each account, and bob has none.*--accounts"):
        StaticToken().check(Account("bob", "s"))
    StaticToken().check(ANN)


def test_signed_token_bears_the_claims_and_is_made_anew_in_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "k" * 32)
    auth = SignedJwt(
        "SHOP_KEY", claims={"sub": "{id}", "email": "{name}"}, lifetime_s=100, headers={"kid": "1"}
    )
    auth.check(ANN)
    signed = login(auth)
    token = _token(signed, Service())
    options: Any = {"verify_sub": False}
    claims = jwt.decode(token, "k" * 32, algorithms=["HS256"], options=options)
    assert (claims["sub"], claims["email"]) == (7, "ann@example.org")
    assert claims["exp"] - claims["iat"] == 100
    assert jwt.get_unverified_header(token)["kid"] == "1"
    clock.now += 79.0
    first = signed.issued
    signed.credentials(Service().send)
    assert signed.issued is first
    clock.now += 1.0
    signed.credentials(Service().send)
    assert signed.issued is not first


@pytest.mark.parametrize(
    ("key", "algorithm", "says"),
    [
        (None, "HS256", r"the key in SHOP_KEY, which is not set"),
        ("hush" * 8, "ES256", r"The key in SHOP_KEY signs nothing by ES256"),
        ("hush" * 8, "XX256", r"The key in SHOP_KEY signs nothing by XX256"),
    ],
)
def test_key_that_signs_nothing_is_refused_before_any_load(
    monkeypatch: pytest.MonkeyPatch, key: str | None, algorithm: str, says: str
) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("SHOP_KEY", key)
    with pytest.raises(UsageError, match=says) as raised:
        SignedJwt("SHOP_KEY", algorithm=algorithm).check(ANN)
    assert "hush" not in str(raised.value)


def test_claim_of_a_column_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "k" * 32)
    with pytest.raises(UsageError, match=r"SignedJwt\(claims=…\) names \{role\}, and ann@example.org has no"):
        SignedJwt("SHOP_KEY", claims={"role": "{role}"}).check(ANN)


@pytest.mark.parametrize("off_s", [-600, 600])
def test_token_is_renewed_by_the_services_clock(clock: Clock, off_s: int) -> None:
    """Its `exp` alone says until when by that clock, and `Date` what that clock shows."""
    now = int(time.time()) + off_s
    token = jwt.encode({"exp": now + 100}, "k" * 32)
    service = Service()
    date = [("Date", formatdate(now, usegmt=True))]
    service["POST /token"] = Response(200, {"access_token": token}, date)
    grant = login(PasswordGrant("/token"))
    for passed in (0.0, 79.0):
        clock.now += passed
        grant.credentials(service.send)
        assert len(service.asked) == 1
    clock.now += 1.0
    grant.credentials(service.send)
    assert len(service.asked) == 2


@pytest.mark.parametrize("said", [{"expires_in": 0}, {"expires_in": -5}, {"expires_in": "nan"}])
def test_token_that_is_said_to_be_over_is_used_until_it_is_refused(clock: Clock, said: Any) -> None:
    service = Service()
    service["POST /token"] = Response(200, {"access_token": "a", **said})
    grant = login(PasswordGrant("/token"))
    for _ in range(3):
        clock.now += 1000.0
        grant.credentials(service.send)
    assert len(service.asked) == 1


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "Jörg"])
def test_token_that_no_header_can_bear_is_none(token: str) -> None:
    service = Service()
    service["POST /token"] = Response(200, {"access_token": token})
    with pytest.raises(LoginError, match="answered a token that no header can bear"):
        login(PasswordGrant("/token")).credentials(service.send)
