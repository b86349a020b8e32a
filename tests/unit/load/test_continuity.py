"""What is tried of an account's sessions, and what is said of it."""

import json
from collections.abc import Callable
from email.utils import formatdate
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import gevent
import jwt
import pytest

from harness.core.accounts import Account
from harness.core.plan import Plan
from harness.errors import SetupError
from harness.load import continuity
from harness.load.accounts import Actor
from harness.load.auth import Auth, Login, NoAuth, Registration
from harness.load.client import MeasuredSession
from harness.load.continuity import control, probe_accounts, try_out
from harness.load.messages import ProbeOrder
from harness.load.token_auth import PasswordGrant, StaticToken
from tests.unit.load.answers import Jar, Response, Service

BEFORE = 100.0
AUTH = PasswordGrant("/token")


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("harness.load.auth.monotonic", clock)
    monkeypatch.setattr(continuity, "monotonic", clock)
    monkeypatch.setattr(continuity, "_AGAIN_S", 0.0)
    return clock


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was recorded: account, kind, outcome, detail."""
    said: list[tuple[str, ...]] = []

    class Recorder:
        def probe(self, account: str, kind: str, outcome: str, detail: str = "") -> None:
            said.append((account, kind, outcome, detail))

    monkeypatch.setattr(continuity, "recorder", Recorder())
    return said


NOON = 1_700_000_000


class Wire(Service):
    """A session over a service whose tokens are numbered, and that takes the tokens in `good`."""

    cookiejar = Jar()

    def __init__(self, life: float = 1000.0) -> None:
        super().__init__()
        self.good: set[str] | None = None  # None: every token
        self.count = 0
        self["POST /token"] = lambda _: self._grant(life)
        self["GET /items"] = self._items

    def close(self) -> None: ...

    def unrecorded(self, method: str, path: str, **payload: Any) -> Response:
        return self.send(method, path, **payload)

    def _grant(self, life: float) -> Response:
        self.count += 1
        return Response(200, {"access_token": f"t{self.count}", "expires_in": life})

    def _items(self, payload: dict[str, Any]) -> Response:
        token = payload["headers"]["Authorization"].removeprefix("Bearer ")
        return Response(200 if self.good is None or token in self.good else 401)


def actor(wire: Wire, name: str = "ann", auth: Auth = AUTH, path: str | None = "/items") -> Actor:
    """An account that logged in, and used what it got, at the clock's instant."""
    account = Account(name, "secret", {"token": "static"})
    login = Login(auth, account, cast(MeasuredSession, wire))
    login.credentials(wire.send)
    control(login, path)
    wire.asked.clear()
    return Actor(login, (), path)


def probe(
    actors: list[Actor],
    clock: Clock,
    said: list[tuple[str, ...]],
    accounts: int = 10,
    per_second: float = 1e6,
) -> None:
    said.clear()
    clock.now = 150.0
    probe_accounts(actors, ProbeOrder(BEFORE, accounts, per_second, 5.0), Random(1))


