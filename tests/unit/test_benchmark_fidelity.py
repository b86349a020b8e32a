"""The arithmetic that the fidelity benchmark calls the truth."""

from __future__ import annotations

import pytest

from tests.benchmarks.fidelity import Size, drain_of, truth, waits


def test_without_a_line_an_arrival_waits_for_the_end_of_the_lock() -> None:
    assert waits([0.0, 2.0, 4.5, 7.0], (1.0, 5.0), 1e9) == pytest.approx([0.0, 3.0, 0.5, 0.0], abs=1e-6)


def test_those_in_line_are_answered_one_after_the_other() -> None:
    assert waits([1.0, 2.0, 5.5, 9.0], (1.0, 5.0), 1.0) == pytest.approx([5.0, 5.0, 2.5, 1.0])


def test_five_seconds_of_thirty() -> None:
    """Four seconds of thirty saw the lock for longer than one: 4 / 30; with a line, 4 / (1 - 0.1) / 30."""
    at_once, in_line = truth(Size(), 1e9), truth(Size(), 2000)
    assert (at_once.p95, at_once.p99) == pytest.approx((3.5, 4.7), abs=0.01)
    assert at_once.slow == pytest.approx(4 / 30, abs=0.001)
    assert in_line.slow == pytest.approx(4 / 0.9 / 30, abs=0.001)
    assert at_once.requests == 6000


def test_the_drain_is_seen_until_the_line_is_gone() -> None:
    assert drain_of([1.0, 2.0, 7.5, 7.0, 6.5, 6.0, 9.0], 5.5, 4) == pytest.approx(2.0)
