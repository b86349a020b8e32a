import pytest

from harness.core.pacing import Schedule, period


def test_period_shares_the_rate_among_users() -> None:
    assert period(users=30, rate=80.0) == 0.375


def test_first_slot_is_the_phase_into_the_first_period() -> None:
    slot = Schedule(start=100.0, period_s=2.0, phase=0.25).take(now=100.0)
    assert slot.intended == 100.5
    assert slot.wait_s == 0.5


def test_slots_keep_their_distance_whenever_they_are_taken() -> None:
    schedule = Schedule(start=0.0, period_s=1.0, phase=0.0)
    taken = [schedule.take(now).intended for now in (0.0, 0.9, 1.0, 2.7)]
    assert taken == [0.0, 1.0, 2.0, 3.0]


def test_after_a_stall_every_slot_is_taken_without_waiting_until_caught_up() -> None:
    schedule = Schedule(start=0.0, period_s=1.0, phase=0.5)
    assert schedule.take(now=0.0).intended == 0.5
    late = [schedule.take(now=4.0) for _ in range(4)]
    assert [slot.intended for slot in late] == [1.5, 2.5, 3.5, 4.5]
    assert [slot.wait_s for slot in late] == [0.0, 0.0, 0.0, 0.5]


def test_a_long_run_gathers_no_rounding_error() -> None:
    schedule = Schedule(start=0.0, period_s=0.1, phase=0.0)
    for _ in range(36_000):
        schedule.take(now=0.0)
    assert schedule.take(now=0.0).intended == pytest.approx(3600.0, abs=1e-9)
