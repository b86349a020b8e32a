"""The generator's fitness is of all workers' points."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.generator import fitness, users
from harness.core.timeline import Window
from tests.fix_record import healthy


def test_nothing_recorded_is_unknown() -> None:
    found = fitness((), None)
    assert (found.ticks, found.late_p99_s, found.busy_ratio) == (0, None, None)
    assert users(()) is None


def test_lateness_is_in_seconds() -> None:
    assert fitness(healthy(late_ms=80.0), None).late_p99_s == pytest.approx(0.08)


def test_only_the_window_counts() -> None:
    assert fitness(healthy(), Window("w", 10.0, 12.0)).ticks == 20


def test_the_busiest_worker_is_told() -> None:
    busy = tuple(replace(point, worker="w2") for point in healthy(cpu_ratio=0.95))
    assert fitness((*healthy(), *busy), None).busy_ratio == 1.0
    assert fitness(healthy(cpu_ratio=None), None).busy_ratio is None


def test_users_are_summed_over_workers() -> None:
    other = tuple(replace(point, worker="w2", users=12) for point in healthy())
    assert users((*healthy(), *other)) == 42
