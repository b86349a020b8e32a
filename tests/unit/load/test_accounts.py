from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import SetupError, UsageError
from harness.load.accounts import AccountPool, accounts_of, read_accounts
from harness.load.messages import RunSettings


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


def _file(folder: Path) -> str:
    path = folder / "accounts.csv"
    path.write_text("username,password\nann,s1\nbob,s2\n", encoding="utf-8")
    return str(path)


def _settings(run_id: str, accounts: int = 1000) -> RunSettings:
    return RunSettings(run_id, run_id, 1, 30, 80.0, 0, 1, accounts)
