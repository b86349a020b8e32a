"""A load shape that moves the users leaves undecided what that alone could have made, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from harness.core.crowd import Crowd, crowd_in
from harness.core.judge import judge
from harness.core.record import HealthPoint, Record
from harness.core.samples import Outcome, SampleTable
from harness.core.timeline import Window
from harness.core.verdict import GateResult
from tests.fix_record import IMPACT, a_plan, a_record, healthy
from tests.fix_samples import joined, steady, without


def a_shape(before: int, during: int, table: SampleTable | None = None) -> Record:
    """A run in which `before` users lived until the end of the baseline, and `during` users from then on."""
    record = a_record(a_plan(shape="Steps"), table)
    users = (replace(point, users=before if point.at < 25.5 else during) for point in healthy())
    return replace(record, health=tuple(users))


def gate(record: Record, name: str) -> GateResult:
    """The gate of that name, over the impact window."""
    return next(found for found in judge(record).gates if found.name == name)


def slower(seconds: float) -> SampleTable:
    """All of the impact window's answers are so slow."""
    return joined(without(steady(), *IMPACT), steady(27.0, 36.0, latency=seconds))


def points(*users: tuple[float, str, int]) -> Iterable[HealthPoint]:
    return tuple(HealthPoint(at, worker, count, 0, 0.1, 50.0, (1.0,)) for at, worker, count in users)


def test_a_crowd_is_summed_over_the_workers_and_lasts_until_it_is_told_otherwise() -> None:
    told = points((4.9, "a", 10), (5.0, "b", 20), (6.1, "a", 30), (6.0, "b", 20), (9.0, "a", 0))
    assert crowd_in(tuple(told), Window("w", 5.5, 8.0)) == Crowd(30, 50)
    assert crowd_in(tuple(told), Window("w", 7.0, 8.0)) == Crowd(50, 50)
    assert crowd_in(tuple(told), Window("w", 0.0, 1.0)) is None
    assert crowd_in((), Window("w", 0.0, 9.0)) is None
    assert crowd_in(tuple(told), None) is None


@pytest.mark.parametrize(
    ("now", "grew", "shrank"), [((55, 55), 0, 0), ((45, 50), 0, 0), ((50, 56), 1, 0), ((44, 50), 0, 1)]
)
def test_crowds_differ_from_a_tenth_on(now: tuple[int, int], grew: bool, shrank: bool) -> None:
    before = Crowd(50, 50)
    assert (Crowd(*now).grew_from(before), Crowd(*now).shrank_from(before)) == (grew, shrank)


def test_a_level_shape_is_judged_as_any_load_is() -> None:
    verdict = judge(a_shape(50, 50))
    assert verdict.status == "pass"
    assert not any("load shape" in limit for limit in verdict.limits)
    assert gate(a_shape(50, 50, slower(0.5)), "latency").status == "fail"


@pytest.mark.parametrize("during", [100, 20])
def test_how_much_was_done_is_never_decided_by_unequal_crowds(during: int) -> None:
    found = gate(a_shape(50, during), "throughput")
    assert found.status == "inconclusive"
    assert f"50 users in the baseline and {during} in migrate" in found.why
    gone = without(steady(), *IMPACT)
    assert gate(a_shape(50, during, gone), "throughput").status == "inconclusive"


def test_more_users_excuse_what_is_slow_and_nothing_that_is_quick() -> None:
    assert gate(a_shape(50, 100, slower(0.5)), "latency").status == "inconclusive"
    assert gate(a_shape(50, 100), "latency").status == "pass"
    assert gate(a_shape(50, 100), "recovery").status == "pass"


def test_fewer_users_excuse_what_is_quick_and_nothing_that_is_slow() -> None:
    assert gate(a_shape(50, 20), "latency").status == "inconclusive"
    assert gate(a_shape(50, 20), "recovery").status == "inconclusive"
    assert gate(a_shape(50, 20, slower(0.5)), "latency").status == "fail"


def test_a_stall_is_a_stall_whatever_the_crowd() -> None:
    assert gate(a_shape(50, 100, slower(3.0)), "stall").status == "fail"
    assert gate(a_shape(50, 20), "stall").status == "pass"


def test_hardly_any_errors_are_hardly_any_whatever_the_crowd() -> None:
    assert gate(a_shape(50, 20), "errors").status == "pass"


def failing(cause: str) -> SampleTable:
    """All requests fail after the migration's commit, for a while and for that reason."""
    table = joined(without(steady(), 28.5, 35.0), steady(28.5, 35.0, outcome=Outcome.ERROR))
    return replace(table, causes=("", cause), cause=np.where(table.outcome == Outcome.ERROR, 1, 0))


def test_errors_that_the_migration_began_stay_red_and_others_may_be_the_crowds() -> None:
    assert gate(a_shape(50, 100, failing("HTTP 500 (42703)")), "errors").status == "fail"
    assert gate(a_shape(50, 100, failing("HTTP 503")), "errors").status == "inconclusive"
    assert gate(a_shape(50, 50, failing("HTTP 503")), "errors").status == "fail"


def test_who_moved_and_how_is_said() -> None:
    limits = [limit for limit in judge(a_shape(50, 100)).limits if "load shape Steps" in limit]
    assert len(limits) == 1
    assert "50 in baseline" in limits[0]
    assert "100 in migrate" in limits[0]


@pytest.mark.parametrize(("lived", "said"), [(30, 0), (29, 1)])
def test_users_that_are_missing_are_said(lived: int, said: int) -> None:
    record = replace(a_shape(lived, 30), plan=a_plan(users=30))
    limits = [limit for limit in judge(record).limits if f"Only {lived} of 30 users lived" in limit]
    assert len(limits) == said


def test_without_a_shape_users_that_left_excuse_nothing() -> None:
    record = replace(a_shape(50, 20), plan=a_plan())
    assert gate(record, "throughput").status == "pass"


def test_a_crowd_that_nobody_recorded_decides_nothing() -> None:
    record = replace(a_shape(50, 50), health=())
    assert gate(record, "throughput").status == "inconclusive"
