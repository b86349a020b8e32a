"""One account asks for another's record, and its owner must be able to read it."""

from collections.abc import Mapping
from random import Random
from typing import cast

import pytest

from harness.core.accounts import Account
from harness.core.declaration import Declaration
from harness.load.auth import Login, NoAuth
from harness.load.client import MeasuredSession
from harness.load.foreign_reads import (
    SharedRecord,
    SharedRecords,
    judge_foreign_read,
    read_foreign,
    shared_records,
)
from harness.load.recorder import recorder
from tests.unit.load.test_client import Answer

ITEMS = Declaration("/items/")


def _login(name: str) -> Login:
    return Login(NoAuth(), Account(name), cast(MeasuredSession, None))


def test_only_records_of_others_are_foreign() -> None:
    records = SharedRecords()
    mine, theirs = SharedRecord(ITEMS, "1"), SharedRecord(ITEMS, "2")
    ann, bob = _login("ann"), _login("bob")
    records.share(mine, ann)
    records.share(theirs, bob)
    assert records.foreign_to(ann.account) == [(theirs, bob)]
    assert theirs.path == "/items/2"


def test_record_that_is_deleted_is_withdrawn() -> None:
    records = SharedRecords()
    records.share(SharedRecord(ITEMS, "1"), _login("bob"))
    records.withdraw(SharedRecord(ITEMS, "1"))
    records.withdraw(SharedRecord(ITEMS, "1"))
    assert records.foreign_to(Account("ann", "secret")) == []


def test_same_id_of_another_resource_is_another_record() -> None:
    records = SharedRecords()
    records.share(SharedRecord(ITEMS, "1"), _login("bob"))
    records.withdraw(SharedRecord(Declaration("/orders"), "1"))
    assert len(records.foreign_to(Account("ann", "secret"))) == 1


def test_oldest_record_goes_when_there_are_too_many() -> None:
    records = SharedRecords(size=2)
    all_records = [SharedRecord(ITEMS, str(number)) for number in range(3)]
    for record in all_records:
        records.share(record, _login("bob"))
    assert [record for record, _ in records.foreign_to(Account("ann", "secret"))] == all_records[1:]


def test_new_run_begins_without_records() -> None:
    assert shared_records("run-1") is shared_records("run-1")
    assert shared_records("run-2") is not shared_records("run-1")


@pytest.mark.parametrize(
    ("shown", "control", "outcome"),
    [
        (404, 200, "refused"),
        (200, 200, "leaked"),
        (200, 404, "leaked"),
        (404, 404, "error"),  # the control failed: the record is refused to everybody
        (404, 0, "error"),
        (503, 200, "error"),
        (0, 200, "error"),
        (403, 200, "error"),
    ],
)
def test_foreign_read_is_refused_only_when_its_owner_can_read(shown: int, control: int, outcome: str) -> None:
    assert judge_foreign_read(shown, control, {404})[0] == outcome


class Session:
    """A session that gets one status for every path."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[str] = []

    def unrecorded(self, _method: str, path: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append(path)
        return Answer(self.status)


@pytest.mark.parametrize(
    ("shown", "outcome", "detail"),
    [(404, "refused", ""), (200, "leaked", "GET /items/{id}: another account's record was shown (HTTP 200)")],
)
def test_a_stranger_asks_and_then_its_owner(
    monkeypatch: pytest.MonkeyPatch, shown: int, outcome: str, detail: str
) -> None:
    probes: list[tuple[str, ...]] = []
    monkeypatch.setattr(recorder, "probe", lambda *said: probes.append(said))
    ann, bob = _login("ann"), _login("bob")
    asked = Session(shown), Session(200)
    ann.session, bob.session = (cast(MeasuredSession, session) for session in asked)
    shared_records("run-3").share(SharedRecord(ITEMS, "7"), bob)
    read_foreign("run-3", ann, Random(1))
    assert [session.asked for session in asked] == [["/items/7"], ["/items/7"]]
    assert probes == [("ann", "foreign_read", outcome, detail)]


def test_where_nobody_else_has_a_record_nothing_is_asked() -> None:
    ann = _login("ann")
    shared_records("run-4").share(SharedRecord(ITEMS, "7"), ann)
    read_foreign("run-4", ann, Random(1))  # its session is none, and would fail
