"""Affected: which requests suffered from waits in the database.

A query that carries its request's `traceparent` is tied to that request exactly. Others are tied by time:
those under way during a wait that failed, or took longer than the baseline's p99 of their endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harness.core.client import by_endpoint, inside
from harness.core.samples import TICK_S, Floats, Ints, Outcome, SampleTable
from harness.core.timeline import Window
from harness.core.traceparent import Tie, parse, worker_crc

__all__ = ["Affected", "Requests", "in_any", "share_in"]

ENOUGH_SAMPLES = 100
"""Answers of an endpoint in the baseline that its own p99 needs; with fewer the one of all is taken."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Affected:
    """How many requests, of which endpoints (most affected first).

    `tied` of them sent a query that waited, told by its traceparent; the others failed or were slow
    meanwhile: they waited for a connection, or behind those that did. `tie`: traceparent, overlap, both with
    a blank between, or "" where there is no evidence for any (then `requests` is None).
    """

    requests: int | None
    tied: int
    endpoints: tuple[str, ...]
    tie: str


@dataclass(frozen=True)
class Requests:
    """All requests of a run, to be asked which of them suffered."""

    samples: SampleTable
    baseline: Window | None

    def tied(self, queries: Iterable[str]) -> Ints:
        """The positions of the samples whose requests sent these queries, -1 where a query does not say."""
        ties = (parse(query) for query in queries)
        return np.array([-1 if tie is None else self._position(tie) for tie in ties], np.int64)

    def _position(self, tie: Tie) -> int:
        """The slowest of the samples that bear this tie, -1 where none does."""
        told = []
        for worker in self._workers.get(tie.worker_crc, ()):
            due = self.samples.bases[worker] + tie.tick * TICK_S
            first, last = np.searchsorted(self.samples.at, (due - TICK_S, due + TICK_S))
            near = self.samples.where(slice(first, last))
            own = first + np.flatnonzero((near.worker == worker) & (near.tick == tie.tick))
            told += own.tolist()
        return max(told, key=lambda position: (self.samples.latency[position], -position), default=-1)

    def tied_to(self, query: str) -> int | None:
        """The position of the sample whose request sent this query, None when the query does not say."""
        position = int(self.tied([query])[0])
        return None if position < 0 else position

    def affected(self, queries: Iterable[str], intervals: Sequence[tuple[float, float]]) -> Affected:
        """Who suffered, given the queries that waited and the intervals in which they did."""
        told = self.tied(queries)
        tied = np.unique(told[told >= 0])
        suffered = self._suffered
        meanwhile = suffered[in_any(self.samples.where(suffered), intervals)]
        every = np.union1d(tied, meanwhile)
        if not len(every):
            return Affected(None, 0, (), "")
        ties = (("traceparent", len(tied)), ("overlap", len(every) - len(tied)))
        counts = np.bincount(self.samples.endpoint[every], minlength=len(self.samples.endpoints))
        order = [number for number in np.argsort(-counts, kind="stable") if counts[number]]
        return Affected(
            len(every),
            len(tied),
            tuple(self.samples.endpoints[number] for number in order),
            " ".join(name for name, count in ties if count),
        )

    @cached_property
    def _suffered(self) -> Ints:
        """The requests that failed, never ended, or were slower than their endpoint's baseline p99."""
        slow = self.samples.latency > self._usual()[self.samples.endpoint]
        return np.flatnonzero(slow | (self.samples.outcome != Outcome.OK))

    def _usual(self) -> Floats:
        """By endpoint, the p99 of the baseline; without one nothing is slow."""
        usual = np.full(len(self.samples.endpoints), np.inf)
        if self.baseline is None:
            return usual
        before = inside(self.samples, self.baseline)
        before = before.where(before.outcome == Outcome.OK)
        if len(before):
            usual[:] = np.quantile(before.latency, 0.99)
        for number, own in by_endpoint(before):
            if len(own) >= ENOUGH_SAMPLES:
                usual[number] = np.quantile(own.latency, 0.99)
        return usual

    @cached_property
    def _workers(self) -> dict[int, list[int]]:
        """By what their ties bear, the workers' numbers: those of two may be alike."""
        numbers: dict[int, list[int]] = {}
        for number, worker in enumerate(self.samples.workers):
            numbers.setdefault(worker_crc(worker), []).append(number)
        return numbers


def in_any(samples: SampleTable, intervals: Sequence[tuple[float, float]]) -> Bools:
    """Whether each sample's `[intended start, end]` overlaps any of the intervals."""
    starts, ends = _united(intervals)
    following = np.searchsorted(ends, samples.at, side="left")
    overlaps = np.zeros(len(samples), np.bool_)
    some = following < len(ends)
    overlaps[some] = starts[following[some]] <= samples.end[some]
    return overlaps


def share_in(samples: SampleTable, intervals: Sequence[tuple[float, float]]) -> Floats:
    """How much of each sample's `[intended start, end]` lies in the intervals, 0–1."""
    within = np.zeros(len(samples))
    for start, end in zip(*_united(intervals), strict=True):
        within += np.maximum(0.0, np.minimum(samples.end, end) - np.maximum(samples.at, start))
    share: Floats = within / np.maximum(samples.end - samples.at, 1e-9)
    return share


def _united(intervals: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """The union of the intervals, as starts and ends in ascending order."""
    ordered = np.array(sorted(intervals), float).reshape(-1, 2)
    starts, reach = ordered[:, 0], np.maximum.accumulate(ordered[:, 1])
    new = np.ones(len(starts), np.bool_)
    new[1:] = starts[1:] > reach[:-1]
    last = np.flatnonzero(new)[1:] - 1
    return starts[new], np.append(reach[last], reach[-1:])
