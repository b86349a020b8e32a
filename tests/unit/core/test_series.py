"""The series of the report's timeline."""

from __future__ import annotations

from harness.core.samples import Outcome
from harness.core.series import per_second
from harness.core.timeline import Timeline
from tests.fix_record import a_record, samples


def test_each_second_has_its_own_numbers() -> None:
    table = samples([(0.125, 0.25), (0.25, 0.5), (1.5, 1.0), (2.25, 0.125, Outcome.ERROR)])
    series = per_second(table, Timeline((), (), 3.5))
    assert series.t == (0.0, 1.0, 2.0, 3.0)
    assert series.rate == (2.0, 1.0, 1.0, 0.0)
    assert series.throughput == (2.0, 0.0, 1.0, 0.0)
    assert series.errors == (0.0, 0.0, 1.0, 0.0)
    assert series.max == (0.5, 1.0, None, None)
    assert series.p50 == (0.375, 1.0, None, None)


def test_latency_stands_where_the_request_was_due() -> None:
    series = per_second(samples([(0.5, 2.0)]), Timeline((), (), 3.0))
    assert series.p99 == (2.0, None, None)
    assert series.throughput == (0.0, 0.0, 1.0)


def test_other_steps() -> None:
    series = per_second(samples([(0.1, 0.1), (0.6, 0.1)]), Timeline((), (), 1.0), step_s=0.5)
    assert series.t == (0.0, 0.5)
    assert series.rate == (2.0, 2.0)


def test_nothing_is_no_steps() -> None:
    assert per_second(samples([]), Timeline((), (), 0.0)).t == ()


def test_samples_outside_the_run_are_left_out() -> None:
    series = per_second(samples([(-0.5, 0.1), (5.0, 0.1)]), Timeline((), (), 2.0))
    assert series.rate == (0.0, 0.0)
    assert series.p50 == (None, None)


def test_a_whole_record_will_do() -> None:
    record = a_record()
    timeline = Timeline((), (), 52.0)
    assert per_second(record, timeline) == per_second(record.samples, timeline)
