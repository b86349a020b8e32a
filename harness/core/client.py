"""What clients saw in a window: requests, rates, exact quantiles of latency, stalls. All vectorised.

A sample belongs to a window if its interval from intended start to end overlaps it, so a request that a lock
held for eight seconds counts in every window it was waiting in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.core.samples import LONG_S, Floats, Ints, Outcome, SampleTable
from harness.core.timeline import Window, slices

__all__ = [
    "NOTHING",
    "Summary",
    "broken_before",
    "by_endpoint",
    "inside",
    "ok_latencies",
    "rate",
    "share_of_errors",
    "slices_with",
    "stall",
    "summaries",
    "tail_with",
    "throughput",
]

BROKEN_FAILURES = 5
"""Requests that must have failed, and none been answered ok, for an endpoint to be broken."""

_ROUNDING_S = 1e-6
"""By how much a sum of two instants may be off."""

TAIL_S = 5.0
"""Length of the last stretch of a phase that `tail` means."""


def inside(samples: SampleTable, window: Window, endpoint: str | None = None) -> SampleTable:
    """The samples whose `[intended start, end]` overlaps the window, of one endpoint if it is named."""
    near = window.start - LONG_S - _ROUNDING_S
    first, start, end = np.searchsorted(samples.at, (near, window.start, window.end))
    earlier = np.arange(first, min(start, end))
    far = samples.long[: np.searchsorted(samples.long, min(first, end))]
    reaching = np.concatenate([far, earlier])
    reaching = reaching[samples.at[reaching] + samples.latency[reaching] >= window.start]
    found = samples.where(np.concatenate([reaching, np.arange(start, max(start, end))]))
    return found if endpoint is None else found.where(_of(found, endpoint))


def _of(samples: SampleTable, endpoint: str) -> npt.NDArray[np.bool_]:
    number = samples.endpoints.index(endpoint) if endpoint in samples.endpoints else -1
    mask: npt.NDArray[np.bool_] = samples.endpoint == number
    return mask


def ok_latencies(samples: SampleTable) -> Floats:
    """Seconds from the intended start to the answer, of the samples that were answered ok."""
    latencies: Floats = samples.latency[samples.outcome == Outcome.OK]
    return latencies


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
    return tuple(samples.endpoints[number] for number in _broken(samples, window))


def _broken(samples: SampleTable, window: Window) -> Ints:
    earlier = samples.where(slice(0, np.searchsorted(samples.at, window.start)))
    before = earlier.end < window.start
    size = len(samples.endpoints)
    asked = np.bincount(earlier.endpoint[before], minlength=size)
    answered = np.bincount(earlier.endpoint[before & (earlier.outcome == Outcome.OK)], minlength=size)
    broken: Ints = np.flatnonzero((asked >= BROKEN_FAILURES) & (answered == 0))
    return broken


def stall(samples: SampleTable, window: Window, endpoint: str | None = None) -> float | None:
    """The longest wait for an ok answer, or run of arrivals that got none, of any endpoint; None without one.

    Of each endpoint's arrivals, in order of their intended start: one answered ok waited for its latency; a
    run of consecutive ones that were not lasts from the first one's intended start to the latest end among
    them. So an error between two answers counts for its own duration, and an outage for as long as it was
    seen. Failures of endpoints that were broken before the window are left out: nothing in it broke them.
    """
    arrivals = inside(samples, window, endpoint)
    broken = _broken(samples, window)
    waits = (_longest_wait(own, number in broken) for number, own in by_endpoint(arrivals))
    return max((wait for wait in waits if wait is not None), default=None)


def by_endpoint(samples: SampleTable) -> Iterator[tuple[int, SampleTable]]:
    """The samples of each endpoint that has any, in order of their intended start."""
    ordered = samples.where(np.argsort(samples.endpoint, kind="stable"))
    counts = np.bincount(samples.endpoint, minlength=len(samples.endpoints))
    ends = np.cumsum(counts)
    for number in np.flatnonzero(counts).tolist():
        yield number, ordered.where(slice(ends[number] - counts[number], ends[number]))


def _longest_wait(arrivals: SampleTable, broken: bool) -> float | None:
    """The longest of one endpoint's waits, and of its runs of others if it was not `broken` before."""
    ok = arrivals.outcome == Outcome.OK
    waited = float(np.max(arrivals.latency[ok])) if ok.any() else None
    if broken or ok.all():
        return waited
    bad = np.flatnonzero(~ok)
    first = np.flatnonzero(np.diff(bad, prepend=-2) != 1)
    runs = np.maximum.reduceat(arrivals.end[bad], first) - arrivals.at[bad[first]]
    return max(float(np.max(runs)), waited or 0.0)


@dataclass(frozen=True)
class Summary:
    """One row of `phases[]` or `endpoints[]`; times in seconds, whatever their number of samples.

    Latencies (`p50` … `max`) and service times are of the requests answered ok, `lag_p99` is of all. The
    `due_rate` counts intended starts: it is what `rate` would be if no request were sent late.
    """

    requests: int
    due_rate: float | None
    rate: float | None
    throughput: float | None
    error_ratio: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    service_p50: float | None
    service_p95: float | None
    service_p99: float | None
    lag_p99: float | None
    stall_s: float | None


def summaries(samples: SampleTable, window: Window) -> tuple[Summary, dict[str, Summary]]:
    """What clients saw in a window: of all requests together, and of each endpoint; everything but `requests`
    is None where no request was due.
    """
    found = inside(samples, window)
    broken = _broken(samples, window)
    each = dict.fromkeys(samples.endpoints, NOTHING)
    for number, own in by_endpoint(found):
        each[samples.endpoints[number]] = _summary(own, window, _longest_wait(own, number in broken))
    stalls = [one.stall_s for one in each.values() if one.stall_s is not None]
    return _summary(found, window, max(stalls, default=None)), each


def _summary(found: SampleTable, window: Window, stall_s: float | None) -> Summary:
    if not len(found):
        return NOTHING
    ok = found.outcome == Outcome.OK
    p50, p95, p99, highest = _quantiles(found.latency[ok], (0.5, 0.95, 0.99, 1.0))
    service_p50, service_p95, service_p99 = _quantiles(found.service[ok], (0.5, 0.95, 0.99))
    (lag_p99,) = _quantiles(found.latency - found.service, (0.99,))
    return Summary(
        requests=len(found),
        due_rate=_per_second(found.at, window),
        rate=rate(found, window),
        throughput=throughput(found, window),
        error_ratio=share_of_errors(found),
        p50=p50,
        p95=p95,
        p99=p99,
        max=highest,
        service_p50=service_p50,
        service_p95=service_p95,
        service_p99=service_p99,
        lag_p99=lag_p99,
        stall_s=stall_s,
    )


NOTHING = Summary(0, *(None,) * 13)
"""Of a window in which no request was due."""


def _quantiles(values: Floats, at: Sequence[float]) -> Iterator[float | None]:
    if not len(values):
        return iter([None] * len(at))
    return iter(float(value) for value in np.quantile(values, at))
