"""Quantiles against the definition: exact binomial sums, simulated coverage, and too few samples."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.quantiles import quantile, quantile_interval, quantile_ranks, quantile_samples


def ranks_by_fractions(count: int, q: Fraction) -> tuple[int, int] | None:
    """The same by the definition, without a float: tails of at most 1/40 to either side."""
    terms = (comb(count, k) * q**k * (1 - q) ** (count - k) for k in range(count + 1))
    at_most = list(accumulate(terms))
    low = max((k + 1 for k in range(count) if at_most[k] <= Fraction(1, 40)), default=None)
    high = min((k + 1 for k in range(count) if at_most[k] >= Fraction(39, 40)), default=None)
    return None if low is None or high is None else (low, high)


@pytest.mark.parametrize("q", ["0.5", "0.9", "0.95", "0.99"])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 20, 58, 59, 73, 200, 367, 368, 500])
def test_the_ranks_are_those_of_the_exact_binomial(count: int, q: str) -> None:
    assert quantile_ranks(count, float(q)) == ranks_by_fractions(count, Fraction(q))


def test_the_median_of_a_hundred_is_as_in_the_tables() -> None:
    # Hahn & Meeker, table A.15a; Le Boudec, appendix A.
    assert quantile_ranks(100, 0.5) == (40, 61)


@given(st.integers(1, 5_000_000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_any_number_of_samples_has_ranks_around_the_quantile(count: int, q: float) -> None:
    ranks = quantile_ranks(count, q)
    if ranks is None:
        assert count < quantile_samples(q) * 2
    else:
        low, high = ranks
        assert 1 <= low <= q * count + 1
        assert q * count <= high <= count


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_as_many_samples_as_a_quantile_needs_have_an_interval(q: float) -> None:
    assert quantile_ranks(quantile_samples(q), q) is not None


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_the_smallest_and_the_largest_have_none(q: float) -> None:
    assert quantile_ranks(1000, q) is None


def test_too_few_samples_have_a_value_and_no_interval() -> None:
    values = np.arange(50.0)
    assert quantile(values, 0.95) == pytest.approx(46.55)
    assert quantile_interval(values, 0.95) is None


def test_of_nothing_there_is_neither() -> None:
    assert quantile(np.empty(0), 0.5) is None
    assert quantile_interval(np.empty(0), 0.5) is None


def test_the_interval_is_two_of_the_samples_in_any_order() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 1001, dtype=float))
    assert quantile_interval(values, 0.95) == (936.0, 964.0)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_it_encloses_the_true_quantile_as_often_as_it_says(q: float) -> None:
    random = np.random.default_rng(7)
    runs = 2000
    drawn = random.lognormal(size=(runs, 400))
    true = np.quantile(random.lognormal(size=2_000_000), q)
    intervals = [quantile_interval(row, q) for row in drawn]
    enclosed = sum(i is not None and i[0] <= true <= i[1] for i in intervals) / runs
    assert 0.94 <= enclosed <= 0.985
