"""Canaries: how a text says whose it is, which run wrote it and as which version of its record.

canary:account-0001                      the account's, written by whoever seeded the service
canary:account-0001 run:8f3a v:3         the account's third version of a record, written by run 8f3a
canary:account-0001 run:8f3a v:3 k:2fe…  the same, and by which key the ledger knows the record (32 digits)
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Canary", "all_own", "foreign", "make_text", "read_text", "told"]

# A name ends in a letter or digit, so that a full stop after a canary is not taken for a part of it.
_NAME = r"[\w@+](?:[\w.@+-]*[\w@+])?"
_TOLD, _NAME_TOLD = 10, 100
_ANY = re.compile(rf"canary:({_NAME})")
_OF_A_RUN = re.compile(rf"canary:({_NAME}) run:(\S+) v:(\d{{1,9}})\b(?: k:([0-9a-f]{{32}}))?")


@dataclass(frozen=True, slots=True)
class Canary:
    """What a text of a run says about itself; `key` is the ledger's, None where the record's id is that."""

    account: str
    run: str
    version: int
    key: uuid.UUID | None = None


def make_text(account: str, run: str, version: int, rest: str = "", key: uuid.UUID | None = None) -> str:
    """A text that says whose it is, then `rest`; `run` holds no white space."""
    known_by = f"k:{key.hex} " if key else ""
    return f"canary:{account} run:{run} v:{version} {known_by}{rest}".rstrip()


def read_text(text: str) -> Canary | None:
    """What the first canary of a run in `text` says, None when there is none (as in seeded text)."""
    found = _OF_A_RUN.search(text)
    if found is None:
        return None
    return Canary(found[1], found[2], int(found[3]), uuid.UUID(found[4]) if found[4] else None)


def all_own(body: bytes, account: str) -> bool | None:
    """Whether every canary in an answer is seen to be `account`'s, None where it bears none.

    False does not say that there is another's: `foreign` has to look.
    """
    canaries = body.count(b"canary:")
    return canaries == body.count(f"canary:{account} ".encode()) if canaries else None


def foreign(text: str, account: str) -> set[str]:
    """The accounts other than `account` whose canaries occur in `text`."""
    return set(_ANY.findall(text)) - {account}


def told(accounts: Iterable[str]) -> str:
    """Accounts as a message tells them: of many the first, and of a long name its beginning."""
    names = sorted(accounts)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(name[:_NAME_TOLD] for name in names[:_TOLD]) + more
