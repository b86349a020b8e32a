import logging

import pytest

from harness.core.accounts import Account
from harness.errors import UsageError
from harness.load import auth
from harness.load.auth import Auth, Credentials, LoginError, NoAuth, Registration, Send
from tests.unit.load.answers import ANN, Response, Service, login


class Numbered(Auth):
    """A kind of one's own: credentials by a number that the service answers with."""

    def log_in(self, account: Account, send: Send) -> Credentials:
        return Credentials({"X-Number": str(send("POST", "/number").json()["number"])})


@pytest.fixture(autouse=True)
def _warned_before() -> None:
    auth._warn.cache_clear()


def test_own_kind_overrides_one_method() -> None:
    service = Service()
    service["POST /number"] = Response(200, {"number": 7})
    assert login(Numbered()).headers(service.send) == {"X-Number": "7"}


def test_answer_that_an_own_kind_does_not_understand_is_a_failed_login() -> None:
    service = Service()
    service["POST /number"] = Response(200, {"error": "no"})
    with pytest.raises(LoginError, match=r"Numbered met an answer of unknown shape \(KeyError\)"):
        login(Numbered()).headers(service.send)


def test_failed_login_is_said_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with caplog.at_level(logging.WARNING), pytest.raises(LoginError):
            login(Numbered()).headers(Service().send)
    assert caplog.text.count("An account could not log in") == 1


def test_service_that_asks_nobody_gets_no_header_and_its_401_is_an_answer() -> None:
    service = Service()
    ours = login(NoAuth())
    assert ours.headers(service.send) == {}
    assert not ours.auth.refuses(Response(401))
    assert service.asked == []


def test_only_what_changes_something_bears_what_is_for_it() -> None:
    credentials = Credentials({"A": "1"}, {"X-CSRF": "2"}, {"csrf": "3"}, {"session": "4", "csrf": "5"})
    assert credentials.signed("GET", {"params": {"q": 1}}) == {
        "params": {"q": 1},
        "headers": {"A": "1", "Cookie": "session=4; csrf=5"},
    }
    assert credentials.signed("delete", {})["headers"]["X-CSRF"] == "2"
    assert credentials.signed("POST", {"json": {"title": "t"}})["json"] == {"csrf": "3", "title": "t"}
    assert credentials.signed("POST", {"data": {"title": "t"}})["data"] == {"csrf": "3", "title": "t"}
    assert credentials.signed("POST", {})["data"] == {"csrf": "3"}
    assert credentials.signed("POST", {"data": b"raw"})["data"] == b"raw"


def test_headers_of_the_request_itself_win() -> None:
    assert Credentials({"A": "1"}).signed("GET", {"headers": {"A": "2"}}) == {"headers": {"A": "2"}}


def test_account_is_created_once_before_its_first_login() -> None:
    service = Service()
    service["POST /users"] = Response(201)
    service["POST /number"] = Response(200, {"number": 7})
    registration = Registration("/users", {"email": "{name}", "password": "{password}", "tenant": "{tenant}"})
    ours = login(Numbered(register=registration))
    ours.refused(ours.credentials(service.send))
    ours.credentials(service.send)
    assert service.calls == ["POST /users", "POST /number", "POST /number"]
    assert service.asked[0][2]["json"] == {
        "email": "ann@example.org",
        "password": ANN.password,
        "tenant": "north",
    }


@pytest.mark.parametrize("status", [400, 409])
def test_account_that_is_there_already_is_fine(status: int) -> None:
    service = Service()
    service["POST /users"] = Response(status)
    service["POST /number"] = Response(200, {"number": 7})
    assert login(Numbered(register=Registration("/users"))).headers(service.send) == {"X-Number": "7"}


def test_account_that_could_not_be_created_is_said_and_tried_again() -> None:
    service = Service()
    service["POST /users"] = [Response(422), Response(201)]
    service["POST /number"] = Response(200, {"number": 7})
    ours = login(Numbered(register=Registration("/users")))
    with pytest.raises(LoginError, match=r"POST /users did not create it: HTTP 422"):
        ours.credentials(service.send)
    ours.credentials(service.send)
    assert service.calls == ["POST /users", "POST /users", "POST /number"]


def test_refusal_before_the_end_is_remembered() -> None:
    service = Service()
    service["POST /number"] = Response(200, {"number": 7})
    ours = login(Numbered())
    ours.refused(ours.credentials(service.send))
    assert ours.issued is None
    assert ours.refusals[0].refused_at < float("inf")
    assert [refused.credentials.headers for refused in ours.refusals] == [{"X-Number": "7"}]


def test_the_last_refusals_are_remembered_of_however_many() -> None:
    service = Service()
    service["POST /number"] = [Response(200, {"number": number}) for number in range(150)]
    ours = login(Numbered())
    for _ in range(150):
        ours.refused(ours.credentials(service.send))
    kept = [refused.credentials.headers["X-Number"] for refused in ours.refusals]
    assert kept == [str(number) for number in range(50, 150)]


def test_credentials_have_worked_once_the_service_gave_what_was_asked() -> None:
    service = Service()
    service["POST /number"] = Response(200, {"number": 7})
    ours = login(Numbered())
    held = ours.credentials(service.send)
    assert ours.issued is not None
    ours.answered(held, Response(404))
    assert not ours.issued.worked
    ours.answered(held, Response(204))
    assert ours.issued.worked


def test_missing_password_or_column_is_refused_before_any_load() -> None:
    class WithPassword(Auth):
        needs_password = True

    with pytest.raises(UsageError, match=r"WithPassword needs a password.*ann has none.*--accounts"):
        WithPassword().check(Account("ann"))
    with pytest.raises(UsageError, match=r"register names \{tenant\}, and ann has no such column"):
        Numbered(register=Registration("/users", {"tenant": "{tenant}"})).check(Account("ann"))


def test_auth_that_does_not_say_how_is_a_mistake_of_its_author() -> None:
    with pytest.raises(NotImplementedError, match="override log_in"):
        login(Auth()).credentials(Service().send)


def test_service_that_refuses_by_another_status_may_say_so() -> None:
    assert Numbered(refusals=frozenset({401, 403})).refuses(Response(403))
    assert not Numbered().refuses(Response(403))
