"""Resampling: how much of a difference chance alone makes, from one record.

Requests due in the same moment are slow together, so blocks of half a second are drawn and not requests: one
stall of the machine is one observation, however many requests it caught (Künsch, The Jackknife and the
Bootstrap for General Stationary Observations, 1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.core.samples import Floats, Ints, Outcome, SampleTable
from harness.core.timeline import Window

__all__ = [
    "BLOCK_S",
    "RESAMPLES",
    "blocks_in",
    "resampled_error_ratio",
    "resampled_quantiles",
    "resampled_throughput",
]

RESAMPLES = 1000
BLOCK_S = 0.5
STRETCHES = 512
"""Into how many stretches of equal length the sorted latencies are cut, to find a quantile in one of them."""


def blocks_in(window: Window) -> int:
    """The whole blocks of a window: as many independent observations as it holds."""
    return math.floor(window.duration / BLOCK_S)


def resampled_quantiles(samples: SampleTable, at: Sequence[float], random: np.random.Generator) -> Floats:
    """Quantiles of the latencies answered ok: a row for each resample, a column for each of `at`.

    There must be a sample that was answered ok.
    """
    ok = samples.where(samples.outcome == Outcome.OK)
    order = np.argsort(ok.latency, kind="stable")
    latency = ok.latency[order]
    block, count = _blocks(ok)
    drawn = random.integers(count, size=(RESAMPLES, count))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=count)
    return _quantiles_of_each(latency, block[order], times, at)


def _quantiles_of_each(latency: Floats, block: Ints, times: Ints, at: Sequence[float]) -> Floats:
    """The quantiles of each resample, of which `times` says how often it has each block.

    Latencies ascend. What the blocks have below each of some edges tells between which two a quantile lies:
    only there it is counted sample by sample.
    """
    edges = np.linspace(0, len(latency), min(STRETCHES, len(latency)) + 1).astype(np.int64)
    stretch = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    size = times.shape[1]
    own = np.bincount(stretch * size + block, minlength=(len(edges) - 1) * size).reshape(-1, size)
    # Floats multiply quicker, and hold every whole number below 2**53 exactly.
    below = np.zeros((len(edges), len(times)))
    below[1:] = np.cumsum(own.astype(float) @ times.T.astype(float), axis=0)
    found = np.empty((len(times), len(at)))
    for number, reached in enumerate(below.T):
        for column, q in enumerate(at):
            wanted = q * reached[-1]
            piece = int(reached[1:].searchsorted(wanted))
            first, last = edges[piece], edges[piece + 1]
            within = reached[piece] + times[number].take(block[first:last]).cumsum()
            found[number, column] = latency[first + within.searchsorted(wanted)]
    return found


def resampled_error_ratio(samples: SampleTable, random: np.random.Generator) -> Floats:
    """The share of errors in each resample; there must be a sample."""
    block, count = _blocks(samples)
    all_of = np.bincount(block, minlength=count)
    failed = np.bincount(block[samples.outcome == Outcome.ERROR], minlength=count)
    drawn = random.integers(count, size=(RESAMPLES, count))
    ratio: Floats = failed[drawn].sum(axis=1) / all_of[drawn].sum(axis=1)
    return ratio


def resampled_throughput(samples: SampleTable, window: Window, random: np.random.Generator) -> Floats:
    """Answers that are ok per second in each resample of the window's blocks; it must hold one."""
    count = blocks_in(window)
    ends = np.floor((samples.end[samples.outcome == Outcome.OK] - window.start) / BLOCK_S).astype(np.int64)
    answered = np.bincount(ends[(ends >= 0) & (ends < count)], minlength=count)
    drawn = random.integers(count, size=(RESAMPLES, count))
    rate: Floats = answered[drawn].mean(axis=1) / BLOCK_S
    return rate


def _blocks(samples: SampleTable) -> tuple[Ints, int]:
    """The block in which each sample was due, numbered from 0, and how many blocks there are."""
    due = np.floor(samples.at / BLOCK_S)  # in ascending order, as the samples are
    block = np.cumsum(np.diff(due, prepend=due[0]) != 0)
    return block, int(block[-1]) + 1
