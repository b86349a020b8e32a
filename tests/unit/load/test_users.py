"""A user: it joins, takes its turns, and books what it asked and what it was shown."""

import uuid
from random import Random
from typing import Any

import gevent
import pytest
from locust import constant
from locust.env import Environment
from locust.exception import RescheduleTask, StopUser
from locust.user.task import DefaultTaskSet

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.bodies import canary, new_id
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.pacing import Closed, Rates, Schedule
from harness.core.record import Total
from harness.core.shapes import Shapes
from harness.errors import SetupError
from harness.load import users, writes
from harness.load.arrivals import arrivals
from harness.load.auth import Auth, Credentials, LoginError
from harness.load.declared_tasks import DeclaredTask
from harness.load.deliveries import Deliveries
from harness.load.messages import RunSettings
from harness.load.resource import Resource
from harness.load.users import MigrationUser
from harness.load.valve import valve
from tests.unit.load.test_client import Answer

SETTINGS = RunSettings("run-1", "run-1", 1, 30, 80.0, 0, 1, 1000)


class Ledger:
    """A recorder that remembers operations and probes."""

    settings: RunSettings | None = SETTINGS

    def __init__(self) -> None:
        self.operations: list[tuple[uuid.UUID, OperationKind, int, OperationOutcome]] = []
        self.reads: list[tuple[Any, ...]] = []
        self.lines: list[tuple[Any, ...]] = []
        self.probes: list[tuple[str, ...]] = []
        self.checked = 0
        self.websockets = Deliveries("w", lambda *_: None)
        self.shapes = Shapes()

    def operation(self, *booked: Any) -> None:
        _account, key, kind, version, invoked, ended, outcome, *shown = booked
        if kind is OperationKind.READ:
            self.reads.append((key, version, *shown, invoked, ended))
        else:
            self.operations.append((key, kind, version, outcome))

    def line(self, *told: Any) -> None:
        self.lines.append(told)

    def probe(self, *said: str) -> None:
        self.probes.append(said)

    def read_checked(self) -> None:
        self.checked += 1


class Numbered:
    """A login that always has a token, or never."""

    account = Account("account-0001", "secret")

    def __init__(self) -> None:
        self.fails = False
        self.refusals = 0
        self.answers: list[int] = []

    def credentials(self, _send: object) -> Credentials:
        if self.fails:
            raise LoginError(self.account, "HTTP 503")
        return Credentials({"Authorization": f"Bearer token-{self.refusals}"}, {"X-CSRF-Token": "csrf"})

    def refused(self, _credentials: Credentials) -> None:
        self.refusals += 1

    def answered(self, _credentials: Credentials, response: Answer) -> None:
        self.answers.append(response.status_code)


