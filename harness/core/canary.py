"""Canaries: how a text says whose it is, which run wrote it and as which version of its record.

canary:account-0001                      the account's, written by whoever seeded the service
canary:account-0001 run:8f3a v:3         the account's third version of a record, written by run 8f3a
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Canary", "foreign", "make_text", "read_text"]

# A name ends in a letter or digit, so that a full stop after a canary is not taken for a part of it.
_NAME = r"[\w@+](?:[\w.@+-]*[\w@+])?"
_ANY = re.compile(rf"canary:({_NAME})")
_OF_A_RUN = re.compile(rf"canary:({_NAME}) run:(\S+) v:(\d+)")


@dataclass(frozen=True, slots=True)
class Canary:
    """What a text of a run says about itself."""

    account: str
    run: str
    version: int


def make_text(account: str, run: str, version: int, rest: str = "") -> str:
    """A text that says whose it is, then `rest`; `run` holds no white space."""
    return f"canary:{account} run:{run} v:{version} {rest}".rstrip()


def read_text(text: str) -> Canary | None:
    """What the first canary of a run in `text` says, None when there is none (as in seeded text)."""
    found = _OF_A_RUN.search(text)
    return Canary(found[1], found[2], int(found[3])) if found else None


def foreign(text: str, account: str) -> set[str]:
    """The accounts other than `account` whose canaries occur in `text`."""
    return set(_ANY.findall(text)) - {account}
