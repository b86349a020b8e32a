"""Numbers of a stream: in order, late, again, and never."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.core.numbering import Arrival, Numbering


def begun(last: int = 4) -> Numbering:
    numbering = Numbering()
    numbering.begin(last)
    return numbering


def test_messages_in_order_leave_nothing_out() -> None:
    numbering = begun()
    assert [numbering.arrive(number) for number in (5, 6, 7)] == [Arrival.IN_ORDER] * 3
    assert numbering.give_up() == 0


def test_number_left_out_is_counted_once() -> None:
    numbering = begun()
    numbering.arrive(7)
    assert numbering.give_up() == 2
    assert numbering.give_up() == 0


def test_message_after_a_later_one_is_late_not_left_out() -> None:
    numbering = begun()
    assert numbering.arrive(6) is Arrival.IN_ORDER
    assert numbering.arrive(5) is Arrival.LATE
    assert numbering.arrive(5) is Arrival.AGAIN
    assert numbering.give_up() == 0


def test_one_late_of_many_leaves_the_others_out() -> None:
    numbering = begun()
    numbering.arrive(10)
    assert numbering.arrive(7) is Arrival.LATE
    assert numbering.give_up() == 4


def test_message_that_came_before_comes_again() -> None:
    numbering = begun()
    numbering.arrive(5)
    assert numbering.arrive(5) is Arrival.AGAIN
    assert numbering.arrive(4) is Arrival.AGAIN


def test_first_message_of_a_stream_without_a_greeting_is_in_order() -> None:
    numbering = Numbering()
    assert numbering.arrive(9) is Arrival.IN_ORDER
    assert numbering.give_up() == 0


def test_greeting_of_a_resumed_stream_does_not_hide_what_was_missed() -> None:
    numbering = begun()
    numbering.arrive(5)
    numbering.begin(8)
    numbering.arrive(8)
    assert numbering.give_up() == 2


def test_stream_that_begins_anew_misses_nothing_between() -> None:
    numbering = begun()
    numbering.begin_anew()
    assert numbering.arrive(9) is Arrival.IN_ORDER
    assert numbering.give_up() == 0


def test_last_changes_that_never_came_are_left_out() -> None:
    numbering = begun()
    numbering.arrive(5)
    numbering.end(8)
    assert (numbering.last, numbering.give_up()) == (8, 3)


def test_end_before_the_last_number_leaves_nothing_out() -> None:
    numbering = begun(9)
    numbering.end(8)
    assert (numbering.last, numbering.give_up()) == (9, 0)


def test_numbers_of_a_service_that_counts_wildly_take_no_memory() -> None:
    numbering = begun(0)
    for number in range(2, 10_002, 2):
        numbering.arrive(number)
    numbering.arrive(2**62)
    assert len(numbering._gaps) == 1000
    assert numbering.give_up() == 5_000 + 2**62 - 10_001


@given(st.permutations(range(1, 30)), st.integers(0, 29))
def test_whatever_the_order_each_number_counts_once(order: list[int], left_out: int) -> None:
    numbering = begun(0)
    came = order[left_out:]
    ways = [numbering.arrive(number) for number in came]
    assert Arrival.AGAIN not in ways
    numbering.end(29)
    assert numbering.give_up() == left_out
    assert [numbering.arrive(number) for number in came] == [Arrival.AGAIN] * len(came)
