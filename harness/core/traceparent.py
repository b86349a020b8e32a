"""The traceparent header of our requests: by it a query in the database is tied to the sample of its request.

The header is a W3C trace context (https://www.w3.org/TR/trace-context/#traceparent-header). Its trace id says
which sample it belongs to, so that no id need be stored with the sample:

    00-<worker><tick><user>-<span>-01

`worker` is the CRC-32 of the worker's id (8 hex digits), `tick` the packed intended start of the sample (16,
the first eight always 0), `user` the number of the user (8), `span` a number that the worker gives out once.
A service that follows SQLCommenter (https://google.github.io/sqlcommenter/spec/) repeats it in a comment of
its SQL; one that makes a span of its own keeps the trace id, which is all that is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from zlib import crc32

from harness.core.samples import U32

__all__ = ["Tie", "make", "packed_start", "parse", "worker_crc"]

_OURS = re.compile(
    r"(?<![0-9a-f-])00-([0-9a-f]{8})0{8}([0-9a-f]{8})([0-9a-f]{8})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?![0-9a-f-])"
)


_REST = Struct(">IIQ")
"""What follows the worker: as hexadecimal digits, in a third of the time that formatting takes."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Whose request it was: `tick` is `intended` of the sample as packed, `worker_crc` that of its worker."""

    worker_crc: int
    tick: int
    user: int


def make(worker: str, tick: int, user: int, counter: int) -> str:
    """The header of the request whose sample is packed at `tick`; `counter` is unique in the worker, from 1.

    An id of zeros alone is invalid, so a user 0 who would make one is written as 1.
    """
    number = user & U32 or int(not (tick or worker_crc(worker)))
    return f"{_start(worker)}{_REST.pack(tick, number, counter or 1).hex('-', 8)}-01"


def parse(text: str) -> Tie | None:
    """The tie in a query's comment or in a header; None when there is none, or one of somebody else's."""
    found = _OURS.search(text)
    if found is None:
        return None
    crc, tick, user = (int(part, 16) for part in found.groups())
    return Tie(crc, tick, user) if crc or tick or user else None


def packed_start(intended_s: float) -> int:
    """The tick that `pack_samples` packs for a sample intended for `intended_s` after its worker's zero."""
    tick = int(intended_s * 1e5 + 0.5)
    return tick if 0 <= tick <= U32 else min(max(tick, 0), U32)


@lru_cache(maxsize=64)
def worker_crc(worker: str) -> int:
    """What stands for the worker in a trace id."""
    return crc32(worker.encode())


@lru_cache(maxsize=64)
def _start(worker: str) -> str:
    return f"00-{worker_crc(worker):08x}{0:08x}"
