"""The accounts that users act as: where they come from, and how workers share them out."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from harness.core.accounts import Account, accounts_of_text
from harness.errors import SetupError, UsageError
from harness.load.auth import Login
from harness.load.messages import RunSettings

__all__ = ["AccountPool", "Actor", "RunAccounts", "accounts_of", "read_accounts"]


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


class AccountPool:
    """The numbers, from 1, of the accounts that one of `worker_count` workers may act as.

    Workers take every `worker_count`-th number, so that no account is ever used by two.
    """

    def __init__(self, accounts: int, worker_index: int = 0, worker_count: int = 1) -> None:
        self._accounts = accounts
        self._free = list(range(1 + worker_index, accounts + 1, worker_count))

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
    """An account that was used, and the path of the collection its records are in."""

    login: Login
    collection: str


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
            f"{settings.accounts_file} lists {len(listed)} accounts here, {settings.accounts} at the master.",
            "Give every worker the same file.",
        )
    return RunAccounts(pool, listed)
