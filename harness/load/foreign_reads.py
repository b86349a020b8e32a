"""Foreign reads: what happens when one account asks for another's record, and whether that says anything."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from harness.core.accounts import Account
from harness.core.declaration import Declaration
from harness.load.auth import Credentials, Login
from harness.load.recorder import recorder

__all__ = ["SharedRecord", "SharedRecords", "judge_foreign_read", "read_foreign", "shared_records"]


@dataclass(frozen=True)
class SharedRecord:
    """A record that its owner could read."""

    resource: Declaration
    id: str

    @property
    def path(self) -> str:
        """Where it is read."""
        return self.resource.path_of(self.id)


class SharedRecords:
    """Records, at most `size`, that users of this process wrote and could read."""

    def __init__(self, size: int = 200) -> None:
        self._size = size
        self._owners: dict[SharedRecord, Login] = {}

    def share(self, record: SharedRecord, owner: Login) -> None:
        """`owner` has just read the record; the oldest goes when there are too many."""
        self._owners[record] = owner
        if len(self._owners) > self._size:
            del self._owners[next(iter(self._owners))]

    def withdraw(self, record: SharedRecord) -> None:
        """The record is about to be deleted."""
        self._owners.pop(record, None)

    def foreign_to(self, account: Account) -> list[tuple[SharedRecord, Login]]:
        """The records of other accounts, each with its owner."""
        return [(record, owner) for record, owner in self._owners.items() if owner.account != account]


@lru_cache(maxsize=1)
def shared_records(run_id: str) -> SharedRecords:  # noqa: ARG001 - what the cache goes by
    """The shared records of this process in one run."""
    return SharedRecords()


def read_foreign(run_id: str, login: Login, random: Random) -> None:
    """Ask for another account's record, then, as the control, let its owner ask for it.

    Runs beside the users and apart from the load: it delays no task and is in no sample.
    """
    others = shared_records(run_id).foreign_to(login.account)
    if not others:
        return
    record, owner = random.choice(others)
    shown, control = _status_for(login, record.path), _status_for(owner, record.path)
    outcome, detail = judge_foreign_read(shown, control, record.resource.refusals)
    what = f"GET {record.resource.one}"
    recorder.probe(login.account.name, "foreign_read", outcome, detail and f"{what}: {detail}")


def _status_for(login: Login, path: str) -> int:
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