class Desk:
    """A user without a wire: requests are kept, and answered with `answers`, 200 when there is none left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = Ledger()
        monkeypatch.setattr(users, "recorder", self.ledger)
        monkeypatch.setattr(writes, "recorder", self.ledger)
        self.answers: list[Answer | BaseException] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.user = _Person(Environment(user_classes=[_Person]))
        self.login = Numbered()
        self.user.account_login = self.login  # type: ignore[assignment]
        self.user.account = self.login.account
        self.user.run_settings = SETTINGS
        self.user.random = Random(1)
        monkeypatch.setattr(self.user.client, "request", self._request)

    def _request(self, method: str, path: str, _name: str | None, **options: Any) -> Answer:
        self.requests.append((method, path, options))
        answer = self.answers.pop(0) if self.answers else _answer()
        if isinstance(answer, Answer):
            return answer
        raise answer

    @property
    def last(self) -> tuple[str, str, dict[str, Any]]:
        return self.requests[-1]


class _Person(MigrationUser):
    host = "http://127.0.0.1:1"
    foreign_read_ratio = 0.0
    auth = Auth()
    documents = Resource("/documents", create={"id": new_id, "title": canary})


class _Broken(_Person):
    def on_start(self) -> None:
        raise StopUser


class _Pausing(_Person):
    wait_time = constant(0)


def _answer(status: int = 200, body: Any = None, text: str = "{}") -> Answer:
    answer = Answer(status)
    answer.__dict__["json"] = lambda: body
    answer.content = text.encode()
    answer.encoding = "utf-8"
    return answer


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_wait_until_the_next_slot_and_count_the_task_from_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "monotonic", lambda: 100.0)
    desk.user._turns = Schedule(Rates.start(0.0, 0.5), users=1, start=100.0, phase=0.25)
    assert desk.user.wait_time() == 0.5
    assert desk.user.client.due == 100.5


def test_in_a_closed_loop_the_task_counts_from_its_send(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "monotonic", lambda: 100.0)
    desk.user._turns = Closed(period_s=2.0, next_at=100.5)
    desk.user.client.due = 99.0
    assert desk.user.wait_time() == 0.5
    assert desk.user.client.due is None


def test_what_an_answer_left_due_ends_with_its_task(desk: Desk) -> None:
    """A user with a wait_time of its own would have its pause counted as latency."""
    user = _Pausing(Environment(user_classes=[_Pausing]))
    user.client.due = 99.0
    DefaultTaskSet(user).wait()
    assert user.client.due is None


def test_a_user_that_left_out_the_start_is_told_so(desk: Desk) -> None:
    with pytest.raises(SetupError, match=r"super\(\).on_start\(\)"):
        desk.user.wait_time()


def test_a_further_session_is_the_same_account_with_a_connection_and_records_of_its_own(desk: Desk) -> None:
    desk.user.open_session(turns := Schedule(Rates.start(0.0, 0.0), users=1, start=0.0, phase=0.5))
    (greenlet,) = valve.sessions
    other = greenlet.args[0]
    gevent.sleep(0)
    try:
        assert (other.account, other.account_login) == (desk.user.account, desk.user.account_login)
        assert other.client is not desk.user.client
        assert other.documents is not desk.user.documents
        assert other._turns is turns
    finally:
        greenlet.kill()
        gevent.sleep(0)  # those linked to it are told


def test_a_session_that_cannot_start_makes_room_for_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[object] = []
    monkeypatch.setattr(arrivals, "leave", left.append)
    turns = Closed(1.0, 0.0)
    _Broken(Environment(user_classes=[_Broken])).open_session(turns)
    assert valve.sessions.join(5)
    gevent.sleep(0)
    assert left == [turns]


def test_host_may_end_in_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Person, "host", "http://127.0.0.1:1/")
    assert _Person(Environment(user_classes=[_Person])).client.base_url == "http://127.0.0.1:1"


def test_call_bears_the_token(desk: Desk) -> None:
    desk.user.call("GET", "/wallets")
    assert desk.last[2]["headers"] == {"Authorization": "Bearer token-0"}
    assert desk.login.answers == [200]


def test_call_that_changes_something_bears_the_csrf_token_too(desk: Desk) -> None:
    desk.user.call("POST", "/transfers")
    assert desk.last[2]["headers"] == {"Authorization": "Bearer token-0", "X-CSRF-Token": "csrf"}


def test_refusal_that_the_task_expects_is_an_answer(desk: Desk) -> None:
    desk.answers = [_answer(401)]
    assert desk.user.call("GET", "/wallets", expect={401}).status_code == 401
    assert len(desk.requests) == 1
    assert desk.login.refusals == 0


def test_call_that_is_refused_for_its_token_logs_in_and_is_made_once_more(desk: Desk) -> None:
    desk.answers = [_answer(401), _answer(401)]
    response = desk.user.call("GET", "/wallets")
    assert response.status_code == 401
    tokens = [options["headers"]["Authorization"] for _, _, options in desk.requests]
    assert tokens == ["Bearer token-0", "Bearer token-1"]


def test_task_of_a_user_that_cannot_log_in_is_left_for_the_next_slot(desk: Desk) -> None:
    desk.login.fails = True
    with pytest.raises(RescheduleTask):
        desk.user.documents.create()
    assert desk.requests == []
    assert desk.ledger.operations == []


def test_write_that_is_killed_is_indeterminate(desk: Desk) -> None:
    desk.answers = [gevent.GreenletExit()]
    with pytest.raises(gevent.GreenletExit):
        desk.user.documents.create()
    assert desk.ledger.operations[0][3] is OperationOutcome.INDETERMINATE


@pytest.mark.parametrize(
    ("status", "kind"),
    [(201, "fresh"), (500, None), (409, "taken_back")],
    ids=["done", "perhaps", "not done"],
)
def test_a_write_changes_what_a_missing_name_means(desk: Desk, status: int, kind: str | None) -> None:
    key = uuid.uuid4()
    for names in ({"id": 1}, {"id": 1, "share": 2}):
        desk.user.looked_at("GET /a", key, names.keys(), monotonic())
    desk.answers = [_answer(status)]
    desk.user.write(OperationKind.UPDATE, key, 2, "PUT", "/a", expect={201, 409})
    desk.user.looked_at("GET /a", key, {"id": 1}.keys(), monotonic())
    told = [line for _, line in desk.ledger.shapes.take(monotonic() + 2.0)]
    assert [name for name in ("fresh", "taken_back", "other") if any(name in line for line in told)] == (
        [kind] if kind else []
    )


def test_first_message_of_a_created_record_bounds_the_services_clock(desk: Desk) -> None:
    desk.answers = [_answer(201)]
    desk.user.documents.create()
    told = desk.ledger.websockets
    told.delivered(0.0, str(desk.ledger.operations[0][0]), monotonic())
    assert told._clock.low is not None
    assert told._clock.high is not None
    assert told._clock.low <= told._clock.high


def test_write_still_unanswered_at_the_final_read_is_booked_once(desk: Desk) -> None:
    def answer_late(*_: Any, **__: Any) -> Answer:
        list(users._read_everything_back())
        return _answer(201)

    desk.user.client.request = answer_late  # type: ignore[method-assign]
    desk.user.documents.create()
    [(_, kind, _, outcome)] = desk.ledger.operations
    assert (kind, outcome) == (OperationKind.CREATE, OperationOutcome.INDETERMINATE)


def test_what_another_account_wrote_is_a_leak(desk: Desk) -> None:
    desk.user.check(_answer(text='[{"title": "Document 1 of canary:account-0002"}]'), "GET /documents")
    desk.user.check(_answer(text='[{"title": "Document 1 of canary:account-0001"}]'), "GET /documents")
    assert desk.ledger.checked == 1
    assert desk.ledger.probes == [("account-0001", "canary", "leaked", "GET /documents showed account-0002")]


@pytest.mark.parametrize(
    ("private", "status", "leaks"),
    [(None, 200, 0), (None, 404, 1), (None, 500, 1), (True, 200, 1), (True, 500, 1), (False, 500, 0)],
)
def test_answers_that_may_show_no_other_account_are_searched(
    desk: Desk, private: bool | None, status: int, leaks: int
) -> None:
    desk.answers = [_answer(status, text='{"detail": "canary:account-0002 has it"}')]
    desk.user.call("GET", "/feed", private=private)
    assert len(desk.ledger.probes) == leaks
    if status != 200 and leaks:
        assert desk.ledger.probes[0][3] == f"GET /feed showed account-0002 (HTTP {status})"


def test_an_answer_without_any_canary_is_not_counted_as_checked(desk: Desk) -> None:
    desk.user.call("GET", "/wallets", private=True)
    assert desk.ledger.checked == 0
    desk.answers = [_answer(text='{"name": "canary:account-0001"}')]
    desk.user.call("GET", "/wallets", private=True)
    assert desk.ledger.checked == 1


@pytest.mark.parametrize("operation", ["list", "read", "create", "update", "delete"])
def test_whatever_is_answered_about_a_private_record_is_searched(desk: Desk, operation: str) -> None:
    desk.answers = [_answer(201)]
    desk.user.documents.create()
    desk.answers = [_answer(409, text='{"current": "canary:account-0002"}')]
    desk.user.documents.do(operation)
    assert [said[1:3] for said in desk.ledger.probes] == [("canary", "leaked")]


def test_user_outside_a_run_says_what_is_missing(desk: Desk) -> None:
    desk.ledger.settings = None
    with pytest.raises(SetupError, match=r"import harness\.locust"):
        desk.user.on_start()


def test_what_a_user_saw_is_in_the_ledger(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "monotonic", lambda: 12.5)
    key = uuid.uuid4()
    desk.user.saw(key, 1, 3, 12.0)
    assert desk.ledger.reads == [(key, 3, 1, 12.0, 12.5)]


def test_total_is_kept_with_how_long_its_read_took(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "monotonic", lambda: 12.5)
    desk.user.summed(Total("wallets", "100", 2), 12.0)
    what = {"account": "account-0001", "name": "wallets", "amount": "100", "count": 2, "took_s": 0.5}
    assert desk.ledger.lines == [("totals.ndjson", what, 12.5)]


def test_task_of_a_resource_is_done_by_the_user_it_is_called_with(desk: Desk) -> None:
    [create] = {one for one in _Person.tasks if isinstance(one, DeclaredTask) and one.operation == "create"}
    create(desk.user)
    assert desk.last[:2] == ("POST", "/documents")
