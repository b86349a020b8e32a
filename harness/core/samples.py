"""Samples: one request or message each, packed in 16 bytes, exact to a microsecond.

Record layout (little endian): intended start u32 in 10 µs since the worker's zero (11.9 hours), latency u32
in µs from the intended start, service time u32 in µs from the send, endpoint id u16, outcome u8, cause id u8.

A record begins as a draft of 28 bytes, with its instants in seconds: many drafts are packed at once, which
costs a fraction of what it costs one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.core.blocks import BlockStream

__all__ = [
    "DRAFT_TYPE",
    "LONG_S",
    "SAMPLE",
    "SAMPLE_TYPE",
    "TICKS_A_SECOND",
    "TICK_S",
    "U32",
    "Outcome",
    "SampleTable",
    "draft_sample",
    "pack_samples",
    "packed_times",
]

TICK_S = 1e-5
"""Seconds in one unit of a packed instant."""

TICKS_A_SECOND = 1e5
"""Not `1 / TICK_S`, which is a little less."""

SAMPLE = struct.Struct("<IIIHBB")
SAMPLE_TYPE = np.dtype(
    [
        ("intended", "<u4"),
        ("latency", "<u4"),
        ("service", "<u4"),
        ("endpoint", "<u2"),
        ("outcome", "u1"),
        ("cause", "u1"),
    ]
)
DRAFT_TYPE = np.dtype(
    [
        ("intended", "<f8"),
        ("sent", "<f8"),
        ("ended", "<f8"),
        ("endpoint", "<u2"),
        ("outcome", "u1"),
        ("cause", "u1"),
    ]
)
"""A draft: the instants of a request in seconds, by one clock."""

LONG_S = 10.0
"""Seconds from which on a request is one of the few that take very long."""

U32 = 0xFFFFFFFF
"""The largest packed instant or duration."""


class Outcome(IntEnum):
    """How a request ended; `UNFINISHED` was still in flight when the load stopped, its latency is its age."""

    OK = 0
    ERROR = 1
    UNFINISHED = 2


draft_sample: Callable[[float, float, float, int, int, int], bytes] = struct.Struct("<dddHBB").pack
"""The draft of a sample: the instants it was intended for, sent and ended at, endpoint, outcome, cause."""


def pack_samples(drafts: bytes | bytearray, zero: float = 0.0) -> bytes:
    """The records of drafts, which lie end to end; `zero` is the worker's, by the clock of their instants.

    What a record cannot hold is clamped.
    """
    drafted = np.frombuffer(drafts, DRAFT_TYPE)
    records = np.empty(len(drafted), SAMPLE_TYPE)
    records["intended"] = packed_times(drafted["intended"] - zero, TICKS_A_SECOND)
    records["latency"] = packed_times(drafted["ended"] - drafted["intended"], 1e6)
    records["service"] = packed_times(drafted["ended"] - drafted["sent"], 1e6)
    for name in ("endpoint", "outcome", "cause"):
        records[name] = drafted[name]
    return records.tobytes()


def packed_times(seconds: npt.NDArray[np.float64], per_second: float) -> npt.NDArray[np.float64]:
    """Times in units of so many a second, to the nearest, clamped to what a record holds."""
    return np.clip(seconds * per_second + 0.5, 0, U32)


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.integer[Any]]
"""Small numbers, as narrow as they may be: a run has millions of samples. Unsigned: never subtract them."""


@dataclass(frozen=True)
class SampleTable:
    """All samples of a run as columns of one length, ordered by intended start.

    `at` seconds since the start of the run of the intended start, `latency` and `service` in seconds,
    `endpoint` an index into `endpoints`, `outcome` an `Outcome`, `cause` an index into `causes` (0 is none),
    `worker` an index into `workers`, whose clocks' zeros are `bases` in run time.
    """

    at: Floats
    latency: Floats
    service: Floats
    endpoint: Ids
    outcome: Ids
    cause: Ids
    endpoints: tuple[str, ...]
    causes: tuple[str, ...]
    worker: Ids
    workers: tuple[str, ...]
    bases: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def end(self) -> Floats:
        """The instant each sample ended (for an unfinished one: when the load stopped)."""
        return self.at + self.latency

    @cached_property
    def long(self) -> Ints:
        """The positions of those that took longer than `LONG_S`, which reach far from where they begin."""
        return np.flatnonzero(self.latency > LONG_S)

    @property
    def tick(self) -> Ints:
        """Each sample's intended start as its worker packed it, in units of `TICK_S` since its zero."""
        ticks: Ints = np.rint((self.at - np.array(self.bases)[self.worker]) / TICK_S).astype(np.int64)
        return ticks

    def where(self, mask: npt.NDArray[np.bool_] | Ints | slice) -> SampleTable:
        """The samples for which `mask` holds, or those at the positions it lists; a slice copies nothing."""
        return SampleTable(
            self.at[mask],
            self.latency[mask],
            self.service[mask],
            self.endpoint[mask],
            self.outcome[mask],
            self.cause[mask],
            self.endpoints,
            self.causes,
            self.worker[mask],
            self.workers,
            self.bases,
        )

    @classmethod
    def join(cls, base_at: Mapping[str, float], streams: Sequence[BlockStream]) -> SampleTable:
        """Unpack the streams of all workers; `base_at` is each worker's zero in run time (0 when unknown)."""
        endpoints: dict[str, int] = {}
        causes: dict[str, int] = {"": 0}
        records = [np.frombuffer(stream.payload, SAMPLE_TYPE) for stream in streams]
        bases = tuple(base_at.get(stream.worker, 0.0) for stream in streams)
        at = _joined(
            [r["intended"] * TICK_S + base for r, base in zip(records, bases, strict=True)], np.float64
        )
        order = np.argsort(at, kind="stable")
        names = [
            _renumber(r["endpoint"], s.tables.get("endpoints", {}), endpoints)
            for r, s in zip(records, streams, strict=True)
        ]
        why = [
            _renumber(r["cause"], {0: "", **s.tables.get("causes", {})}, causes)
            for r, s in zip(records, streams, strict=True)
        ]
        whose = [np.full(len(r), number, _id_type(len(streams))) for number, r in enumerate(records)]
        return cls(
            at[order],
            _joined([r["latency"] for r in records], np.uint32)[order] * 1e-6,
            _joined([r["service"] for r in records], np.uint32)[order] * 1e-6,
            _joined(names, _id_type(len(endpoints)))[order],
            _joined([r["outcome"] for r in records], np.uint8)[order],
            _joined(why, _id_type(len(causes)))[order],
            tuple(endpoints),
            tuple(causes),
            _joined(whose, _id_type(len(streams)))[order],
            tuple(s.worker for s in streams),
            bases,
        )


def _joined(parts: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate(parts, dtype=kind) if parts else np.empty(0, kind)


def _id_type(count: int) -> type[np.unsignedinteger[Any]]:
    """Wide enough for `count` ids from 0; 16 bits are sorted by their digits, which is the quickest."""
    return np.uint16 if count <= 0x10000 else np.uint32


def _renumber(ids: npt.NDArray[Any], names: Mapping[int, str], known: dict[str, int]) -> Ids:
    """Worker's ids → run-wide ids; an id whose name never arrived is named by its number."""
    size = int(ids.max()) + 1 if len(ids) else 0
    numbers = [known.setdefault(names.get(number, f"#{number}"), len(known)) for number in range(size)]
    numbered: Ids = np.array(numbers, _id_type(len(known)))[ids]
    return numbered
