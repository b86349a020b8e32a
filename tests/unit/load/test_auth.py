from typing import Any, cast

import pytest

from harness.errors import SetupError
from harness.load import auth
from harness.load.auth import Account, AccountPool, LoginError, PasswordGrant, accounts_of
from harness.load.client import MeasuredSession
from harness.load.messages import RunSettings
from tests.unit.load.test_client import Answer

PASSWORD = "correct horse battery staple"


def test_workers_share_out_the_accounts_without_overlap() -> None:
    pools = [AccountPool(accounts=10, worker_index=index, worker_count=3) for index in range(3)]
    taken = [[pool.take() for _ in range(3)] for pool in pools]
    assert taken == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]


def test_account_of_a_user_that_ended_can_be_taken_again() -> None:
    pool = AccountPool(accounts=5)
    assert [pool.take(), pool.take()] == [1, 2]
    pool.give_back(1)
    assert [pool.take(), pool.take()] == [1, 3]


def test_more_users_than_accounts_is_refused_with_the_remedy() -> None:
    pool = AccountPool(accounts=2)
    pool.take()
    pool.take()
    with pytest.raises(SetupError, match=r"the service has 2.*Lower --users"):
        pool.take()


def test_new_run_begins_with_all_accounts_free() -> None:
    first = accounts_of(_settings("run-1"))
    assert first.pool.take() == 1
    assert accounts_of(_settings("run-1")) is first
    assert accounts_of(_settings("run-2")).pool.take() == 1


def _settings(run_id: str) -> RunSettings:
    return RunSettings(run_id, run_id, 1, 30, 80.0, 0, 1, 1000)


class Service:
    """Answers token requests as told. Keeps what it was asked."""

    def __init__(self) -> None:
        self.life = 100
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def send(self, _method: str, path: str, **payload: Any) -> Answer:
        self.asked.append((path, payload.get("data") or payload["json"]))
        answer = Answer(self.statuses.get(path, 200))
        number = len(self.asked)
        granted = {
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "expires_in": self.life,
        }
        answer.json = lambda: granted  # type: ignore[method-assign]
        return answer

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


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
def service() -> Service:
    return Service()


@pytest.fixture
def grant() -> PasswordGrant:
    return PasswordGrant(Account("account-0001", PASSWORD), cast(MeasuredSession, None), refresh_share=0.8)


def test_first_token_comes_from_a_login_with_a_form(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    assert grant.token(service.send) == "access-1"
    [(path, form)] = service.asked
    assert path == "/token"
    assert form == {
        "grant_type": "password",
        "username": "account-0001",
        "password": PASSWORD,
        "scope": "read write",
    }


def test_token_is_kept_until_it_is_time_to_refresh_it(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    grant.token(service.send)
    clock.now += 79.0
    assert grant.token(service.send) == "access-1"
    clock.now += 1.0
    assert grant.token(service.send) == "access-2"
    assert service.asked[1] == ("/token/refresh", {"refresh_token": "refresh-1"})


@pytest.mark.parametrize(("life", "used_for"), [(300, 240.0), (5, 3.0), (3, 1.5)])
def test_short_lived_token_is_refreshed_well_before_its_end(
    grant: PasswordGrant, service: Service, clock: Clock, life: int, used_for: float
) -> None:
    service.life = life
    grant.token(service.send)
    clock.now += used_for - 0.01
    assert grant.token(service.send) == "access-1"
    clock.now += 0.02
    assert grant.token(service.send) == "access-2"


def test_refused_refresh_leads_to_a_login(grant: PasswordGrant, service: Service, clock: Clock) -> None:
    grant.token(service.send)
    clock.now += 80.0
    service.statuses["/token/refresh"] = 401
    assert grant.token(service.send) == "access-3"
    assert service.paths == ["/token", "/token/refresh", "/token"]


def test_token_is_used_to_its_end_when_no_new_one_can_be_had(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    grant.token(service.send)
    service.statuses = {"/token": 503, "/token/refresh": 503}
    clock.now += 99.0
    assert grant.token(service.send) == "access-1"
    clock.now += 1.0
    with pytest.raises(LoginError):
        grant.token(service.send)


def test_refresh_token_that_may_be_spent_is_not_used_again(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    grant.token(service.send)
    service.statuses = {"/token": 503, "/token/refresh": 503}
    clock.now += 80.0
    grant.token(service.send)
    service.statuses = {}
    grant.token(service.send)
    assert service.paths == ["/token", "/token/refresh", "/token", "/token"]


def test_after_a_401_the_next_token_comes_from_a_login(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    grant.refused(grant.token(service.send))
    assert grant.current is None
    assert grant.token(service.send) == "access-2"
    assert service.paths == ["/token", "/token"]


def test_401_for_an_older_token_does_not_discard_the_newer_one(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    old = grant.token(service.send)
    grant.refused(old)
    new = grant.token(service.send)
    grant.refused(old)
    assert grant.current == new


def test_failed_login_names_the_account_and_the_cause_and_no_secret(
    grant: PasswordGrant, service: Service, clock: Clock
) -> None:
    service.statuses["/token"] = 401
    with pytest.raises(LoginError) as raised:
        grant.token(service.send)
    assert str(raised.value) == "account-0001 could not log in: HTTP 401"


def test_neither_password_nor_tokens_are_shown(grant: PasswordGrant, service: Service, clock: Clock) -> None:
    grant.token(service.send)
    shown = repr(grant.account) + repr(grant) + repr(grant._tokens)
    assert PASSWORD not in shown
    assert "access-1" not in shown
    assert "refresh-1" not in shown
