"""Operations: what the ledger holds. One attempted write of an account each, in 36 bytes.

Record layout (little endian): account id u32, kind u8, outcome u8, two unused bytes, version u32 (the version
the write would leave behind), invoked u32 and ended u32 in 10 µs since the worker's zero, key 16 bytes.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.core.blocks import BlockStream
from harness.core.samples import TICK_S, U32, Floats, Ints

__all__ = [
    "OPERATION",
    "Bools",
    "Column",
    "Operation",
    "OperationKind",
    "OperationOutcome",
    "OperationTable",
    "pack_operation",
]

OPERATION = struct.Struct("<IBBxxIII16s")
_DTYPE = np.dtype(
    [
        ("account", "<u4"),
        ("kind", "u1"),
        ("outcome", "u1"),
        ("unused", "<u2"),
        ("version", "<u4"),
        ("invoked", "<u4"),
        ("ended", "<u4"),
        ("key", "S16"),
    ]
)
_KEY_BYTES = 16

Bools = npt.NDArray[np.bool_]
Column = npt.NDArray[np.integer[Any]]


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


@dataclass(frozen=True, eq=False)
class OperationTable:
    """All operations of a run as columns of one length, worker by worker in the order they ended.

    `account`, `record` and `worker` are indices into `accounts`, `keys` and `workers`; `invoked` and `ended`
    seconds since the start of the run. `keys` are the 16 bytes of each record's key, sorted.
    """

    account: Column
    record: Column
    kind: Column
    outcome: Column
    version: Column
    invoked: Floats
    ended: Floats
    worker: Column
    accounts: tuple[str, ...]
    keys: npt.NDArray[np.bytes_]
    workers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.account)

    def __iter__(self) -> Iterator[Operation]:
        return map(self.operation, range(len(self)))

    def operation(self, number: int) -> Operation:
        """The operation in row `number`."""
        return Operation(
            self.accounts[self.account[number]],
            self.key(self.record[number]),
            OperationKind(int(self.kind[number])),
            int(self.version[number]),
            float(self.invoked[number]),
            float(self.ended[number]),
            OperationOutcome(int(self.outcome[number])),
            self.workers[self.worker[number]],
        )

    def key(self, record: int) -> str:
        """The key of a record."""
        return str(uuid.UUID(bytes=bytes(self.keys[record]).ljust(_KEY_BYTES, b"\0")))

    def of_record(self, record: int) -> Iterator[Operation]:
        """Every operation on one record, as they began."""
        rows = np.flatnonzero(self.record == record)
        return map(self.operation, rows[np.lexsort((self.ended[rows], self.invoked[rows]))].tolist())

    def records(self, keys: Sequence[str]) -> Ints:
        """The indices of records by their keys, -1 where no operation is on it."""
        found = np.full(len(keys), -1, np.int64)
        raw = [_bytes_of(key) for key in keys]
        own = np.array([number for number, key in enumerate(raw) if key is not None], np.int64)
        if not len(self.keys) or not len(own):
            return found
        asked = np.array([key for key in raw if key is not None], self.keys.dtype)
        places = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        found[own] = np.where(self.keys[places] == asked, places, -1)
        return found

    @classmethod
    def join(cls, base_at: Mapping[str, float], streams: Sequence[BlockStream]) -> OperationTable:
        """Unpack the streams of all workers; `base_at` is each worker's zero in run time (0 when unknown)."""
        rows = np.concatenate([np.frombuffer(s.payload, _DTYPE) for s in streams] or [np.empty(0, _DTYPE)])
        lengths = [len(stream.payload) // OPERATION.size for stream in streams]
        worker = np.repeat(np.arange(len(streams), dtype=np.int16), lengths)
        bases = np.array([base_at.get(stream.worker, 0.0) for stream in streams])
        base = bases[worker] if len(streams) else np.empty(0)
        accounts: dict[str, int] = {}
        keys, record = np.unique(rows["key"], return_inverse=True)
        return cls(
            account=_named(rows["account"], lengths, streams, accounts),
            record=record.astype(np.int32),
            kind=rows["kind"].copy(),
            outcome=rows["outcome"].copy(),
            version=rows["version"].copy(),
            invoked=base + rows["invoked"] * TICK_S,
            ended=base + rows["ended"] * TICK_S,
            worker=worker,
            accounts=tuple(accounts),
            keys=keys,
            workers=tuple(stream.worker for stream in streams),
        )


def _bytes_of(key: str) -> bytes | None:
    """The bytes of a key, None for what is none."""
    try:
        return uuid.UUID(key).bytes
    except ValueError:
        return None


def _named(
    ids: Column, lengths: Sequence[int], streams: Sequence[BlockStream], known: dict[str, int]
) -> Column:
    """Workers' account ids → run-wide ones; an id whose name never arrived is named by its number."""
    numbered: Column = np.empty(len(ids), np.int32)
    start = 0
    for length, stream in zip(lengths, streams, strict=True):
        own, inverse = np.unique(ids[start : start + length], return_inverse=True)
        names = stream.tables.get("accounts", {})
        runwide = [known.setdefault(names.get(int(one), f"#{one}"), len(known)) for one in own]
        numbered[start : start + length] = np.array(runwide, np.int32)[inverse]
        start += length
    return numbered
