"""What is measured of the clients' samples in a window."""

from __future__ import annotations

import numpy as np

from harness.core import client
from harness.core.facts import Facts
from harness.core.measured import Measured
from harness.core.quantiles import quantile, quantile_interval, quantile_samples
from harness.core.samples import Floats, Outcome
from harness.core.timeline import Window

__all__ = [
    "error_ratio",
    "errors",
    "lag",
    "latency",
    "mean",
    "rate",
    "requests",
    "service",
    "slice_p95",
    "stall",
    "tail_p95",
    "throughput",
]


def latency(q: float, facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """From the intended start, of the requests answered ok."""
    values = client.ok_latencies(client.inside(facts.record.samples, window, endpoint))
    return _of_values(values, q)


def service(q: float, facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """From the send, of the requests answered ok."""
    found = client.inside(facts.record.samples, window, endpoint)
    return _of_values(found.service[found.outcome == Outcome.OK], q)


def lag(q: float, facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """From the intended start to the send, of all requests: how they end has no part in it."""
    found = client.inside(facts.record.samples, window, endpoint)
    return _of_values(found.latency - found.service, q, "no request was due")


def _of_values(values: Floats, q: float, why_none: str = "no request was answered ok") -> Measured:
    if not len(values):
        return Measured(None, 0, why_none)
    return Measured(quantile(values, q), len(values), confidence=quantile_interval(values, q))


def mean(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of the latencies of the requests answered ok."""
    values = client.ok_latencies(client.inside(facts.record.samples, window, endpoint))
    return Measured(float(np.mean(values)), len(values)) if len(values) else _of_values(values, 0.5)


def slice_p95(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of the slice with the highest. Its interval is that slice's own: that chance alone lifts the highest of
    several is not in it.
    """
    samples = facts.record.samples
    if endpoint is not None:
        samples = client.inside(samples, window, endpoint)
    pieces = client.slices_with(samples, window, quantile_samples(0.95))
    if not pieces:
        return latency(0.95, facts, window, endpoint)
    return max(
        (_of_values(client.ok_latencies(client.inside(samples, piece)), 0.95) for piece in pieces),
        key=lambda measured: measured.value or 0.0,
    )


def tail_p95(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of the window's last 5 s, or so many more that there are enough samples."""
    samples = facts.record.samples
    if endpoint is not None:
        samples = client.inside(samples, window, endpoint)
    tail = client.tail_with(samples, window, quantile_samples(0.95))
    return _of_values(client.ok_latencies(client.inside(samples, tail)), 0.95)


def requests(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """All that were due or under way."""
    count = len(client.inside(facts.record.samples, window, endpoint))
    return Measured(float(count), count)


def errors(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of all requests."""
    found = client.inside(facts.record.samples, window, endpoint)
    return Measured(float(np.count_nonzero(found.outcome == Outcome.ERROR)), len(found))


def error_ratio(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of all requests; one that never ended is no error."""
    found = client.inside(facts.record.samples, window, endpoint)
    return Measured(client.share_of_errors(found), len(found), "" if len(found) else "no request was due")


def throughput(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Answered ok within the window."""
    found = client.inside(facts.record.samples, window, endpoint)
    return Measured(client.throughput(found, window), len(found))


def rate(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Sent within the window."""
    found = client.inside(facts.record.samples, window, endpoint)
    return Measured(client.rate(found, window), len(found))


def stall(facts: Facts, window: Window, endpoint: str | None) -> Measured:
    """Of the endpoint with the longest."""
    value = client.stall(facts.record.samples, window, endpoint)
    count = len(client.inside(facts.record.samples, window, endpoint))
    return Measured(value, count, "" if value is not None else _no_stall(count))


def _no_stall(count: int) -> str:
    return "what was asked for was broken before" if count else "no request was due"
