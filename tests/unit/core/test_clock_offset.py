"""The offset between two clocks is known between bounds, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock_offset import ClockBounds, ClockOffset, offset_between

AHEAD_S = 180.0


def told(*messages: tuple[float, float, float], ahead_s: float = AHEAD_S) -> ClockBounds:
    """What is known after records that were sent, stamped and shown at these instants of our own clock."""
    bounds = ClockBounds()
    for number, (sent, stamped, arrived) in enumerate(messages):
        bounds.sending(str(number), sent)
        bounds.arrived(str(number), stamped + ahead_s, arrived)
    return bounds


def known(bounds: ClockBounds) -> ClockOffset | None:
    return offset_between([(bounds.low, bounds.high)])


def test_the_shortest_ways_tell_how_far_a_clock_is_ahead() -> None:
    found = known(told((10.0, 10.3, 10.31), (20.0, 20.02, 21.0)))
    assert found is not None
    assert (found.ahead_s, found.error_s) == pytest.approx((AHEAD_S + 0.005, 0.015))


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=20),
)
def test_the_true_offset_is_always_within_its_error(
    ahead_s: float, messages: list[tuple[float, float, float]]
) -> None:
    found = known(told(*((at, at + a, at + a + b) for at, a, b in messages), ahead_s=ahead_s))
    if found is not None:
        assert abs(found.ahead_s - ahead_s) <= found.error_s + 1e-6


def test_messages_alone_tell_no_offset() -> None:
    bounds = ClockBounds()
    bounds.arrived("seeded", 5.0, 6.0)
    assert (bounds.low, bounds.high) == (-1.0, None)
    assert known(bounds) is None


def test_nothing_tells_no_offset() -> None:
    assert offset_between([]) is None
    assert offset_between([(None, None)]) is None


def test_bounds_that_are_far_apart_tell_no_offset() -> None:
    assert offset_between([(-0.3, 0.3)]) is None
    assert offset_between([(-0.2, 0.2)]) == ClockOffset(0.0, 0.2)


def test_a_clock_that_was_set_meanwhile_has_no_offset() -> None:
    before, after = told((10.0, 10.1, 10.2)), told((20.0, 20.1, 20.2), ahead_s=AHEAD_S + 60)
    assert offset_between([(before.low, before.high), (after.low, after.high)]) is None


def test_a_little_drift_is_within_the_error() -> None:
    found = offset_between([(0.03, 0.02)])
    assert found is not None
    assert (found.ahead_s, found.error_s) == pytest.approx((0.025, 0.005))


def test_a_record_that_the_service_names_is_known_by_that_name_too() -> None:
    early, late = ClockBounds(), ClockBounds()
    early.sending("key", 10.0)
    early.named("key", "41")
    early.arrived("41", 10.5, 10.6)
    late.sending("key", 10.0)
    late.arrived("41", 10.5, 10.6)
    late.named("key", "41")
    assert early.high == late.high == 0.5


def test_a_change_right_after_a_stream_began_bounds_the_clock_too() -> None:
    bounds = ClockBounds()
    bounds.arrived(None, 10.4 + AHEAD_S, 10.5)
    bounds.after(10.2, 10.4 + AHEAD_S)
    found = known(bounds)
    assert found is not None
    assert (found.ahead_s, found.error_s) == pytest.approx((AHEAD_S + 0.05, 0.15))


def test_only_the_first_message_of_a_record_tells_of_its_creation() -> None:
    bounds = told((10.0, 10.1, 10.2))
    bounds.arrived("0", 5.0 + AHEAD_S, 30.0)
    assert bounds.high == pytest.approx(AHEAD_S + 0.1)


def test_records_that_never_come_take_no_memory() -> None:
    bounds = ClockBounds()
    for number in range(10_500):
        bounds.sending(f"sent-{number}", 1.0)
        bounds.arrived(f"seen-{number}", 1.0, 2.0)
    assert (len(bounds._sent), len(bounds._stamped)) == (10_000, 10_000)
