"""Percentile files are those that HdrHistogram writes, and say of the durations what is so."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.distribution import distribution
from harness.report import hgrm

HDR = Path(__file__).with_name("hdrhistogram.hgrm")
"""What hdr-histogram-js 3.0.1 writes of `VALUES`: `outputPercentileDistribution(5, 1000)`, three digits."""

VALUES = [number * number % 1999 + 1 for number in range(1, 201)] + [250] * 300
"""Microseconds below 2,048, which HdrHistogram does not round."""

ROW = re.compile(r" *(\d+\.\d{3}) ([01]\.\d{12}) +(\d+)(?: +(\d+\.\d\d))?")


def text_of(micros: list[int]) -> str:
    found = distribution(np.array(micros) * 1e-6)
    assert found is not None
    return hgrm.render(found)


def rows_of(text: str) -> list[tuple[int, float, int, float | None]]:
    """Microseconds, percentile, count, 1/(1-percentile), by the columns that plotters read."""
    head, blank, *lines = text.splitlines()
    assert head.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert blank == ""
    read = [ROW.fullmatch(line) for line in lines if not line.startswith("#")]
    assert None not in read
    return [
        (round(float(row[1]) * 1000), float(row[2]), int(row[3]), float(row[4]) if row[4] else None)
        for row in read
        if row
    ]


def test_it_is_what_hdrhistogram_writes() -> None:
    ours, theirs = text_of(VALUES).splitlines(), HDR.read_text().splitlines()
    assert ours[:-1] == theirs[:-1]
    assert ours[-1] == "#[Buckets =            1, SubBuckets     =         1972]"
    assert theirs[-1] == "#[Buckets =           12, SubBuckets     =         2048]"


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_every_row_is_true_of_the_durations(micros: list[int]) -> None:
    ordered = sorted(micros)
    rows = rows_of(text_of(micros))
    for value, percentile, count, inverse in rows:
        assert bisect_right(ordered, value) == count
        assert count >= percentile * len(micros) - 1e-6
        assert bisect_right(ordered, value - 1) <= max(percentile * len(micros), 0) + 1e-6
        assert (inverse is None) == (percentile == 1)
    assert rows[0][0] == ordered[0]
    assert rows[-1][:3] == (ordered[-1], 1.0, len(micros))
    assert [row[1] for row in rows] == sorted({row[1] for row in rows})


def test_millions_of_durations_make_a_short_file() -> None:
    found = distribution(np.random.default_rng(1).exponential(0.1, 1_000_000))
    assert found is not None
    assert len(found.steps) < 130
    assert found.steps[-1].count == found.count == 1_000_000


def test_the_feet_have_mean_and_deviation() -> None:
    mean, most, _ = text_of([1000, 3000]).splitlines()[-3:]
    assert mean == "#[Mean    =        2.000, StdDeviation   =        1.000]"
    assert most == "#[Max     =        3.000, Total count    =            2]"


def test_of_no_durations_there_is_none() -> None:
    assert distribution(np.empty(0)) is None


@pytest.mark.parametrize("micros", [0, 1, 4_294_967_295])
def test_one_duration_alone(micros: int) -> None:
    rows = rows_of(text_of([micros]))
    assert [row[:3] for row in rows] == [(micros, 0.0, 1), (micros, 1.0, 1)]
