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
    block = block[order]
    drawn = random.integers(count, size=(RESAMPLES, count))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=count)
    wanted = np.array(at)
    resampled = np.empty((RESAMPLES, len(wanted)))
    for number in range(RESAMPLES):
        reached = times[number].take(block).cumsum()
        resampled[number] = latency[reached.searchsorted(wanted * reached[-1])]
    return resampled


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
    _, block = np.unique(np.floor(samples.at / BLOCK_S).astype(np.int64), return_inverse=True)
    return block, int(block.max()) + 1
