"""Quantiles: the exact value, how many samples it needs, and how far chance alone may have moved it.

The interval is that of order statistics: the number of `n` independent samples below the true quantile `q`
is binomial with `n` and `q`, whatever the samples' distribution is, so two of the sorted samples enclose it
with a probability that is known exactly (Hahn & Meeker, Statistical Intervals, 1991, §5.2; Le Boudec,
Performance Evaluation of Computer and Communication Systems, 2010, §2.2.2).

Requests are not quite independent: those due during one stall are slow together. Such a stall is one
observation however many requests it caught, and the interval is then narrower than it should be. Where a
gate is decided by chance's share, blocks of time are resampled instead (`core/resampling.py`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from harness.core.measured import Interval
from harness.core.samples import Floats

__all__ = ["CONFIDENCE", "quantile", "quantile_interval", "quantile_ranks", "quantile_samples"]

CONFIDENCE = 0.95
"""The probability with which an interval encloses the true quantile, at least."""

_REACH = 12
"""Standard deviations of the binomial to either side that are added up; what is beyond is below 1e-30."""


def quantile_samples(q: float) -> int:
    """Samples that a quantile needs: ten beyond it.

    >>> [quantile_samples(q) for q in (0.5, 0.95, 0.99)]
    [20, 200, 1000]
    """
    return round(10 / (1 - q))


def quantile(values: Floats, q: float) -> float | None:
    """The exact quantile (linear between neighbours, numpy's default), None of nothing."""
    return float(np.quantile(values, q)) if len(values) else None


def quantile_interval(values: Floats, q: float) -> Interval | None:
    """The samples that enclose the true quantile with 95 % confidence; None where there are too few."""
    ranks = quantile_ranks(len(values), q)
    if ranks is None:
        return None
    low, high = ranks[0] - 1, ranks[1] - 1
    ordered = np.partition(values, (low, high))
    return float(ordered[low]), float(ordered[high])


@lru_cache(maxsize=1024)
def quantile_ranks(count: int, q: float) -> tuple[int, int] | None:
    """Which of `count` sorted samples, from 1, enclose the true quantile with 95 % confidence.

    Either end is wrong with 2.5 % at most. None where even the smallest or the largest is no bound, as of 0
    and 1 always.

    >>> quantile_ranks(1000, 0.95)
    (936, 964)
    >>> quantile_ranks(50, 0.95)
    """
    if not 0 < q < 1:
        return None
    first, below = _binomial(count, q)
    tail = (1 - CONFIDENCE) / 2
    low = first + int(np.searchsorted(below, tail, side="right"))
    high = first + int(np.searchsorted(below, 1 - tail)) + 1
    return (low, high) if low >= 1 and high <= count else None


def _binomial(count: int, q: float) -> tuple[int, Floats]:
    """The probability of at most `first`, `first` + 1, … of `count` samples below the quantile.

    Summed from ratios of neighbours, relative to the largest term: no factorial is ever computed.
    """
    reach = _REACH * math.sqrt(count * q * (1 - q)) + _REACH**2
    first = max(0, math.floor(count * q - reach))
    k = np.arange(first, min(count, math.ceil(count * q + reach)))
    steps = np.log((count - k) / (k + 1)) + math.log(q / (1 - q))
    logs = np.concatenate([np.zeros(1), np.cumsum(steps)])
    terms = np.exp(logs - logs.max())
    below: Floats = np.cumsum(terms) / terms.sum()
    return first, below
