"""Operations: what the ledger holds. One attempted write (or checked read) of an account each, 36 bytes.

Record layout (little endian): account id u32, kind u8, outcome u8, two unused bytes, version u32 (the version
the write would leave behind), invoked u32 and ended u32 in 10 µs since the worker's zero, key 16 bytes.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from harness.core.blocks import BlockStream
from harness.core.samples import TICK_S, U32

__all__ = [
    "OPERATION",
    "Operation",
    "OperationKind",
    "OperationOutcome",
    "pack_operation",
    "unpack_operations",
]

OPERATION = struct.Struct("<IBBxxIII16s")


class OperationKind(IntEnum):
    """What was attempted."""

    CREATE = 0
    UPDATE = 1
    DELETE = 2
    TRANSFER = 3


class OperationOutcome(IntEnum):
    """`OK` was acknowledged; `FAIL` surely did not happen; `INDETERMINATE` may or may not have happened."""

    OK = 0
    FAIL = 1
    INDETERMINATE = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """One attempted write: `invoked` and `ended` are seconds since the start of the run."""

    account: str
    key: str
    kind: OperationKind
    version: int
    invoked: float
    ended: float
    outcome: OperationOutcome
    worker: str = ""


def pack_operation(
    account: int, kind: int, outcome: int, version: int, invoked_s: float, ended_s: float, key: uuid.UUID
) -> bytes:
    """One record; instants are seconds since the worker's zero, clamped to what the record can hold."""
    instants = (min(max(int(seconds * 1e5 + 0.5), 0), U32) for seconds in (invoked_s, ended_s))
    return OPERATION.pack(account, kind, outcome, version, *instants, key.bytes)


def unpack_operations(base_at: Mapping[str, float], streams: Sequence[BlockStream]) -> Iterator[Operation]:
    """All operations of the streams, worker by worker; `base_at` is each worker's zero in run time."""
    for stream in streams:
        base = base_at.get(stream.worker, 0.0)
        accounts = stream.tables.get("accounts", {})
        for account, kind, outcome, version, invoked, ended, key in OPERATION.iter_unpack(stream.payload):
            yield Operation(
                accounts.get(account, f"#{account}"),
                str(uuid.UUID(bytes=key)),
                OperationKind(kind),
                version,
                base + invoked * TICK_S,
                base + ended * TICK_S,
                OperationOutcome(outcome),
                stream.worker,
            )
