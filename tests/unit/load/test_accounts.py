from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.plan import Plan
from harness.errors import SetupError, UsageError
from harness.load.accounts import (
    AccountPool,
    accounts_of,
    check_accounts,
    check_here,
    first_account,
    read_accounts,
)
from harness.load.messages import RunSettings
from harness.load.token_auth import PasswordGrant, SignedJwt


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


def test_numbers_are_those_of_the_files_lines(tmp_path: Path) -> None:
    settings = replace(_settings("run-1", 2), accounts_file=_file(tmp_path))
    run = accounts_of(settings)
    assert [run.account(number, "a-{:04}", "p").name for number in (1, 2)] == ["ann", "bob"]


def test_without_a_file_accounts_are_named_by_their_number() -> None:
    account = accounts_of(_settings("run-1")).account(12, "account-{:04}", "p")
    assert (account.name, account.password) == ("account-0012", "p")


def test_worker_with_another_file_than_the_masters_is_told_so(tmp_path: Path) -> None:
    settings = replace(_settings("run-1", 3), accounts_file=_file(tmp_path))
    with pytest.raises(UsageError, match=r"lists 2 accounts here, 3 at the master.*the same file"):
        accounts_of(settings)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_accounts(str(tmp_path / "none.csv"))


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_bytes("username\njürgen\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"is not UTF-8: byte 10.*Save it as UTF-8"):
        read_accounts(str(path))


class Person:
    auth = PasswordGrant("/token")
    account_name = "person-{}"
    account_password = "secret"


@pytest.mark.parametrize(
    ("plan", "workers", "known"),
    [
        (Plan(users=30), 1, 1000),
        (Plan(users=30, host="http://127.0.0.1:8000"), 4, 120),
        (Plan(users=30, host="http://127.0.0.1:8000"), 1, 30),
    ],
)
def test_accounts_are_the_seeded_ones_or_as_many_as_are_named(plan: Plan, workers: int, known: int) -> None:
    assert check_accounts(plan, [Person], workers) == known
    assert first_account(plan, Person).name == "person-1"


def test_accounts_are_those_of_the_file(tmp_path: Path) -> None:
    plan = Plan(users=2, host="http://127.0.0.1:8000", accounts=_file(tmp_path))
    assert check_accounts(plan, [Person]) == 2
    assert first_account(plan, Person).name == "ann"


@pytest.mark.parametrize(
    ("users", "workers", "says"),
    [
        (3, 1, r"--users is 3, but .*accounts\.csv has 2\. .*at most 2"),
        (1, 3, r"--users is 1, which on 3 workers need 3 accounts, but .*has 2"),
    ],
)
def test_too_few_accounts_are_refused_before_any_load(
    tmp_path: Path, users: int, workers: int, says: str
) -> None:
    plan = Plan(users=users, accounts=_file(tmp_path))
    with pytest.raises(UsageError, match=says):
        check_accounts(plan, [Person], workers)


def test_more_users_than_the_reference_service_has_accounts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--users is 1001, but the reference service has 1000"):
        check_accounts(Plan(users=1001), [Person])


def test_account_that_cannot_log_in_as_declared_is_named(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("username,password\nann,s1\nbob,\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"PasswordGrant needs a password of each account, and bob has none"):
        check_accounts(Plan(users=1, accounts=str(path)), [Person])


def test_worker_checks_what_only_it_can_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Signed:
        auth = SignedJwt("SHOP_KEY")
        account_name = "person-{}"
        account_password = ""

    monkeypatch.delenv("SHOP_KEY", raising=False)
    check_here(_settings("run-1"), [Person, object])
    with pytest.raises(UsageError, match=r"the key in SHOP_KEY, which is not set"):
        check_here(_settings("run-1"), [Signed])
    missing = replace(_settings("run-1"), accounts_file=str(tmp_path / "none.csv"))
    with pytest.raises(UsageError, match=r"cannot be read"):
        check_here(missing, [Person])


def test_accounts_that_nobody_acts_as_are_refused(tmp_path: Path) -> None:
    assert check_accounts(Plan(), []) == 0
    with pytest.raises(UsageError, match=r"none of the locustfile's users acts as an account"):
        check_accounts(Plan(accounts=_file(tmp_path)), [])


def _file(folder: Path) -> str:
    path = folder / "accounts.csv"
    path.write_text("username,password\nann,s1\nbob,s2\n", encoding="utf-8")
    return str(path)


def _settings(run_id: str, accounts: int = 1000) -> RunSettings:
    return RunSettings(run_id, run_id, 1, 30, 80.0, 0, 1, accounts)
