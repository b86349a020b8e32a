import logging
import uuid
from collections.abc import Callable, KeysView
from random import Random
from typing import Any

import pytest
from geventhttpclient.header import Headers

from harness.core.accounts import Account
from harness.core.bodies import canary, new_id
from harness.core.canary import make_text, read_text
from harness.core.operations import OperationKind, OperationOutcome
from harness.load import answers
from harness.load.acknowledged import acknowledged
from harness.load.client import operation_outcome
from harness.load.http_response import Response
from harness.load.messages import RunSettings
from harness.load.records import Records, set_apart
from harness.load.resource import Resource
from tests.unit.load.test_client import Answer

DOCUMENTS = Resource(
    "/documents", create={"id": new_id, "title": canary}, version="version", page="limit/after"
)
ITEMS = Resource("/items/", create={"title": canary, "price": 3}, page="skip/limit")
ORDERS = Resource("/orders", create={"product": 7}, update={"product": 8}, update_method="PATCH")


class Person:
    """A user without a wire: requests are kept, and answered with `answers`, 200 when there is none left."""

    def __init__(self) -> None:
        self.account = Account("account-0001", "secret")
        self.random = Random(1)
        self.run_settings = RunSettings(str(uuid.uuid4()), "run-1", 1, 30, 80.0, 0, 1, 1000)
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.operations: list[tuple[uuid.UUID, OperationKind, int, OperationOutcome]] = []
        self.seen: list[tuple[uuid.UUID, int, int]] = []
        self.shared: list[str] = []
        self.looks: list[tuple[str, uuid.UUID, frozenset[str]]] = []
        self.named: dict[str, uuid.UUID] = {}

    def records(self, resource: Resource) -> Records:
        return Records(resource, self)

    def call(self, method: str, path: str, **options: Any) -> Response:
        self.requests.append((method, path, options))
        return self.answers.pop(0) if self.answers else answer()

    def write(
        self,
        kind: OperationKind,
        key: uuid.UUID,
        version: int,
        method: str,
        path: str,
        *,
        answered: Callable[[Response], None] | None = None,
        **options: Any,
    ) -> OperationOutcome:
        response = self.call(method, path, **options)
        outcome = operation_outcome(response)
        self.operations.append((key, kind, version, outcome))
        if answered is not None and outcome is OperationOutcome.OK:
            answered(response)
        return outcome

    def created(self, key: uuid.UUID, record_id: str) -> None:
        self.named[record_id] = key

    def looked_at(self, endpoint: str, key: uuid.UUID, names: KeysView[str], since: float) -> None:
        self.looks.append((endpoint, key, frozenset(names)))

    def saw(self, key: uuid.UUID, shown: int, version: int, since: float) -> None:
        self.seen.append((key, shown, version))

    def share(self, resource: object, record_id: str) -> None:
        self.shared.append(record_id)

    def withdraw(self, resource: object, record_id: str) -> None:
        if record_id in self.shared:
            self.shared.remove(record_id)

    @property
    def last(self) -> tuple[str, str, dict[str, Any]]:
        return self.requests[-1]


def answer(status: int = 200, body: Any = None, **headers: str) -> Answer:
    found = Answer(status)
    found.__dict__["json"] = lambda: body
    found.content = b"" if body is None else b"{}"
    found._headers = Headers(headers)
    return found


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture(autouse=True)
def _each_warning_anew() -> None:
    answers._warned.clear()


def _created(person: Person, resource: Resource, body: Any = None) -> tuple[Records, uuid.UUID]:
    records = person.records(resource)
    person.answers = [answer(201, body)]
    records.create()
    return records, person.operations[-1][0]


