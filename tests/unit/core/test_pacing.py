import math
from collections.abc import Iterator
from itertools import pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.pacing import Closed, Rates, Schedule, even, period, poisson

RATE = st.floats(0.5, 2_000.0)
CHANGES = st.lists(st.tuples(st.floats(0.0, 60.0), RATE, st.just(0.0) | st.floats(0.01, 20.0)), max_size=4)
WORKERS = st.integers(1, 9)


def steady(rate: float, start: float = 0.0) -> Rates:
    return Rates.start(start, rate)


def rates_of(start: float, changes: list[tuple[float, float, float]]) -> Rates:
    rates = Rates.start(0.0, start)
    for at, rate, over_s in sorted(changes):
        rates = rates.changed(at, rate, over_s)
    return rates


def test_period_shares_the_rate_among_users() -> None:
    assert period(users=30, rate=80.0) == 0.375


# the target rate over time


def test_before_the_start_nothing_is_due() -> None:
    rates = steady(10.0, start=5.0)
    assert (rates.at(4.9), rates.due(4.9)) == (0.0, 0.0)
    assert (rates.at(5.0), rates.due(6.0)) == (10.0, 10.0)


def test_a_step_changes_the_rate_at_once() -> None:
    rates = steady(10.0).changed(at=2.0, rate=30.0)
    assert [rates.at(t) for t in (1.9, 2.0, 9.0)] == [10.0, 30.0, 30.0]
    assert rates.due(3.0) == 50.0


def test_a_ramp_is_straight_and_its_integral_is_the_area_under_it() -> None:
    rates = steady(10.0).changed(at=2.0, rate=30.0, over_s=4.0)
    assert [rates.at(t) for t in (2.0, 3.0, 4.0, 6.0, 7.0)] == [10.0, 15.0, 20.0, 30.0, 30.0]
    assert rates.due(4.0) == 20.0 + 2 * 15.0
    assert rates.due(7.0) == 20.0 + 4 * 20.0 + 30.0


def test_a_ramp_may_begin_at_nothing() -> None:
    rates = steady(0.0).changed(at=0.0, rate=100.0, over_s=10.0)
    assert rates.due(10.0) == 500.0
    assert rates.when(0.5) == pytest.approx(math.sqrt(0.1))


def test_a_change_in_the_middle_of_a_ramp_goes_on_from_where_it_is() -> None:
    rates = steady(0.0).changed(0.0, 100.0, over_s=10.0).changed(5.0, 20.0, over_s=3.0)
    assert [rates.at(t) for t in (5.0, 8.0, 20.0)] == [50.0, 20.0, 20.0]
    assert rates.due(8.0) == 125.0 + 105.0


def test_what_never_comes_is_due_at_no_instant() -> None:
    assert steady(0.0).when(0.0) == steady(0.0).when(1.0) == math.inf


def test_a_change_from_before_the_start_is_one_at_the_start() -> None:
    assert steady(10.0, start=5.0).changed(at=1.0, rate=20.0) == steady(20.0, start=5.0)


@given(RATE, CHANGES, st.floats(0.0, 100.0))
def test_an_instant_and_the_arrivals_due_by_it_belong_together(
    start: float, changes: list[tuple[float, float, float]], instant: float
) -> None:
    rates = rates_of(start, changes)
    assert rates.when(rates.due(instant)) == pytest.approx(instant, abs=1e-6)


@given(RATE, CHANGES, st.floats(0.0, 100.0))
def test_what_is_due_is_the_integral_of_the_rate(
    start: float, changes: list[tuple[float, float, float]], until: float
) -> None:
    rates = rates_of(start, changes)
    edges = sorted({0.0, until, *(knot.at for knot in rates.knots if knot.at < until)})
    # Between two knots the rate is straight, so its mean is its value in the middle.
    area = sum((b - a) * rates.at((a + b) / 2) for a, b in pairwise(edges))
    assert rates.due(until) == pytest.approx(area, rel=1e-9, abs=1e-6)


@given(RATE, CHANGES, RATE, st.floats(0.0, 10.0))
def test_a_change_leaves_what_was_due_before_it(
    start: float, changes: list[tuple[float, float, float]], rate: float, over_s: float
) -> None:
    before = rates_of(start, changes)
    after = before.changed(30.0, rate, over_s)
    for instant in (0.0, 7.5, 29.9, 30.0):
        assert after.due(instant) == pytest.approx(before.due(instant))
    assert after.at(30.0 + over_s) == pytest.approx(rate)


# users on a schedule


def test_first_slot_is_the_phase_into_the_first_period() -> None:
    slot = Schedule(steady(0.5), users=1, start=100.0, phase=0.25).take(now=100.0)
    assert slot.intended == 100.5
    assert slot.wait_s == 0.5


def test_slots_keep_their_distance_whenever_they_are_taken() -> None:
    schedule = Schedule(steady(30.0), users=30, start=0.0, phase=0.0)
    taken = [schedule.take(now).intended for now in (0.0, 0.9, 1.0, 2.7)]
    assert taken == [0.0, 1.0, 2.0, 3.0]


