"""Every kind of authentication against small services that check it as the usual frameworks do."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import Any

import pytest
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.load.accounts import Actor
from harness.load.auth import Auth, Credentials, Login, LoginError, Registration, Send
from harness.load.client import MeasuredSession
from harness.load.continuity import control, probe_accounts
from harness.load.cookie_auth import CookieSession, Csrf
from harness.load.http_response import Response
from harness.load.messages import ProbeOrder, RunSettings
from harness.load.recorder import recorder
from harness.load.token_auth import JsonLogin, PasswordGrant, Refresh, SignedJwt, StaticToken
from tests.integration.auth_services import ANN, KEY, Book, Door, serving_sessions, serving_tokens

pytestmark = pytest.mark.integration


class User:
    """Asks a service as an account, as MigrationUser does: once more when its credentials are refused."""

    def __init__(self, auth: Auth, base: str, account: Account) -> None:
        self.session = MeasuredSession(base, EventHook())
        self.login = Login(auth, account, self.session)

    def ask(self, method: str, path: str, **payload: Any) -> Response:
        for _ in range(2):
            held = self.login.credentials(self.session.request)
            response = self.session.request(method, path, **held.signed(method, payload))
            if not self.login.auth.refuses(response):
                self.login.answered(held, response)
                break
            self.login.refused(held)
        return response


Users = Callable[..., User]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def token_user(book: Book) -> Iterator[Users]:
    """Makes users of the service with tokens."""
    yield from _users(serving_tokens(book))


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def session_user(door: Door) -> Iterator[Users]:
    """Makes users of the service with sessions."""
    yield from _users(serving_sessions(door))


def _users(service: AbstractContextManager[str]) -> Iterator[Users]:
    users: list[User] = []

    with service as base:

        def make(auth: Auth, account: Account = ANN) -> User:
            users.append(User(auth, base, account))
            return users[-1]

        yield make
        for user in users:
            user.session.close()


GRANT = PasswordGrant("/api/v1/login/access-token")


def test_password_grant_as_fastapi_takes_it(token_user: Users, book: Book) -> None:
    user = token_user(GRANT)
    assert [user.ask("GET", "/items").json() for _ in range(2)] == [{"owner": ANN.name}] * 2
    assert book.logins == 1
    assert user.login.issued is not None
    assert user.login.issued.expires_at - user.login.issued.at == pytest.approx(book.life_s, abs=2)


def test_token_that_is_revoked_leads_to_one_fresh_login(token_user: Users, book: Book) -> None:
    user = token_user(GRANT)
    user.ask("GET", "/items")
    assert user.login.issued is not None
    book.revoked.add(user.login.issued.credentials.headers["Authorization"].removeprefix("Bearer "))
    assert user.ask("GET", "/items").status_code == 200
    assert book.logins == 2


def test_wrong_password_is_said(token_user: Users) -> None:
    with pytest.raises(LoginError, match=r"ann@example.org could not log in: HTTP 400"):
        token_user(GRANT, Account(ANN.name, "hush")).ask("GET", "/items")


def test_login_that_answers_200_with_an_error_says_its_keys(token_user: Users) -> None:
    with pytest.raises(LoginError, match=r"HTTP 200 without access_token; its keys are: detail, status") as e:
        token_user(PasswordGrant("/always-fine")).ask("GET", "/items")
    assert "hush" not in str(e.value)


def test_account_is_registered_before_its_first_login_and_a_second_time_is_fine(
    token_user: Users, book: Book
) -> None:
    bob = Account("bob@example.org", "s3cret")
    signup = Registration("/users/signup", {"email": "{name}", "password": "{password}"})
    auth = PasswordGrant(GRANT.path, register=signup)
    for _ in range(2):
        assert token_user(auth, bob).ask("GET", "/items").json() == {"owner": bob.name}
    assert book.passwords[bob.name] == "s3cret"


def test_json_login_and_a_refresh_token_that_is_sent_as_a_bearer(token_user: Users, book: Book) -> None:
    book.life_s = 2.0
    auth = JsonLogin(
        "/auth/login",
        username="email",
        token="data.token",
        refresh_token="data.refresh",
        refresh=Refresh("/auth/refresh", by="bearer"),
    )
    user = token_user(auth)
    assert user.ask("GET", "/items").status_code == 200
    assert user.login.issued is not None
    user.login.issued.renew_at = 0.0
    assert user.ask("GET", "/items").status_code == 200
    assert (book.logins, book.refreshes) == (1, 1)


def test_api_key_from_the_accounts_file(token_user: Users) -> None:
    auth = StaticToken(header="X-API-Key", scheme="")
    assert token_user(auth).ask("GET", "/keyed").json() == {"owner": ANN.name}
    stranger = Account("eve", columns={"token": "key-of-eve"})
    assert token_user(auth, stranger).ask("GET", "/keyed").status_code == 401


def test_token_signed_with_the_services_key(token_user: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_JWT_KEY", KEY)
    assert token_user(SignedJwt("SHOP_JWT_KEY")).ask("GET", "/items").json() == {"owner": ANN.name}
    monkeypatch.setenv("SHOP_JWT_KEY", "x" * 32)
    assert token_user(SignedJwt("SHOP_JWT_KEY")).ask("GET", "/items").status_code == 401


def test_kind_of_ones_own(token_user: Users) -> None:
    class Twice(Auth):
        """A grant whose token goes into the header in the old form."""

        def log_in(self, account: Account, send: Send) -> Credentials:
            form = {"username": account.name, "password": account.password}
            token = send("POST", GRANT.path, data=form).json()["access_token"]
            return Credentials({"Authorization": f"bearer {token}"})

    assert token_user(Twice()).ask("GET", "/items").json() == {"owner": ANN.name}


@pytest.mark.parametrize(("deaf", "outcome"), [(False, "worked"), (True, "failed")])
def test_login_whose_token_no_longer_works_is_told_from_one_whose_does(
    token_user: Users, book: Book, deaf: bool, outcome: str
) -> None:
    user = token_user(GRANT)
    user.login.credentials(user.session.unrecorded)
    recorder.begin("w", RunSettings("run", "run", 1, 1, None, 0, 1, 1), monotonic())
    try:
        control(user.login, "/items")
        book.deaf = deaf
        order = ProbeOrder(before=monotonic(), accounts=5, per_second=5.0, within_s=5.0)
        probe_accounts([Actor(user.login, (), "/items")], order, Random(1))
        lines = [line for _, line in recorder.take(monotonic()).lines]
    finally:
        recorder.end()
    assert [(line["probe"], line["outcome"]) for line in lines] == [
        ("fresh_login", "worked"),
        ("first_use", "worked"),
        ("old_token", outcome),
        ("fresh_login", "worked"),
        ("first_use", outcome),
    ]


@pytest.mark.parametrize("header", [None, "X-CSRFToken"])
def test_session_cookie_with_csrf(session_user: Users, door: Door, header: str | None) -> None:
    csrf = Csrf(field="csrf_token", page="/login", header=header)
    user = session_user(CookieSession("/login", cookie="session", csrf=csrf))
    assert user.ask("GET", "/items").status_code == 200
    assert user.ask("POST", "/items", data={"title": "t"}).status_code == 201
    assert door.written == ["t"]
    assert door.logins == 1


def test_session_that_the_service_ended_leads_to_a_fresh_login(session_user: Users, door: Door) -> None:
    user = session_user(CookieSession("/login", csrf=Csrf(field="csrf_token", page="/login")))
    user.ask("GET", "/items")
    door.epoch += 1
    assert user.ask("GET", "/items").status_code == 200
    assert door.logins == 2


def test_form_that_is_shown_again_was_refused(session_user: Users) -> None:
    auth = CookieSession("/login", csrf=Csrf(field="csrf_token", page="/login"))
    with pytest.raises(LoginError, match=r"the form was shown again"):
        session_user(auth, Account(ANN.name, "hush")).ask("GET", "/items")
