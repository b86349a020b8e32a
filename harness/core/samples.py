"""Samples: one request or message each, packed in 16 bytes, exact to a microsecond.

Record layout (little endian): intended start u32 in 10 µs since the worker's zero (11.9 hours), latency u32
in µs from the intended start, service time u32 in µs from the send, endpoint id u16, outcome u8, cause id u8.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.core.blocks import BlockStream

__all__ = [
    "LONG_S",
    "ROW",
    "SAMPLE",
    "SAMPLE_TYPE",
    "TICK_S",
    "U32",
    "Outcome",
    "SampleTable",
    "pack_samples",
]

TICK_S = 1e-5
"""Seconds in one unit of a packed instant."""

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
_PACKED = (("intended", 1e5), ("latency", 1e6), ("service", 1e6))
_NUMBERS = ("endpoint", "outcome", "cause")
ROW = len(_PACKED) + len(_NUMBERS)
"""How many numbers `pack_samples` takes for a sample."""

LONG_S = 10.0
"""Seconds from which on a request is one of the few that take very long."""

U32 = 0xFFFFFFFF
"""The largest packed instant or duration."""


class Outcome(IntEnum):
    """How a request ended; `UNFINISHED` was still in flight when the load stopped, its latency is its age."""

    OK = 0
    ERROR = 1
    UNFINISHED = 2


def pack_samples(rows: Sequence[float]) -> bytes:
    """The records of samples, whose numbers lie end to end in `rows`, `ROW` each: intended start in seconds
    since the worker's zero, latency and service time in seconds, endpoint, outcome, cause.

    What a record cannot hold is clamped. Many at once cost a third of what they cost one by one.
    """
    numbers = np.fromiter(rows, np.float64, len(rows)).reshape(-1, ROW)
    records = np.empty(len(numbers), SAMPLE_TYPE)
    for column, (name, per_second) in enumerate(_PACKED):
        records[name] = np.clip(numbers[:, column] * per_second + 0.5, 0, U32)
    for column, name in enumerate(_NUMBERS, len(_PACKED)):
        records[name] = numbers[:, column]
    return records.tobytes()


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