def test_after_a_stall_every_slot_is_taken_without_waiting_until_caught_up() -> None:
    schedule = Schedule(steady(1.0), users=1, start=0.0, phase=0.5)
    assert schedule.take(now=0.0).intended == 0.5
    assert (schedule.due(now=4.0), schedule.begun(now=4.0)) == (4, 1)
    late = [schedule.take(now=4.0) for _ in range(4)]
    assert [slot.intended for slot in late] == [1.5, 2.5, 3.5, 4.5]
    assert [slot.wait_s for slot in late] == [0.0, 0.0, 0.0, 0.5]
    assert (schedule.due(now=4.0), schedule.begun(now=4.0)) == (4, 4)


def test_a_long_run_gathers_no_rounding_error() -> None:
    schedule = Schedule(steady(10.0), users=1, start=0.0, phase=0.0)
    for _ in range(36_000):
        schedule.take(now=0.0)
    assert schedule.take(now=0.0).intended == pytest.approx(3600.0, abs=1e-9)


def test_a_user_follows_a_change_of_the_rate_in_the_middle_of_a_period() -> None:
    schedule = Schedule(steady(1.0), users=1, start=0.0, phase=0.0)
    schedule.take(now=0.0)
    assert schedule.next(now=0.0).intended == 1.0
    schedule.follow(schedule.rates.changed(at=0.5, rate=5.0))
    taken = [schedule.take(now=0.5).intended for _ in range(2)]
    assert taken == [pytest.approx(0.6), pytest.approx(0.8)]


@given(
    RATE,
    CHANGES,
    st.lists(st.floats(0.0, 0.999), min_size=1, max_size=12),
    st.floats(0.0, 20.0),
)
def test_users_together_are_due_what_the_plan_says(
    start: float, changes: list[tuple[float, float, float]], phases: list[float], until: float
) -> None:
    rates, users = rates_of(start, changes), len(phases)
    due = sum(Schedule(rates, users, 0.0, phase).due(until) for phase in phases)
    # Each user has one slot for each whole share, and one more for the share it has begun, or not yet.
    assert abs(due - rates.due(until)) <= users


@given(RATE, CHANGES, st.floats(0.0, 0.999), st.integers(1, 50), st.lists(st.floats(0.0, 2.0), max_size=60))
def test_no_slot_is_lost_or_doubled_however_late_the_user_comes(
    start: float, changes: list[tuple[float, float, float]], phase: float, users: int, gaps: list[float]
) -> None:
    rates = rates_of(start, changes)
    schedule, now, taken = Schedule(rates, users, 0.0, phase), 0.0, []
    for gap in gaps:
        slot = schedule.take(now)
        assert slot.intended is not None
        assert slot.wait_s == max(0.0, slot.intended - now)
        taken.append(rates.due(slot.intended) / users)
        now += slot.wait_s + gap
    assert taken == pytest.approx([phase + number for number in range(len(taken))], abs=1e-5)


# closed loops


def test_a_closed_loop_skips_the_turns_that_went_by() -> None:
    closed = Closed(period_s=1.0, next_at=0.5)
    slots = [closed.take(now) for now in (0.0, 0.7, 9.0, 9.0)]
    assert [slot.wait_s for slot in slots] == pytest.approx([0.5, 0.8, 0.0, 1.0])
    assert {slot.intended for slot in slots} == {None}


# open arrivals among workers


def made(numbers: Iterator[float], below: float) -> list[float]:
    return list(takewhile(lambda number: number < below, numbers))


@given(WORKERS, st.floats(0.5, 500.0))
def test_even_arrivals_are_shared_out_without_loss_or_double(workers: int, due: float) -> None:
    parts = [number for index in range(workers) for number in made(even(index, workers), due)]
    assert sorted(parts) == made(even(), due)
    assert len(parts) == math.ceil(due)


@given(st.integers(0, 10_000), WORKERS, st.floats(0.5, 500.0))
def test_random_arrivals_are_the_same_among_any_number_of_workers(
    seed: int, workers: int, due: float
) -> None:
    parts = [number for index in range(workers) for number in made(poisson(seed, index, workers), due)]
    assert sorted(parts) == made(poisson(seed), due)


@given(RATE, CHANGES, WORKERS)
def test_workers_together_make_what_the_plan_says(
    start: float, changes: list[tuple[float, float, float]], workers: int
) -> None:
    rates, until = rates_of(start, changes), 0.5
    instants = [
        rates.when(number)
        for index in range(workers)
        for number in made(even(index, workers), rates.due(until))
    ]
    assert len(instants) == math.ceil(rates.due(until))
    assert all(instant <= until + 1e-6 for instant in instants)


def test_random_arrivals_are_repeatable_and_of_the_right_mean_and_spread() -> None:
    numbers = made(poisson(7), 20_000.0)
    assert numbers == made(poisson(7), 20_000.0)
    assert numbers != made(poisson(8), 20_000.0)
    # The count of a Poisson process has its mean as variance; five deviations are beyond any luck.
    assert abs(len(numbers) - 20_000) < 5 * math.sqrt(20_000)
    gaps = [b - a for a, b in pairwise(numbers)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation == pytest.approx(mean, rel=0.05)