def test_old_token_fresh_login_and_its_first_use_are_tried(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    probe([actor(wire)], clock, said)
    assert said == [
        ("ann", "old_token", "worked", ""),
        ("ann", "fresh_login", "worked", ""),
        ("ann", "first_use", "worked", ""),
    ]
    uses = [payload["headers"]["Authorization"] for _, path, payload in wire.asked if path == "/items"]
    assert uses == ["Bearer t1", "Bearer t2"]


def test_tokens_that_stopped_working_are_said(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    ann = actor(wire)
    wire.good = set()
    probe([ann], clock, said)
    assert said == [
        ("ann", "old_token", "failed", "GET /items: HTTP 401"),
        ("ann", "fresh_login", "worked", ""),
        ("ann", "first_use", "failed", "GET /items: HTTP 401"),
    ]


def test_token_that_was_refused_meanwhile_is_the_old_one(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    ann = actor(wire)
    wire.good = {"t2", "t3"}
    clock.now = 120.0
    ann.login.refused(ann.login.credentials(wire.send))
    ann.login.answered(ann.login.credentials(wire.send), Response(200))
    wire.good = {"t2", "t3"}
    probe([ann], clock, said)
    assert [outcome for _, _, outcome, _ in said] == ["failed", "worked", "worked"]


def test_token_that_was_renewed_meanwhile_may_be_void(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire(life=70.0)
    ann = actor(wire)
    clock.now = 119.0
    ann.login.credentials(wire.send)
    probe([ann], clock, said)
    assert said[0] == ("ann", "old_token", "not_tried", "it was renewed since")


def test_token_that_has_ended_is_not_tried(clock: Clock, said: list[tuple[str, ...]]) -> None:
    probe([actor(Wire(life=99.0))], clock, said)
    assert said[0] == ("ann", "old_token", "not_tried", "it had ended")


def test_login_that_fails_is_said_and_nothing_is_used(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    ann = actor(wire)
    wire["POST /token"] = Response(200, {"detail": "no such table"})
    probe([ann], clock, said)
    what = "POST /token answered HTTP 200 without access_token; its keys are: detail"
    assert said[1:] == [("ann", "fresh_login", "failed", what)]


def test_service_that_limits_rates_says_nothing(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    ann = actor(wire)
    wire["POST /token"] = wire["GET /items"] = Response(429)
    probe([ann], clock, said)
    assert [(kind, outcome) for _, kind, outcome, _ in said] == [
        ("old_token", "unclear"),
        ("fresh_login", "unclear"),
    ]


@pytest.mark.parametrize(("status", "outcome", "calls"), [(503, "worked", 2), (403, "failed", 1)])
def test_what_failed_is_tried_twice_and_what_was_refused_once(
    clock: Clock, said: list[tuple[str, ...]], status: int, outcome: str, calls: int
) -> None:
    wire = Wire()
    ann = actor(wire)
    wire["GET /items"] = [Response(status), Response(200)]
    wire["POST /token"] = Response(404)
    probe([ann], clock, said)
    assert said[0][2] == outcome
    assert wire.calls.count("GET /items") == calls


def test_token_refused_before_the_migration_is_none_of_its_old_ones(
    clock: Clock, said: list[tuple[str, ...]]
) -> None:
    wire = Wire(life=200.0)
    ann = actor(wire)
    ann.login.refused(ann.login.credentials(wire.send))
    ann.login.credentials(wire.send)
    clock.now = 215.0  # the second one is renewed
    ann.login.credentials(wire.send)
    probe([ann], clock, said)
    assert said[0] == ("ann", "old_token", "not_tried", "it was renewed since")


def test_who_came_after_the_migration_began_is_not_tried(clock: Clock, said: list[tuple[str, ...]]) -> None:
    wire = Wire()
    free = actor(wire, auth=NoAuth(), path=None)
    clock.now = BEFORE + 1
    probe([free, actor(wire, "late")], clock, said)
    assert said == []


def test_account_that_could_not_read_the_path_before_only_logs_in(
    clock: Clock, said: list[tuple[str, ...]]
) -> None:
    wire = Wire()
    wire["GET /items"] = Response(403)
    ann = actor(wire)
    assert said == [
        ("ann", "fresh_login", "worked", ""),
        ("ann", "first_use", "failed", "GET /items: HTTP 403"),
    ]
    probe([ann], clock, said)
    why = "no path is known that the account may read"
    assert said == [
        ("ann", "old_token", "not_tried", why),
        ("ann", "fresh_login", "worked", ""),
        ("ann", "first_use", "not_tried", why),
    ]


def test_static_token_has_no_login(clock: Clock, said: list[tuple[str, ...]]) -> None:
    probe([actor(Wire(), auth=StaticToken())], clock, said)
    assert said[0] == ("ann", "old_token", "worked", "")
    assert said[1] == ("ann", "fresh_login", "not_tried", "it asks nobody for its tokens")


def test_without_a_path_only_logins_are_tried(clock: Clock, said: list[tuple[str, ...]]) -> None:
    probe([actor(Wire(), path=None)], clock, said)
    assert said == [
        ("ann", "old_token", "not_tried", "no path is known that the account may read"),
        ("ann", "fresh_login", "worked", ""),
        ("ann", "first_use", "not_tried", "no path is known that the account may read"),
    ]


def test_no_more_accounts_than_ordered_are_tried_and_no_faster(
    clock: Clock, said: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 3))
        clock.now += seconds

    # Not gevent's own: a greenlet that another test left behind would never yield again.
    monkeypatch.setattr(continuity, "gevent", SimpleNamespace(sleep=sleep, Timeout=gevent.Timeout))
    probe([actor(wire, f"a{number}") for number in range(9)], clock, said, accounts=3, per_second=5.0)
    assert len({account for account, *_ in said}) == 3
    assert [pause for pause in pauses if pause] == [0.2, 0.2]


def test_account_whose_answers_do_not_come_is_given_up(
    clock: Clock, said: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuity, "ACCOUNT_WITHIN_S", 0.02)
    wire = Wire()
    ann = actor(wire)

    def hang(_: object) -> Response:
        gevent.sleep(10)
        return Response()

    wire["POST /token"] = hang
    probe([ann], clock, said)
    assert said[-1] == ("ann", "fresh_login", "unclear", "no answer within 0.02 s")


class Person:
    auth: ClassVar[Auth] = AUTH
    account_name = "ann-{}"
    account_password = "secret"
    insecure = False

    @staticmethod
    def path_to_probe() -> str | None:
        return "/items"


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wire], list[str]]:
    def run(wire: Wire) -> list[str]:
        monkeypatch.setattr(continuity, "MeasuredSession", lambda *_, **__: wire)
        return list(try_out(Plan(), [Person], "http://127.0.0.1:1"))

    return run


def test_before_the_load_one_account_shows_that_all_works(trial: Callable[[Wire], list[str]]) -> None:
    wire = Wire()
    assert trial(wire) == []
    assert wire.calls == ["POST /token", "GET /items"]


def test_login_that_does_not_work_is_refused_before_the_load(trial: Callable[[Wire], list[str]]) -> None:
    wire = Wire()
    wire["POST /token"] = Response(200, {"detail": "wrong"})
    with pytest.raises(SetupError, match=r"ann-1 could not log in.*its keys are: detail\. Correct `auth`"):
        trial(wire)


def test_a_service_that_is_still_reconnecting_before_the_load_is_waited_for(
    trial: Callable[[Wire], list[str]],
) -> None:
    wire = Wire()
    wire["POST /token"] = [*[Response(503)] * 5, Response(200, {"access_token": "t1"})]
    assert trial(wire) == []
    wire["POST /token"] = Response(503)
    with pytest.raises(SetupError, match="HTTP 503"):
        trial(wire)


def test_an_account_that_cannot_be_created_yet_is_waited_for(
    trial: Callable[[Wire], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Person, "auth", PasswordGrant("/token", register=Registration("/signup")))
    wire = Wire()
    wire["POST /signup"] = [Response(500), Response(201)]
    assert trial(wire) == []
    assert wire.calls == ["POST /signup", "POST /signup", "POST /token", "GET /items"]


def test_token_that_is_not_taken_is_refused_before_the_load(trial: Callable[[Wire], list[str]]) -> None:
    wire = Wire()
    wire.good = set()
    with pytest.raises(SetupError, match=r"its credentials were refused: GET /items: HTTP 401"):
        trial(wire)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": NOON - 187, "iat": NOON - 487}, "the token ended 187 s ago (exp)"),
        ({"exp": NOON + 600, "nbf": NOON + 90}, "the token begins in 90 s only (nbf)"),
        ({"exp": NOON + 600, "iat": NOON + 240}, "the token begins in 240 s only (iat)"),
        ({"exp": NOON + 600, "iat": NOON - 1}, None),
        ({"exp": "soon", "iat": None}, None),
    ],
)
def test_a_new_token_that_is_refused_for_its_time_tells_the_services_clock(
    claims: dict[str, Any], said: str | None, trial: Callable[[Wire], list[str]]
) -> None:
    wire = Wire()
    token = jwt.api_jws.encode(json.dumps(claims).encode(), "k" * 32, "HS256")
    wire["POST /token"] = Response(200, {"access_token": token, "expires_in": 600})
    wire["GET /items"] = Response(401, headers=[("Date", formatdate(NOON, usegmt=True))])
    with pytest.raises(SetupError) as refused:
        trial(wire)
    told = "" if said is None else f"; by the service's clock (Date) {said}"
    assert f"its credentials were refused: GET /items: HTTP 401{told}." in str(refused.value)
    assert token not in str(refused.value)


def test_path_that_the_account_may_not_read_is_said(trial: Callable[[Wire], list[str]]) -> None:
    wire = Wire()
    wire["GET /items"] = Response(404)
    [said] = trial(wire)
    assert said.startswith("GET /items: HTTP 404, for ann-1, so no token can be tried on it: set probe_path")


def test_a_path_that_is_not_answered_in_time_before_the_load_is_asked_for_once(
    trial: Callable[[Wire], list[str]],
) -> None:
    wire = Wire()
    wire["GET /items"] = slow = Response(0)
    slow.error = TimeoutError("timed out")
    [said] = trial(wire)
    assert said.startswith("GET /items: timed out, for ann-1")
    assert wire.calls == ["POST /token", "GET /items"]
