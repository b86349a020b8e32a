"""What clients saw in a window: requests, rates, exact quantiles of latency, stalls. All vectorised.

A sample belongs to a window if its interval from intended start to end overlaps it, so a request that a lock
held for eight seconds counts in every window it was waiting in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.core.samples import Floats, Outcome, SampleTable
from harness.core.timeline import Window, slices

__all__ = [
    "Summary",
    "broken_before",
    "inside",
    "ok_latencies",
    "quantile",
    "rate",
    "share_of_errors",
    "slices_with",
    "stall",
    "summary",
    "tail_with",
    "throughput",
]

BROKEN_FAILURES = 5
"""Requests that must have failed, and none been answered ok, for an endpoint to be broken."""

TAIL_S = 5.0
"""Length of the last stretch of a phase that `tail` means."""


def inside(samples: SampleTable, window: Window, endpoint: str | None = None) -> SampleTable:
    """The samples whose `[intended start, end]` overlaps the window, of one endpoint if it is named."""
    mask = (samples.at < window.end) & (samples.end >= window.start)
    return samples.where(mask if endpoint is None else mask & _of(samples, endpoint))


def _of(samples: SampleTable, endpoint: str) -> npt.NDArray[np.bool_]:
    number = samples.endpoints.index(endpoint) if endpoint in samples.endpoints else -1
    mask: npt.NDArray[np.bool_] = samples.endpoint == number
    return mask


def ok_latencies(samples: SampleTable) -> Floats:
    """Seconds from the intended start to the answer, of the samples that were answered ok."""
    latencies: Floats = samples.latency[samples.outcome == Outcome.OK]
    return latencies


def quantile(values: Floats, q: float) -> float | None:
    """The exact quantile (linear between neighbours, numpy's default), None of nothing."""
    return float(np.quantile(values, q)) if len(values) else None


def share_of_errors(samples: SampleTable) -> float | None:
    """Errors among all requests, 0–1; an unfinished request is one of all, but no error."""
    return float(np.mean(samples.outcome == Outcome.ERROR)) if len(samples) else None


def rate(samples: SampleTable, window: Window) -> float | None:
    """Requests sent within the window, per second."""
    return _per_second(samples.at + samples.latency - samples.service, window)


def throughput(samples: SampleTable, window: Window) -> float | None:
    """Requests answered ok within the window, per second."""
    return _per_second(samples.end[samples.outcome == Outcome.OK], window)


def _per_second(instants: Floats, window: Window) -> float | None:
    if window.duration <= 0:
        return None
    return int(np.count_nonzero((instants >= window.start) & (instants < window.end))) / window.duration


def slices_with(samples: SampleTable, window: Window, least: int) -> tuple[Window, ...]:
    """The window's slices of 5 s, each merged with the next until it holds `least` samples answered ok.

    What is left at the end with fewer joins the slice before; nothing is returned if the whole window has
    fewer.
    """
    merged: list[Window] = []
    start = window.start
    for piece in slices(window):
        candidate = Window(window.name, start, piece.end)
        if len(ok_latencies(inside(samples, candidate))) >= least:
            merged.append(candidate)
            start = piece.end
    if merged:
        merged[-1] = Window(window.name, merged[-1].start, window.end)
    return tuple(merged)


def tail_with(samples: SampleTable, window: Window, least: int) -> Window:
    """The last 5 s of the window, or so many more seconds of it that `least` samples were answered ok."""
    for seconds in np.arange(TAIL_S, window.duration, 1.0):
        tail = Window(window.name, window.end - float(seconds), window.end)
        if len(ok_latencies(inside(samples, tail))) >= least:
            return tail
    return window


def broken_before(samples: SampleTable, window: Window) -> tuple[str, ...]:
    """The endpoints that failed before the window, at least five times, and were never answered ok there."""
    before = samples.where(samples.end < window.start)
    size = len(samples.endpoints)
    asked = np.bincount(before.endpoint, minlength=size)
    answered = np.bincount(before.endpoint[before.outcome == Outcome.OK], minlength=size)
    broken = np.flatnonzero((asked >= BROKEN_FAILURES) & (answered == 0))
    return tuple(samples.endpoints[number] for number in broken)


def stall(samples: SampleTable, window: Window, endpoint: str | None = None) -> float | None:
    """The longest time an arrival was due and not answered ok, the largest over endpoints; None if none was.

    An arrival answered ok waited for its latency. One that was not waited until the endpoint's first ok
    answer that ended at or after its own end, or to the end of the window if none came. Endpoints that were
    broken before the window are left out: nothing in it made them wait.
    """
    arrivals = inside(samples, window, endpoint)
    answered = arrivals.outcome == Outcome.OK
    waits = [arrivals.latency[answered]]
    broken = broken_before(samples, window)
    for number in map(int, np.unique(arrivals.endpoint[~answered])):
        if samples.endpoints[number] not in broken:
            failed = arrivals.where(~answered & (arrivals.endpoint == number))
            waits.append(_waits(samples, failed, number, window))
    return max((float(np.max(some)) for some in waits if len(some)), default=None)


def _waits(samples: SampleTable, failed: SampleTable, endpoint: int, window: Window) -> Floats:
    ok = (samples.endpoint == endpoint) & (samples.outcome == Outcome.OK)
    answers = np.append(np.sort(samples.end[ok]), np.inf)
    answered_at = answers[np.searchsorted(answers, failed.end, side="left")]
    never = np.maximum(window.end, failed.end)
    waits: Floats = np.where(np.isinf(answered_at), never, answered_at) - failed.at
    return waits


@dataclass(frozen=True)
class Summary:
    """One row of `phases[]` or `endpoints[]`; latencies in seconds, whatever their number of samples."""

    requests: int
    rate: float | None
    throughput: float | None
    error_ratio: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    stall_s: float | None


def summary(samples: SampleTable, window: Window, endpoint: str | None = None) -> Summary:
    """What clients saw in a window; everything but `requests` is None where no request was due."""
    found = inside(samples, window, endpoint)
    if not len(found):
        return Summary(0, *(None,) * 8)
    p50, p95, p99, highest = _quantiles(ok_latencies(found), (0.5, 0.95, 0.99, 1.0))
    return Summary(
        len(found),
        rate(found, window),
        throughput(found, window),
        share_of_errors(found),
        p50,
        p95,
        p99,
        highest,
        stall(samples, window, endpoint),
    )


def _quantiles(values: Floats, at: Sequence[float]) -> Iterator[float | None]:
    if not len(values):
        return iter([None] * len(at))
    return iter(float(value) for value in np.quantile(values, at))
