"""What was asked for, and what of it was due, begun and shed."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.judge import judge
from harness.core.offered import Arrivals, arrivals_in, asked_rate, target_rate
from harness.core.pacing import poisson
from harness.core.record import HealthPoint, Record
from harness.core.timeline import Window
from harness.core.verdict import GateResult
from tests.fix_record import a_plan, a_record, events, healthy


def told(
    due: float = 100.0, begun: float = 1.0, shed: float = 0.0, worker: str = "w1"
) -> tuple[HealthPoint, ...]:
    """Points by which so many arrivals a second were due, and these shares of them begun and shed."""
    return tuple(
        replace(
            point,
            worker=worker,
            due=round(due * point.at),
            begun=round(due * begun * point.at),
            shed=round(due * shed * point.at),
        )
        for point in healthy()
    )


def gate(record: Record, name: str) -> GateResult:
    return next(one for one in judge(record).gates if one.name == name)


def limits(record: Record, part: str) -> list[str]:
    return [limit for limit in judge(record).limits if part in limit]


def test_a_window_has_what_came_in_it() -> None:
    assert arrivals_in(told()) == Arrivals(5100, 5100, 0)
    assert arrivals_in(told(shed=0.5, begun=0.5), Window("w", 10.5, 20.5)) == Arrivals(1000, 500, 500)


def test_workers_are_summed_and_one_that_is_silent_makes_it_unknown() -> None:
    assert arrivals_in((*told(), *told(due=10, worker="w2"))) == Arrivals(5610, 5610, 0)
    silent = tuple(replace(point, worker="w2") for point in healthy())
    assert arrivals_in((*told(), *silent)) is None
    assert arrivals_in(()) is None


def rated(*changes: tuple[float, float, float], **plan: Any) -> Record:
    own = [Event(at, Kind.TARGET_RATE, {"rate": rate, "over_s": over_s}) for at, rate, over_s in changes]
    return a_record(a_plan(**plan), events=(*own, *events()))


def test_the_target_rate_of_a_window_is_its_mean() -> None:
    record = rated((0.0, 80.0, 0.0), (10.0, 120.0, 4.0))
    assert target_rate(record, Window("w", 2.0, 8.0)) == pytest.approx(80.0)
    assert target_rate(record, Window("w", 10.0, 14.0)) == pytest.approx(100.0)
    assert target_rate(record, Window("w", 9.0, 9.0)) == pytest.approx(80.0)


def test_a_record_that_tells_no_rate_had_the_plans() -> None:
    assert target_rate(rated(), Window("w", 2.0, 8.0)) == pytest.approx(80.0)
    assert target_rate(rated(target_rate=None), Window("w", 2.0, 8.0)) is None
    assert target_rate(rated(arrivals="closed"), Window("w", 2.0, 8.0)) is None


def test_throughput_is_compared_as_a_share_of_what_each_phase_asks_for() -> None:
    """The load is as steady as ever, whatever the plan asked for."""
    assert gate(rated((0.0, 100.0, 0.0)), "throughput").status == "pass"
    more = gate(rated((0.0, 100.0, 0.0), (20.0, 200.0, 0.0)), "throughput")
    assert more.status == "fail"
    assert "200/s were due here" in more.why
    assert gate(rated((0.0, 200.0, 0.0), (20.0, 100.0, 0.0)), "throughput").status == "pass"


def test_random_arrivals_are_compared_with_those_that_came() -> None:
    """What chance makes more or less of in a phase is no fault of the service."""
    record = rated((0.0, 100.0, 0.0), arrivals="poisson", seed=3)
    windows = [Window("w", float(start), start + 10.0) for start in range(0, 100, 10)]
    rates = [asked_rate(record, window) or 0.0 for window in windows]
    assert len(set(rates)) > 5
    assert rates[4] == sum(4_000 <= number < 5_000 for number in islice(poisson(3), 6_000)) / 10
    assert asked_rate(rated((0.0, 100.0, 0.0)), windows[4]) == pytest.approx(100.0)


def test_a_target_rate_that_is_not_reached_is_no_pass_and_said() -> None:
    record = a_record(health=told(begun=0.8))
    found = gate(record, "throughput")
    assert found.status == "inconclusive"
    assert "the target rate of 80/s was not reached in baseline" in found.why
    assert len(limits(record, "Lower --target-rate, or give it more --users")) == 1
    reached = a_record(health=told(begun=0.95))
    assert gate(reached, "throughput").status == "pass"
    assert limits(reached, "was not reached") == []


def test_what_is_shed_leaves_no_pass_of_the_clients() -> None:
    open_plan = a_plan(arrivals="open", max_in_flight=50)
    record = a_record(open_plan, health=told(begun=0.95, shed=0.05))
    for name in ("errors", "throughput", "latency", "stall", "recovery"):
        assert gate(record, name).status == "inconclusive"
        assert "arrivals were shed" in gate(record, name).why
    assert gate(record, "lost_writes").status == "pass"
    assert len(limits(record, "were shed as 50 tasks were under way")) == 1
    few = a_record(open_plan, health=told(begun=0.995, shed=0.005))
    assert gate(few, "latency").status == "pass"
    assert len(limits(few, "were shed")) == 1
    assert limits(a_record(open_plan, health=told()), "were shed") == []


def test_open_arrivals_say_that_an_account_has_several_requests_at_once() -> None:
    assert len(limits(a_record(a_plan(arrivals="poisson")), "opens further sessions")) == 1
    assert limits(a_record(), "opens further sessions") == []
