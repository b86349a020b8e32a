"""Series: what clients saw second by second, for the report's timeline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.core.record import Record
from harness.core.samples import Floats, Ints, Outcome, SampleTable
from harness.core.timeline import Timeline

__all__ = ["Series", "per_second"]

_QUANTILES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Series:
    """Columns of one length. `t` is where each step starts, in seconds since the start of the run.

    `rate` (sent), `throughput` (answered ok) and `errors` are per second; `p50 … max` are seconds of latency
    of the requests answered ok, by their *intended* start, None where no such request was due.
    """

    t: tuple[float, ...]
    rate: tuple[float, ...]
    throughput: tuple[float, ...]
    errors: tuple[float, ...]
    p50: tuple[float | None, ...]
    p95: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    max: tuple[float | None, ...]


def per_second(source: Record | SampleTable, timeline: Timeline, step_s: float = 1.0) -> Series:
    """The run from 0 to its last event in steps of `step_s` seconds; the last step may be shorter."""
    samples = source.samples if isinstance(source, Record) else source
    count = int(np.ceil(timeline.end_at / step_s))
    ok = samples.outcome == Outcome.OK
    sent = samples.at + samples.latency - samples.service
    p50, p95, p99, highest = _quantiles(samples.at[ok], samples.latency[ok], count, step_s)
    return Series(
        tuple(number * step_s for number in range(count)),
        _per_second(sent, count, step_s),
        _per_second(samples.end[ok], count, step_s),
        _per_second(samples.end[samples.outcome == Outcome.ERROR], count, step_s),
        p50,
        p95,
        p99,
        highest,
    )


def _steps(instants: Floats, step_s: float) -> Ints:
    return np.floor(instants / step_s).astype(np.int64)


def _per_second(instants: Floats, count: int, step_s: float) -> tuple[float, ...]:
    steps = _steps(instants, step_s)
    counts = np.bincount(steps[(steps >= 0) & (steps < count)], minlength=count)
    return tuple(float(number) / step_s for number in counts)


def _quantiles(
    at: Floats, latency: Floats, count: int, step_s: float
) -> tuple[tuple[float | None, ...], ...]:
    """A column for each of `_QUANTILES`; `at` is in ascending order."""
    edges = np.searchsorted(_steps(at, step_s), np.arange(count + 1))
    rows: list[list[float | None]] = []
    for first, last in pairwise(edges):
        found = latency[first:last]
        rows.append(
            [float(value) for value in np.quantile(found, _QUANTILES)]
            if len(found)
            else [None] * len(_QUANTILES)
        )
    return tuple(tuple(row[column] for row in rows) for column in range(len(_QUANTILES)))
