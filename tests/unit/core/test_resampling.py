"""Resampling: blocks are drawn, not requests, and a constant stays itself."""

from __future__ import annotations

import numpy as np
import pytest

from harness.core.resampling import (
    BLOCK_S,
    RESAMPLES,
    blocks_in,
    resampled_error_ratio,
    resampled_quantiles,
    resampled_throughput,
)
from harness.core.samples import Outcome
from harness.core.timeline import Window
from tests.fix_samples import joined, samples, steady, without


def random() -> np.random.Generator:
    return np.random.default_rng(1)


def test_what_never_varies_is_never_resampled_into_something_else() -> None:
    table, window = steady(0.0, 10.0), Window("migrate", 0.0, 10.0)
    assert np.unique(resampled_quantiles(table, (0.5, 0.99), random())) == pytest.approx([0.02])
    assert np.unique(resampled_error_ratio(table, random())) == pytest.approx([0.0])
    assert resampled_throughput(table, window, random()).mean() == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize("size", [1, 3, 40, 2000])
def test_quantiles_are_those_of_the_drawn_blocks_written_out(size: int) -> None:
    drawn = np.random.default_rng(5)
    latencies = np.round(drawn.lognormal(size=size), 1)  # many of them alike
    table = samples(zip(np.sort(drawn.uniform(0, 20, size)).tolist(), latencies.tolist(), strict=True))
    found = resampled_quantiles(table, (0.5, 0.95, 0.99), random())
    _, block = np.unique(np.floor(table.at / BLOCK_S), return_inverse=True)
    count = int(block.max()) + 1
    for row, blocks in zip(found[:50], random().integers(count, size=(RESAMPLES, count)), strict=False):
        written = np.sort(np.concatenate([table.latency[block == number] for number in blocks]))
        exact = np.ceil(np.array([0.5, 0.95, 0.99]) * len(written)).astype(int) - 1
        assert row == pytest.approx(written[exact])


def test_quantiles_of_one_resample_are_in_order() -> None:
    table = joined(steady(0.0, 5.0), steady(5.0, 10.0, latency=0.2))
    drawn = resampled_quantiles(table, (0.5, 0.95, 0.99), random())
    assert drawn.shape == (RESAMPLES, 3)
    assert np.all(np.diff(drawn, axis=1) >= 0)


def test_one_bad_moment_is_in_two_thirds_of_the_resamples_however_many_requests_it_caught() -> None:
    quiet = without(steady(0.0, 20.0), 10.0, 10.5)
    table = joined(quiet, steady(10.0, 10.5, rate=1000.0, latency=5.0))
    slow = resampled_quantiles(table, (0.95,), random())[:, 0] > 1.0
    assert np.mean(slow) == pytest.approx(1 - 1 / np.e, abs=0.05)


def test_errors_in_one_block_of_twenty_vary_around_their_share() -> None:
    failed = steady(5.0, 5.5, outcome=Outcome.ERROR)
    table = joined(without(steady(0.0, 10.0), 5.0, 5.5), failed)
    drawn = resampled_error_ratio(table, random())
    assert drawn.mean() == pytest.approx(0.05, abs=0.005)
    assert drawn.min() == 0.0
    assert drawn.max() > 0.1


def test_throughput_counts_blocks_in_which_nothing_was_answered() -> None:
    drawn = resampled_throughput(without(steady(0.0, 10.0), 0.0, 5.0), Window("migrate", 0.0, 10.0), random())
    assert drawn.mean() == pytest.approx(50.0, rel=0.05)


def test_a_block_is_whole() -> None:
    assert blocks_in(Window("recover", 1.0, 5.9)) == 9