def test_created_record_bears_its_canary_and_is_in_the_ledger(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    assert person.operations == [(key, OperationKind.CREATE, 1, OperationOutcome.OK)]
    method, path, options = person.last
    assert (method, path, options["json"]["id"]) == ("POST", "/documents", str(key))
    says = read_text(options["json"]["title"])
    assert says is not None
    assert (says.account, says.run, says.version, says.key) == ("account-0001", "run-1", 1, None)
    assert records.known[key].id == str(key)


def test_id_that_the_service_chose_is_learned_and_the_key_is_in_the_text(person: Person) -> None:
    records, key = _created(person, ITEMS, {"data": {"id": 7}})
    says = read_text(person.last[2]["json"]["title"])
    assert says is not None
    assert says.key == key
    assert person.last[2]["json"]["price"] == 3
    assert records.known[key].id == "7"
    assert acknowledged(person.run_settings.run_id)["account-0001", ITEMS].ids == {key: "7"}
    assert person.named == {"7": key}


def test_id_may_be_told_by_location_alone(person: Person) -> None:
    records = person.records(ITEMS)
    person.answers = [answer(201, None, Location="/items/9/")]
    records.create()
    [known] = records.known.values()
    assert known.id == "9"


def test_location_tells_the_id_that_an_answer_leaves_out(person: Person) -> None:
    records = person.records(ITEMS)
    person.answers = [answer(201, {"ok": True}, Location="http://127.0.0.1/items/9")]
    records.create()
    assert [known.id for known in records.known.values()] == ["9"]


def test_answer_without_an_id_is_warned_of_once_and_the_write_is_in_the_ledger(
    person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        records, _ = _created(person, ITEMS, {"ok": True})
        _created(person, ITEMS, {"ok": True})
    assert records.known == {}
    assert [kind for _, kind, _, _ in person.operations] == [OperationKind.CREATE] * 2
    [said] = caplog.messages
    assert said.startswith("POST /items/: no 'id' in an object of 'ok'.")


def test_record_whose_create_had_no_clear_end_is_not_used_further(person: Person) -> None:
    records = person.records(DOCUMENTS)
    person.answers = [answer(503)]
    records.create()
    assert person.operations[0][3] is OperationOutcome.INDETERMINATE
    assert records.known == {}


def test_update_names_the_version_it_knows_and_writes_the_next(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    records.update()
    method, path, options = person.last
    assert (method, path, options["json"]["version"]) == ("PUT", f"/documents/{key}", 1)
    assert "id" not in options["json"]
    says = read_text(options["json"]["title"])
    assert says is not None
    assert says.version == 2
    assert person.operations[-1] == (key, OperationKind.UPDATE, 2, OperationOutcome.OK)
    assert records.known[key].version == 2


def test_update_may_name_the_records_id(person: Person) -> None:
    resource = Resource("/items", create={"title": canary}, update={"id": new_id, "title": canary})
    records, _ = _created(person, resource, {"id": 7})
    records.update()
    assert person.last[2]["json"]["id"] == "7"


def test_after_an_update_without_a_clear_end_the_record_is_read_first(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    person.answers = [answer(504), answer(200, {"id": str(key), "version": 2})]
    records.update()
    assert records.known[key].version is None
    records.update()
    assert person.last[0] == "GET"
    assert records.known[key].version == 2


def test_conflict_is_expected_and_surely_no_write(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    person.answers = [answer(409)]
    records.update()
    assert 409 in person.last[2]["expect"]
    assert person.operations[-1][3] is OperationOutcome.FAIL
    assert records.known[key].version is None


def test_without_optimistic_locking_an_unclear_update_may_still_come_so_the_record_is_left_alone(
    person: Person,
) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    person.answers = [answer(504)]
    records.update()
    person.answers = [answer(201, {"id": 8})]
    records.update()  # nothing else to write: a new record
    assert [method for method, _, _ in person.requests] == ["POST", "PUT", "POST"]
    assert not records.known[key].settled


def test_without_optimistic_locking_a_refused_update_is_tried_again_as_the_same_version(
    person: Person,
) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    person.answers = [answer(422)]
    records.update()
    records.update()
    assert [version for _, _, version, _ in person.operations] == [1, 2, 2]
    assert records.known[key].version == 2


def test_update_that_writes_no_canary_claims_no_version(person: Person) -> None:
    records, _ = _created(person, ORDERS, {"id": 7})
    records.update()
    assert person.last[0] == "PATCH"
    assert person.last[2]["json"] == {"product": 8}
    assert [version for _, _, version, _ in person.operations] == [1, 1]


def test_deleted_record_is_not_asked_for_again(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    person.shared = [str(key)]
    records.delete()
    assert person.operations[-1] == (key, OperationKind.DELETE, 1, OperationOutcome.OK)
    assert records.known == {}
    assert person.shared == []
    assert acknowledged(person.run_settings.run_id)["account-0001", DOCUMENTS].ids == {}


def test_record_whose_delete_was_refused_is_used_on(person: Person) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    person.answers = [answer(409)]
    records.delete()
    assert records.known[key].version == 1
    assert acknowledged(person.run_settings.run_id)["account-0001", ITEMS].ids == {key: "7"}


def test_record_that_is_gone_is_not_asked_for_again(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    person.answers = [answer(404)]
    records.read(key)
    assert records.known == {}


def test_own_record_that_could_be_read_is_offered_to_the_others(person: Person) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    title = make_text("account-0001", "run-1", 1, key=key)
    person.answers = [answer(200, {"id": 7, "title": title})]
    records.read(key)
    assert person.last[:2] == ("GET", "/items/7")
    assert person.last[2]["name"] == "/items/{id}"
    assert person.shared == ["7"]
    assert acknowledged(person.run_settings.run_id)["account-0001", ITEMS].shown


def test_what_a_list_showed_is_read_too(person: Person) -> None:
    records = person.records(ITEMS)
    person.answers = [answer(200, {"data": [{"id": 4}], "count": 1}), answer(200, {"id": 4})]
    records.list()
    assert person.last[1] == "/items/?limit=20&skip=0"
    records.read()
    assert person.last[1] == "/items/4"
    assert [options["private"] for _, _, options in person.requests] == [True, True]
    assert person.shared == []  # somebody's, but not written by this user


def test_the_names_of_own_records_are_noted_with_where_they_were_shown(person: Person) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    person.answers = [answer(200, {"data": [{"id": 7, "title": "a"}, {"id": 8, "other": 1}], "count": 2})]
    records.list()
    person.answers = [answer(200, {"id": 7, "title": "a", "share": 2})]
    records.read(key)
    assert person.looks == [
        ("GET /items/", key, frozenset({"id", "title"})),
        ("GET /items/{id}", key, frozenset({"id", "title", "share"})),
    ]


def test_what_comes_and_goes_beside_the_load_is_left_alone(person: Person) -> None:
    records = person.records(ITEMS)
    person.answers = [answer(200, {"data": [{"id": 4}, {"id": 5}], "count": 2})]
    records.list()
    set_apart(person.run_settings.run_id).add("4")
    for _ in range(20):
        person.answers = [answer(200, {"id": 5})]
        records.read()
        assert person.last[1] == "/items/5"


def test_page_after_a_random_id_is_asked_for_where_ids_are_the_clients(person: Person) -> None:
    records = person.records(DOCUMENTS)
    person.answers = [answer(200, {"items": [], "next": None})]
    records.list()
    _, _, after = person.last[1].partition("after=")
    assert uuid.UUID(after)


def test_what_everybody_may_see_is_not_checked_nor_probed(person: Person) -> None:
    records, key = _created(person, Resource("/posts", create={"text": canary}, private=False), {"id": 1})
    person.answers = [answer(200, {"id": 1})]
    records.read(key)
    assert {options["private"] for _, _, options in person.requests} == {False}
    assert person.shared == []


def test_created_record_whose_answer_tells_no_id_is_counted(person: Person) -> None:
    records, _ = _created(person, ITEMS, {"uuid": 7})
    own = acknowledged(person.run_settings.run_id)["account-0001", ITEMS]
    assert (own.unidentified, own.ids, records.known) == (1, {}, {})
    person.answers = [answer(201, {"id": 7})]
    records.create()
    assert (own.unidentified, list(own.ids.values())) == (1, ["7"])


def test_what_an_answer_shows_of_the_users_own_records_is_booked(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    own = {"id": str(key), "version": 3, "title": make_text("account-0001", "run-1", 3)}
    person.answers = [
        answer(200, {"items": [own, {"id": str(uuid.uuid4()), "version": 1}]}),
        answer(200, own),
    ]
    records.list()
    records.read(key)
    assert person.seen == [(key, 1, 3)] * 2


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"version": 3}, 2),  # the older of the two that it tells
        ({"version": 2, "title": make_text("account-0001", "run-1", 3)}, 2),
        ({"version": 2, "title": "Document 1 of canary:account-0001"}, 2),
        ({"title": make_text("account-0001", "an older run", 9)}, 0),
        ({}, 0),
    ],
)
def test_version_that_is_booked_is_the_oldest_that_the_record_tells(
    person: Person, changes: dict[str, Any], version: int
) -> None:
    records, key = _created(person, DOCUMENTS)
    title = {"title": make_text("account-0001", "run-1", 2)} if changes.keys() == {"version"} else {}
    person.answers = [answer(200, {"items": [{"id": str(key), **title, **changes}]})]
    records.list()
    assert person.seen == [(key, 1, version)]


def test_record_that_bears_no_version_is_always_of_the_first(person: Person) -> None:
    records, key = _created(person, ORDERS, {"id": 7})
    person.answers = [answer(200, {"id": 7, "product": 8})]
    records.read(key)
    assert person.seen == [(key, 1, 1)]


def test_record_that_a_page_shows_twice_is_booked_so(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    own = {"id": str(key), "version": 1}
    person.answers = [answer(200, {"items": [own, own]})]
    records.list()
    assert person.seen == [(key, 2, 1)]


@pytest.mark.parametrize(("status", "seen"), [(404, 1), (410, 1), (503, 0), (401, 0), (0, 0)])
def test_own_record_that_is_not_there_is_booked_as_absent(person: Person, status: int, seen: int) -> None:
    records, key = _created(person, DOCUMENTS)
    person.answers = [answer(status)]
    records.read(key)
    assert person.seen == [(key, 0, 0)] * seen


def test_deleted_record_that_a_list_shows_is_booked(person: Person) -> None:
    records, key = _created(person, DOCUMENTS)
    records.delete()
    person.answers = [answer(200, {"items": [{"id": str(key), "version": 1}]})]
    records.list()
    assert person.seen == [(key, 1, 1)]


def test_id_that_the_service_gave_may_be_anothers_after_the_delete(person: Person) -> None:
    records, key = _created(person, ITEMS, {"id": 7})
    person.answers = [answer(409), answer(200, {"data": [{"id": 7}], "count": 1})]
    records.delete()
    records.list()
    assert person.seen == [(key, 1, 0)]  # the delete was refused
    records.delete()
    person.answers = [answer(200, {"data": [{"id": 7}], "count": 1})]
    records.list()
    assert len(person.seen) == 1
