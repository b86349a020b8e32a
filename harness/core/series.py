"""Series: what clients and the database saw second by second, for the report's timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.core.observation import DatabasePoint, Observed, ObserverLine, ReplicaPoint
from harness.core.record import Record
from harness.core.samples import Floats, Ints, Outcome, SampleTable
from harness.core.timeline import Timeline

__all__ = ["Series", "per_second"]

_QUANTILES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Series:
    """Columns of one length. `t` is where each step starts, in seconds since the start of the run.

    `rate` (sent), `throughput` (answered ok) and `errors` are per second; `p50 … max` are seconds of latency
    of the requests answered ok, by their *intended* start, None where no such request was due. `blocked` is
    how many sessions waited for a lock, the mean over the step; `wal` are bytes of WAL per second; `lag` is
    the longest lag of a replica, in seconds. They are None where nobody watched the database, or replicas.
    """

    t: tuple[float, ...]
    rate: tuple[float, ...]
    throughput: tuple[float, ...]
    errors: tuple[float, ...]
    p50: tuple[float | None, ...]
    p95: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    max: tuple[float | None, ...]
    blocked: tuple[float | None, ...] = ()
    wal: tuple[float | None, ...] = ()
    lag: tuple[float | None, ...] = ()


def per_second(source: Record | SampleTable, timeline: Timeline, step_s: float = 1.0) -> Series:
    """The run from 0 to its last event in steps of `step_s` seconds; the last step may be shorter.

    Samples alone know nothing of the database.
    """
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
        _blocked(source, count, step_s) if isinstance(source, Record) else (None,) * count,
        _wal(source.database, count, step_s) if isinstance(source, Record) else (None,) * count,
        _lag(source.database, count, step_s) if isinstance(source, Record) else (None,) * count,
    )


def _blocked(record: Record, count: int, step_s: float) -> tuple[float | None, ...]:
    """The time waited within each step, of all waits, by the length of the step."""
    edges: Floats = np.arange(count + 1) * np.float64(step_s)
    waits = [wait for watch in record.watches.values() for wait in watch.waits]
    waited = _since([wait.started_at for wait in waits], edges)
    waited -= _since([wait.until for wait in waits], edges)
    began, ended = record.observed.began_at, record.observed.ended_at
    if ended is None:  # it died, or the run was killed: what it had told until then stands
        ended = max((wait.last_seen_at for wait in waits), default=began)
    if began is None or ended is None or record.observed.why_blind:
        return (None,) * count
    return tuple(
        float(mean) if began <= until and at < ended and not _in_a_gap(record.observed, at, until) else None
        for mean, (at, until) in zip(np.diff(waited) / step_s, pairwise(edges), strict=True)
    )


def _in_a_gap(observed: Observed, at: float, until: float) -> bool:
    """Whether the observer saw nothing for most of the step."""
    unseen = (*observed.gaps, *observed.blind)
    return any(min(until, end) - max(at, start) > (until - at) / 2 for start, end in unseen)


def _since(instants: Sequence[float], edges: Floats) -> Floats:
    """For each edge, the sum of the times that have passed since the instants before it."""
    ordered = np.sort(np.array(instants, float))
    before = np.searchsorted(ordered, edges)
    sums = np.concatenate([np.zeros(1), np.cumsum(ordered)])
    passed: Floats = before * edges - sums[before]
    return passed


def _wal(lines: Iterable[ObserverLine], count: int, step_s: float) -> tuple[float | None, ...]:
    points = [
        (line.at, line.wal_bytes)
        for line in lines
        if isinstance(line, DatabasePoint) and line.wal_bytes is not None
    ]
    if len(points) < 2:
        return (None,) * count
    at, total = np.array(points, float).T
    written = np.interp(np.arange(count + 1) * step_s, at, total, left=np.nan, right=np.nan)
    return tuple(None if np.isnan(rate) else float(rate) for rate in np.diff(written) / step_s)


def _lag(lines: Iterable[ObserverLine], count: int, step_s: float) -> tuple[float | None, ...]:
    longest: list[float | None] = [None] * count
    for line in lines:
        step = int(line.at // step_s)
        if isinstance(line, ReplicaPoint) and line.lag_s is not None and 0 <= step < count:
            longest[step] = max(longest[step] or 0.0, line.lag_s)
    return tuple(longest)


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
