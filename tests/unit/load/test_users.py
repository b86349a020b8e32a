import uuid
from random import Random
from typing import Any

import gevent
import pytest
from locust.env import Environment
from locust.exception import RescheduleTask

from harness.core.accounts import Account
from harness.core.canary import read_text
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.pacing import Schedule
from harness.errors import SetupError
from harness.load import users
from harness.load.auth import Auth, Credentials, LoginError
from harness.load.messages import RunSettings
from harness.load.users import MigrationUser
from tests.unit.load.test_client import Answer

SETTINGS = RunSettings("run-1", "run-1", 1, 30, 80.0, 0, 1, 1000)


class Ledger:
    """A recorder that remembers operations and probes."""

    settings: RunSettings | None = SETTINGS

    def __init__(self) -> None:
        self.operations: list[tuple[uuid.UUID, OperationKind, int, OperationOutcome]] = []
        self.probes: list[tuple[str, ...]] = []
        self.checked = 0

    def operation(self, *booked: Any) -> None:
        _account, key, kind, version, _invoked, _ended, outcome = booked
        self.operations.append((key, kind, version, outcome))

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
        self.answers: list[Answer | BaseException] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.user = _Person(Environment(user_classes=[_Person]))
        self.login = Numbered()
        self.user.login = self.login  # type: ignore[assignment]
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
    desk.user._schedule = Schedule(start=100.0, period_s=2.0, phase=0.25)
    assert desk.user.wait_time() == 0.5
    assert desk.user.client.due == 100.5


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
        desk.user.create()
    assert desk.requests == []
    assert desk.ledger.operations == []


def test_created_record_bears_its_canary_and_is_in_the_ledger(desk: Desk) -> None:
    desk.answers = [_answer(201)]
    desk.user.create()
    [(key, kind, version, outcome)] = desk.ledger.operations
    assert (kind, version, outcome) == (OperationKind.CREATE, 1, OperationOutcome.OK)
    method, path, options = desk.last
    assert (method, path, options["json"]["id"]) == ("POST", "/documents", str(key))
    says = read_text(options["json"]["title"])
    assert says is not None
    assert (says.account, says.run, says.version) == ("account-0001", "run-1", 1)
    assert desk.user.documents == {key: 1}


def test_record_whose_create_had_no_clear_end_is_not_used_further(desk: Desk) -> None:
    desk.answers = [_answer(503)]
    desk.user.create()
    assert desk.ledger.operations[0][3] is OperationOutcome.INDETERMINATE
    assert desk.user.documents == {}


def test_update_names_the_version_it_knows_and_writes_the_next(desk: Desk) -> None:
    key = uuid.uuid4()
    desk.user.documents = {key: 4}
    desk.user.update()
    method, path, options = desk.last
    assert (method, path, options["json"]["version"]) == ("PUT", f"/documents/{key}", 4)
    says = read_text(options["json"]["title"])
    assert says is not None
    assert says.version == 5
    assert desk.ledger.operations == [(key, OperationKind.UPDATE, 5, OperationOutcome.OK)]
    assert desk.user.documents == {key: 5}


def test_after_an_update_without_a_clear_end_the_record_is_read_first(desk: Desk) -> None:
    key = uuid.uuid4()
    desk.user.documents = {key: 4}
    desk.answers = [_answer(504), _answer(200, {"version": 5})]
    desk.user.update()
    assert desk.user.documents == {key: None}
    desk.user.update()
    assert desk.last[0] == "GET"
    assert desk.user.documents == {key: 5}


def test_conflict_is_expected_and_surely_no_write(desk: Desk) -> None:
    key = uuid.uuid4()
    desk.user.documents = {key: 4}
    desk.answers = [_answer(409)]
    desk.user.update()
    assert 409 in desk.last[2]["expect"]
    assert desk.ledger.operations[0][3] is OperationOutcome.FAIL
    assert desk.user.documents == {key: None}


def test_write_that_is_killed_is_indeterminate(desk: Desk) -> None:
    desk.answers = [gevent.GreenletExit()]
    with pytest.raises(gevent.GreenletExit):
        desk.user.create()
    assert desk.ledger.operations[0][3] is OperationOutcome.INDETERMINATE


def test_write_still_unanswered_at_the_final_read_is_booked_once(desk: Desk) -> None:
    def answer_late(*_: Any, **__: Any) -> Answer:
        list(users._read_everything_back())
        return _answer(201)

    desk.user.client.request = answer_late  # type: ignore[method-assign]
    desk.user.create()
    [(_, kind, _, outcome)] = desk.ledger.operations
    assert (kind, outcome) == (OperationKind.CREATE, OperationOutcome.INDETERMINATE)


def test_deleted_record_is_not_asked_for_again(desk: Desk) -> None:
    key = uuid.uuid4()
    desk.user.documents = {key: 4}
    desk.user._listed = [key]
    desk.answers = [_answer(204)]
    desk.user.delete()
    assert desk.ledger.operations == [(key, OperationKind.DELETE, 4, OperationOutcome.OK)]
    assert desk.user._known_key() is None


def test_record_that_is_gone_is_not_asked_for_again(desk: Desk) -> None:
    key = uuid.uuid4()
    desk.user.documents = {key: 4}
    desk.answers = [_answer(404)]
    desk.user.read(key)
    assert desk.user.documents == {}


def test_own_records_are_checked_reads(desk: Desk) -> None:
    key = str(uuid.uuid4())
    page = _answer(200, {"items": [{"id": key}]}, f'[{{"id": "{key}", "title": "canary:account-0001"}}]')
    desk.answers = [page]
    desk.user.list()
    assert (desk.ledger.checked, desk.ledger.probes) == (1, [])
    assert desk.user._known_key() == uuid.UUID(key)


def test_another_accounts_canary_in_a_list_is_a_leak(desk: Desk) -> None:
    desk.answers = [_answer(200, {"items": []}, '[{"title": "Document 1 of canary:account-0002"}]')]
    desk.user.list()
    assert desk.ledger.checked == 0
    assert desk.ledger.probes == [("account-0001", "canary", "leaked", "GET /documents showed account-0002")]


def test_transfer_moves_money_between_two_wallets_once_they_are_known(desk: Desk) -> None:
    desk.answers = [_answer(200, [{"id": 7}, {"id": 8}]), _answer(201)]
    desk.user.transfer()
    desk.user.transfer()
    order = desk.last[2]["json"]
    assert {order["from"], order["to"]} == {7, 8}
    [(key, kind, _, outcome)] = desk.ledger.operations
    assert (str(key), kind, outcome) == (order["id"], OperationKind.TRANSFER, OperationOutcome.OK)


def test_user_outside_a_run_says_what_is_missing(desk: Desk) -> None:
    desk.ledger.settings = None
    with pytest.raises(SetupError, match=r"import harness\.locust"):
        desk.user.on_start()
