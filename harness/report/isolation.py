"""What accounts tried on each other's records, and what passed for a token: a row for each kind and phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.words import ABSENT, clean, count

__all__ = ["Tried", "tried"]

Json = Mapping[str, Any]

_WORDS = {
    "canary": "an own answer that shows another's data",
    "foreign_read": "another's record is read",
    "foreign_list": "another's record is listed",
    "foreign_update": "another's record is changed",
    "swapped_id": "another's id is swapped for its own",
    "foreign_delete": "another's record is deleted",
    "foreign_stream": "a change of another's record is pushed",
    "forged_signature": "a token with a forged signature",
    "alg_none": "a token without a signature (alg none)",
    "key_confusion": "a token signed with a key that is public",
    "altered_token": "an altered token",
    "expired_token": "a token that has ended",
    "wrong_audience": "a token for another audience",
    "wrong_issuer": "a token of another issuer",
    "missing_scope": "a write by a token that may only read",
    "revoked_token": "a token that was revoked",
    "stream_forged_token": "a WebSocket by a forged token",
    "stream_expired_token": "a WebSocket by a token that has ended",
    "stream_outlived_token": "a WebSocket that outlives its token",
}


@dataclass(frozen=True)
class Tried:
    """One kind of probe in one phase; `why` says why none was tried. `bad` when one succeeded."""

    what: str
    phase: str
    tried: str
    refused: str
    succeeded: str
    unclear: str
    why: str
    bad: bool


def tried(isolation: Json) -> Iterator[Tried]:
    """The rows of the verdict's `isolation`."""
    for row in isolation.get("rows") or ():
        kind = str(row.get("probe"))
        yield Tried(
            what=_WORDS.get(kind, clean(kind)),
            phase=clean(row.get("phase") or ABSENT),
            tried=count(row.get("tried")),
            refused=count(row.get("refused")),
            succeeded=count(row.get("succeeded")),
            unclear=count(row.get("errors")),
            why=clean(row.get("why_not") or ""),
            bad=bool(row.get("succeeded")),
        )
