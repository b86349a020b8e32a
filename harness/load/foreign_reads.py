"""Foreign reads: what happens when one account asks for another's record, and whether that says anything."""

from __future__ import annotations

import uuid
from collections.abc import Container
from functools import lru_cache

from harness.core.accounts import Account
from harness.load.auth import Credentials, Login

__all__ = ["SharedKeys", "judge_foreign_read", "shared_keys", "status_for"]


class SharedKeys:
    """Records, at most `size`, that users of this process wrote and could read."""

    def __init__(self, size: int = 200) -> None:
        self._size = size
        self._owners: dict[uuid.UUID, Login] = {}

    def share(self, key: uuid.UUID, owner: Login) -> None:
        """`owner` has just read the record; the oldest goes when there are too many."""
        self._owners[key] = owner
        if len(self._owners) > self._size:
            del self._owners[next(iter(self._owners))]

    def withdraw(self, key: uuid.UUID) -> None:
        """The record is about to be deleted."""
        self._owners.pop(key, None)

    def foreign_to(self, account: Account) -> list[tuple[uuid.UUID, Login]]:
        """The records of other accounts, each with its owner."""
        return [(key, owner) for key, owner in self._owners.items() if owner.account != account]


@lru_cache(maxsize=1)
def shared_keys(run_id: str) -> SharedKeys:  # noqa: ARG001 - what the cache goes by
    """The shared keys of this process in one run."""
    return SharedKeys()


def status_for(login: Login, path: str) -> int:
    """The status of `path` for the account of `login`, 0 for no answer; not recorded as load."""
    credentials = login.issued.credentials if login.issued is not None else Credentials()
    headers = credentials.headers_for("GET")
    return login.session.unrecorded("GET", path, headers=headers).status_code


def judge_foreign_read(shown: int, control: int, refusals: Container[int]) -> tuple[str, str]:
    """Outcome and detail of a probe: the status a stranger got for a record, and what its owner got.

    A refusal counts only when the owner can read the record: what does not exist is refused to everybody.
    Status 0 is no answer.
    """
    if 200 <= shown < 300:
        return "leaked", f"another account's record was shown (HTTP {shown})"
    if control != 200:
        return "error", f"the owner could not read it (HTTP {control})"
    if shown in refusals:
        return "refused", ""
    return "error", f"HTTP {shown}"
