"""The accounts that users act as: where they come from, and how workers share them out."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.core.accounts import Account, accounts_of_text
from harness.core.counted import counted
from harness.core.declaration import Declaration
from harness.core.plan import Plan
from harness.core.totals import TotalsDeclaration
from harness.errors import SetupError, UsageError
from harness.load.auth import Auth, Login
from harness.load.hooks import on_begin
from harness.load.messages import RunSettings

__all__ = [
    "AccountPool",
    "Actor",
    "RunAccounts",
    "accounts_of",
    "check_accounts",
    "first_account",
    "read_accounts",
]

SEEDED = 1000
"""Accounts of the reference service."""


def read_accounts(path: str) -> tuple[Account, ...]:
    """The accounts of a CSV or JSON file; raises UsageError when it cannot be read or is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The accounts file {path} cannot be read: {error.strerror}.", "Give its path with --accounts."
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The accounts file {path} is not UTF-8: byte {error.start} is none of it.", "Save it as UTF-8."
        ) from None
    return accounts_of_text(text, path)


def check_accounts(plan: Plan, users: Sequence[type[Any]], workers: int = 1) -> int:
    """How many accounts the plan has for its users, who are of the classes `users`.

    Raises UsageError, before any load, when they are too few for so many `workers`, or cannot log in as
    declared.
    """
    if not users:
        if plan.accounts:
            raise UsageError(
                "--accounts is given, but none of the locustfile's users acts as an account.",
                "Make them subclasses of harness.locust.MigrationUser, or drop the flag.",
            )
        return 0
    listed = read_accounts(plan.accounts) if plan.accounts else ()
    for user in users:
        for account in listed or (_numbered(user, 1),):
            user.auth.check(account)
    if not listed and plan.host is not None:
        return plan.users * workers  # named by number, so there are as many as anybody asks for
    known = len(listed) or SEEDED
    needed = workers * math.ceil(plan.users / workers)
    if needed > known:
        split = f", which on {workers} workers need {needed} accounts" if workers > 1 else ""
        raise UsageError(
            f"--users is {plan.users}{split}, but {plan.accounts or 'the reference service'} has {known}.",
            f"Each user needs an account of its own: give at most {known // workers * workers}.",
        )
    return known


@on_begin
def check_here(settings: RunSettings, users: Sequence[type[Any]]) -> None:
    """Check once more where the users are, what the master has checked: files and variables may differ."""
    for user in users:
        if isinstance(getattr(user, "auth", None), Auth):
            account = accounts_of(settings).account(1, user.account_name, user.account_password)
            user.auth.check(account)


def first_account(plan: Plan, user: type[Any]) -> Account:
    """The account that the first user of a class acts as."""
    return read_accounts(plan.accounts)[0] if plan.accounts else _numbered(user, 1)


def _numbered(user: type[Any], number: int) -> Account:
    return Account(user.account_name.format(number), user.account_password)


class AccountPool:
    """The numbers, from 1, of the accounts that one of `worker_count` workers may act as.

    Workers take every `worker_count`-th number, so that no account is ever used by two.
    """

    def __init__(self, accounts: int, worker_index: int = 0, worker_count: int = 1) -> None:
        self._accounts = accounts
        self._free = list(range(1 + worker_index, accounts + 1, worker_count))

    @property
    def left(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self) -> int:
        """The lowest free number; SetupError when there is none left."""
        if not self._free:
            raise SetupError(
                f"All of this worker's accounts are taken; the service has {self._accounts}.",
                "Lower --users to the number of accounts.",
            )
        return heapq.heappop(self._free)

    def give_back(self, number: int) -> None:
        """Free an account whose user has ended."""
        heapq.heappush(self._free, number)


@dataclass(frozen=True, slots=True)
class Actor:
    """An account that was used, what its records are of, a path that only an account may read, if there is
    one, and what of it adds up to a constant. `user` is whom functions in the bodies of its records are
    called with.
    """

    login: Login
    resources: tuple[Declaration, ...] = ()
    probe_path: str | None = None
    totals: tuple[TotalsDeclaration, ...] = ()
    user: Any = None


@dataclass(frozen=True)
class RunAccounts:
    """What this process's users share during one run: the free accounts, and everyone who acted, by name."""

    pool: AccountPool
    listed: tuple[Account, ...] = field(default=(), repr=False)
    actors: dict[str, Actor] = field(default_factory=dict)

    def account(self, number: int, name: str, password: str) -> Account:
        """The account of a number: the file's, else one made of a name's format and a password."""
        return self.listed[number - 1] if self.listed else Account(name.format(number), password)


@lru_cache(maxsize=1)
def accounts_of(settings: RunSettings) -> RunAccounts:
    """The accounts of the run with these settings; a new run begins with all of them free.

    Each worker reads the accounts file itself: a password never travels. Raises UsageError as `read_accounts`
    does, and when the file is not the one that the master has read.
    """
    pool = AccountPool(settings.accounts, settings.worker_index, settings.worker_count)
    if settings.accounts_file is None:
        return RunAccounts(pool)
    listed = read_accounts(settings.accounts_file)
    if len(listed) != settings.accounts:
        raise UsageError(
            f"{settings.accounts_file} lists {counted(len(listed), 'account')} here,"
            f" {settings.accounts} at the master.",
            "Give every worker the same file.",
        )
    return RunAccounts(pool, listed)
