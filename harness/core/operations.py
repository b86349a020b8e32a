"""Operations: what the ledger holds. One attempted write, or one record that a read showed, in 24 bytes.

Record layout (little endian): account id u32, kind u8, outcome u8, shown u8, an unused byte, version u32 (the
version that the write would leave behind, or the read showed), invoked u32 and ended u32 in 10 µs since the
worker's zero, the number of the record's key u32. A worker tells each key once, in the block in which its
number first occurs. A record of 36 bytes has the key itself, 16 bytes, in place of its number.

As a sample, an operation is a draft first, with its instants in seconds.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.core.blocks import BlockStream
from harness.core.samples import TICK_S, TICKS_A_SECOND, U32, Floats, Ints, packed_times

__all__ = [
    "OPERATION_BYTES",
    "Bools",
    "Column",
    "KeyNumbers",
    "Operation",
    "OperationKind",
    "OperationOutcome",
    "OperationTable",
    "draft_operation",
    "pack_operations",
]

_DRAFT_TYPE = np.dtype(
    [
        ("account", "<u4"),
        ("kind", "u1"),
        ("outcome", "u1"),
        ("version", "<f8"),
        ("invoked", "<f8"),
        ("ended", "<f8"),
        ("key", "<u4"),
        ("shown", "<u4"),
    ]
)
_FIELDS = [
    ("account", "<u4"),
    ("kind", "u1"),
    ("outcome", "u1"),
    ("shown", "u1"),
    ("unused", "u1"),
    ("version", "<u4"),
    ("invoked", "<u4"),
    ("ended", "<u4"),
]
_NUMBERED = np.dtype([*_FIELDS, ("key", "<u4")])
_WITH_KEY = np.dtype([*_FIELDS, ("key", "S16")])
_KEY_BYTES = 16
OPERATION_BYTES = _NUMBERED.itemsize
"""The size of a record."""

_MOST_NUMBERED = 100_000

Bools = npt.NDArray[np.bool_]
Column = npt.NDArray[np.integer[Any]]


class OperationKind(IntEnum):
    """What was attempted. A transfer is on no record of its own."""

    CREATE = 0
    UPDATE = 1
    DELETE = 2
    TRANSFER = 3
    READ = 4


class OperationOutcome(IntEnum):
    """`OK` was acknowledged; `FAIL` surely did not happen; `INDETERMINATE` may or may not have happened."""

    OK = 0
    FAIL = 1
    INDETERMINATE = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """One attempted write, or a read of one record; `invoked` and `ended` are seconds since the start of the
    run. `shown` is how often a read's answer showed the record, 0 when it said that there is none; its
    `version` is then 0, as it is where the answer tells no version.
    """

    account: str
    key: str
    kind: OperationKind
    version: int
    invoked: float
    ended: float
    outcome: OperationOutcome
    worker: str = ""
    shown: int = 0


class KeyNumbers(dict[int, int]):
    """The numbers of a worker's keys, from 0 as they are asked for.

    Keys are given as `UUID.int`: a UUID's own hash is made in Python. Only so many are remembered, so a key
    may get another number later on.
    """

    def __init__(self) -> None:
        self._told = 0
        self._new: list[int] = []

    def __missing__(self, key: int) -> int:
        if len(self) == _MOST_NUMBERED:
            self.clear()
        number = self[key] = self._told + len(self._new)
        self._new.append(key)
        return number

    def take(self) -> tuple[int, bytes]:
        """The number of the first key that is new since they were last taken, and the bytes of all."""
        first, new = self._told, self._new
        self._told, self._new = first + len(new), []
        return first, b"".join([key.to_bytes(_KEY_BYTES, "big") for key in new])


draft_operation: Callable[[int, int, int, float, float, float, int, int], bytes] = struct.Struct(
    "<IBBdddII"
).pack
"""The draft of an operation: account, kind, outcome, version, the instants it was invoked and ended at, the
number of the record's key (`KeyNumbers`), how often it was shown."""


