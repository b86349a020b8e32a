import uuid
from typing import cast

import pytest

from harness.core.accounts import Account
from harness.load.auth import Login, NoAuth
from harness.load.client import MeasuredSession
from harness.load.foreign_reads import SharedKeys, judge_foreign_read, shared_keys


def _login(name: str) -> Login:
    return Login(NoAuth(), Account(name), cast(MeasuredSession, None))


def test_only_records_of_others_are_foreign() -> None:
    keys = SharedKeys()
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    ann, bob = _login("ann"), _login("bob")
    keys.share(mine, ann)
    keys.share(theirs, bob)
    assert keys.foreign_to(ann.account) == [(theirs, bob)]


def test_record_that_is_deleted_is_withdrawn() -> None:
    keys = SharedKeys()
    key = uuid.uuid4()
    keys.share(key, _login("bob"))
    keys.withdraw(key)
    keys.withdraw(key)
    assert keys.foreign_to(Account("ann")) == []


def test_oldest_record_goes_when_there_are_too_many() -> None:
    keys = SharedKeys(size=2)
    all_keys = [uuid.uuid4() for _ in range(3)]
    for key in all_keys:
        keys.share(key, _login("bob"))
    assert [key for key, _ in keys.foreign_to(Account("ann"))] == all_keys[1:]


def test_new_run_begins_without_keys() -> None:
    assert shared_keys("run-1") is shared_keys("run-1")
    assert shared_keys("run-2") is not shared_keys("run-1")


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
