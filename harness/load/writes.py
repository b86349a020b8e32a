"""Writes under way: each is booked in the ledger once, when its outcome is known or the load is over."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from harness.clock import monotonic
from harness.core.operations import OperationKind, OperationOutcome
from harness.load.recorder import recorder

__all__ = ["Write", "begin", "book", "book_unanswered"]


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """A write of one record, asked for at the instant `invoked`."""

    account: str
    key: uuid.UUID
    kind: OperationKind
    version: int
    invoked: float


_under_way: dict[Write, None] = {}


def begin(write: Write) -> None:
    """It has no outcome from now on."""
    _under_way[write] = None


def book(write: Write, outcome: OperationOutcome) -> None:
    """Enter it in the ledger, unless it is there already."""
    if write in _under_way:
        del _under_way[write]
        now = monotonic()
        recorder.operation(write.account, write.key, write.kind, write.version, write.invoked, now, outcome)
        if outcome is not OperationOutcome.FAIL:
            recorder.shapes.wrote(write.key, now, certain=outcome is OperationOutcome.OK)


def book_unanswered() -> None:
    """Enter all that have no outcome yet: each may turn up."""
    for write in tuple(_under_way):
        book(write, OperationOutcome.INDETERMINATE)
