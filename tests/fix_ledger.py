"""Operations of the ledger, and what reads and totals showed of it."""

from __future__ import annotations

import uuid
from dataclasses import replace

from harness.core.blocks import BlockStream
from harness.core.operations import (
    KeyNumbers,
    Operation,
    OperationKind,
    OperationOutcome,
    OperationTable,
    draft_operation,
    pack_operations,
)
from harness.core.record import Found, TotalRead


def an_operation(
    kind: OperationKind,
    version: int,
    outcome: OperationOutcome = OperationOutcome.OK,
    *,
    key: str = "k1",
    account: str = "ada",
    worker: str = "w1",
    at: float = 1.0,
    took: float = 0.1,
) -> Operation:
    """One attempted write."""
    return Operation(account, a_key(key), kind, version, at, at + took, outcome, worker)


def a_read(
    version: int, shown: int = 1, *, key: str = "k1", at: float = 30.0, took: float = 0.1
) -> Operation:
    """A read of a record; `version` 0 with `shown` 0 is one that found nothing."""
    write = an_operation(OperationKind.READ, version, key=key, at=at, took=took)
    return replace(write, shown=shown)


def a_total(amount: str = "30000", *, at: float = 30.0, account: str = "ada", count: int = 3) -> TotalRead:
    """What an account's wallets came to."""
    return TotalRead(at, account, "wallets", amount, count, 0.1)


def a_key(name: str) -> str:
    """The ledger's key of a record that a test calls by a short name."""
    return str(uuid.UUID(bytes=name.encode().ljust(16, b"\0")))


def operations_of(*operations: Operation) -> OperationTable:
    """Operations as they come back from a run directory, worker by worker."""
    names = {name: n for n, name in enumerate(dict.fromkeys(one.account for one in operations))}
    tables = {"accounts": {number: name for name, number in names.items()}}
    packed: dict[str, bytes] = {}
    numbers: dict[str, KeyNumbers] = {}
    for one in operations:
        own = numbers.setdefault(one.worker, KeyNumbers())
        what = (names[one.account], one.kind, one.outcome, one.version, one.invoked, one.ended)
        record = pack_operations(draft_operation(*what, own[uuid.UUID(one.key).int], one.shown))
        packed[one.worker] = packed.get(one.worker, b"") + record
    streams = [
        BlockStream(worker, payload, tables, (), (numbers[worker].take(),))
        for worker, payload in packed.items()
    ]
    return OperationTable.join({}, streams)


def found(version: int, key: str = "k1", content: int | None = -1, account: str = "ada") -> Found:
    """A record as the final read shows it; its text is of the same version unless `content` is given."""
    return Found(a_key(key), version, account, version if content == -1 else content)