def pack_operations(drafts: bytes | bytearray, zero: float = 0.0) -> bytes:
    """The records of drafts, which lie end to end; `zero` is the worker's, by the clock of their instants.

    What a record cannot hold is clamped.
    """
    drafted = np.frombuffer(drafts, _DRAFT_TYPE)
    records = np.zeros(len(drafted), _NUMBERED)
    for name in ("account", "kind", "outcome", "key"):
        records[name] = drafted[name]
    for name in ("invoked", "ended"):
        records[name] = packed_times(drafted[name] - zero, TICKS_A_SECOND)
    records["version"] = np.clip(drafted["version"], 0, U32)
    records["shown"] = np.minimum(drafted["shown"], 0xFF)
    return records.tobytes()


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
    shown: Column
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
            int(self.shown[number]),
        )

    def key(self, record: int) -> str:
        """The key of a record."""
        return str(uuid.UUID(bytes=bytes(self.keys[record]).ljust(_KEY_BYTES, b"\0")))

    def of_record(self, record: int) -> Iterator[Operation]:
        """Every operation on one record, as they began."""
        return map(self.operation, self.rows_of(record).tolist())

    def rows_of(self, record: int) -> Ints:
        """The rows of the operations on one record, as they began."""
        order, starts = self._by_record
        rows = order[starts[record] : starts[record + 1]]
        columns = (self.shown, self.outcome, self.version, self.kind, self.ended, self.invoked)
        return rows[np.lexsort([column[rows] for column in columns])]

    @cached_property
    def _by_record(self) -> tuple[Ints, Ints]:
        """The rows in the order of their records, and where each record's begin."""
        counts = np.bincount(self.record, minlength=len(self.keys))
        return np.argsort(self.record, kind="stable"), np.r_[0, np.cumsum(counts)]

    @property
    def writes(self) -> Bools:
        """The rows that attempt to write a record."""
        return self.kind <= OperationKind.DELETE

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
        rows = np.concatenate([_rows(s) for s in streams] or [np.empty(0, _WITH_KEY)])
        lengths = [len(stream.payload) // _layout(stream).itemsize for stream in streams]
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
            shown=rows["shown"].copy(),
            version=rows["version"].copy(),
            invoked=base + rows["invoked"] * TICK_S,
            ended=base + rows["ended"] * TICK_S,
            worker=worker,
            accounts=tuple(accounts),
            keys=keys,
            workers=tuple(stream.worker for stream in streams),
        )


def _layout(stream: BlockStream) -> np.dtype[np.void]:
    return _WITH_KEY if stream.size == _WITH_KEY.itemsize else _NUMBERED


def _rows(stream: BlockStream) -> npt.NDArray[np.void]:
    """A worker's records, each with its key."""
    rows = np.frombuffer(stream.payload, _layout(stream))
    if rows.dtype == _WITH_KEY:
        return rows
    whole = np.empty(len(rows), _WITH_KEY)
    for name, _ in _FIELDS:
        whole[name] = rows[name]
    whole["key"] = _keys(stream, rows["key"])[rows["key"]]
    return whole


def _keys(stream: BlockStream, numbers: Column) -> npt.NDArray[np.bytes_]:
    """A worker's keys by their numbers; one that never arrived is made of the worker's name and number."""
    ends = [first + len(told) // _KEY_BYTES for first, told in stream.keys]
    keys = np.zeros(max([*ends, int(numbers.max(initial=0)) + 1]), "S16")
    arrived = np.zeros(len(keys), np.bool_)
    for (first, told), end in zip(stream.keys, ends, strict=True):
        keys[first:end] = np.frombuffer(told, "S16")
        arrived[first:end] = True
    for number in np.unique(numbers[~arrived[numbers]]).tolist():
        keys[number] = uuid.uuid5(uuid.NAMESPACE_OID, f"{stream.worker} {number}").bytes
    return keys


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
