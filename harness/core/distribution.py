"""The distribution of durations by percentile, in steps that halve with the distance to the longest.

These are the steps and counts of HdrHistogram's `PercentileIterator` (https://github.com/HdrHistogram), taken
of the exact microseconds: no duration is rounded into a bucket.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.core.samples import Floats

__all__ = ["Distribution", "Step", "distribution"]

TICKS = 5
"""Steps until a percentile is half as far from 100 %; HdrHistogram's tools take as many."""


@dataclass(frozen=True, slots=True)
class Step:
    """`count` durations are not longer than `micros`: of all at least the share `percentile`, 0–1."""

    micros: int
    percentile: float
    count: int


@dataclass(frozen=True)
class Distribution:
    """All in microseconds; the last step is the longest duration, at percentile 1."""

    steps: tuple[Step, ...]
    mean: float
    deviation: float
    highest: int
    count: int


def distribution(seconds: Floats) -> Distribution | None:
    """The distribution of durations, None of none."""
    if not len(seconds):
        return None
    micros = np.sort(np.rint(seconds * 1e6).astype(np.int64))
    return Distribution(
        steps=tuple(_steps(micros)),
        mean=float(micros.mean()),
        deviation=float(micros.std()),
        highest=int(micros[-1]),
        count=len(micros),
    )


def _steps(micros: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[Step]:
    """Of ascending microseconds."""
    all_of, percent, count = len(micros), 0.0, 0
    while count < all_of:
        reached = micros[max(math.ceil(percent * all_of / 100), 1) - 1]
        count = int(np.searchsorted(micros, reached, side="right"))
        yield Step(int(reached), percent / 100, count)
        percent += 100 / (TICKS * 2 ** (math.floor(math.log2(100 / (100 - percent))) + 1))
    yield Step(int(micros[-1]), 1.0, all_of)
