"""Numbers of the last second, from a few points of each worker's latencies."""

from __future__ import annotations

from typing import Any

import pytest

from harness.load.live import LiveNumbers, live_numbers, points_of


def told(latencies: list[float], seconds: float = 1.0) -> dict[str, Any]:
    ended = len(latencies)
    return {
        "sent": ended,
        "ended": ended,
        "seconds": seconds,
        "errors": 1,
        "latencies": points_of(latencies),
    }


def test_nobody_told_anything() -> None:
    assert live_numbers((), 7) == LiveNumbers(requests=7)
    assert live_numbers([told([])], 0).p95_s is None


def test_few_latencies_are_exact() -> None:
    assert live_numbers([told([0.1, 0.3]), told([0.2])], 3).p95_s == 0.3


def test_many_latencies_are_a_few_points() -> None:
    latencies = [number / 1000 for number in range(1, 1001)]
    assert len(points_of(latencies)) == 20
    assert live_numbers([told(latencies)], 1000).p95_s == pytest.approx(0.95, abs=0.03)


def test_workers_count_by_what_they_did() -> None:
    many, few = told([0.01] * 990), told([5.0] * 10)
    assert live_numbers([many, few], 1000).p95_s == 0.01
    assert live_numbers([told([0.01] * 900), told([5.0] * 100, seconds=0.5)], 0) == LiveNumbers(
        1100.0, 5.0, 2, 0
    )
