"""Letters over a connection that loses, doubles and reorders them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.mail import RESEND_S, Inbox, Outbox


def test_what_is_not_acknowledged_is_sent_again_later_and_later() -> None:
    outbox = Outbox()
    first, second = outbox.write("a", {}, 0.0), outbox.write("b", {}, 1.0)
    assert outbox.due(RESEND_S - 0.1) == []
    assert outbox.due(RESEND_S) == [first]
    assert outbox.due(RESEND_S + 1.0) == [second]
    assert outbox.due(3 * RESEND_S - 0.1) == []
    assert outbox.due(3 * RESEND_S) == [first]
    outbox.acknowledged(1)
    assert outbox.due(100.0) == [second]
    outbox.acknowledged(2)
    assert outbox.due(1000.0) == []
    assert outbox.empty


def test_letters_are_given_out_once_and_in_order() -> None:
    inbox: Inbox[str] = Inbox()
    assert inbox.take(1, "b") == []
    assert inbox.expected == 0
    assert inbox.take(0, "a") == ["a", "b"]
    assert inbox.take(0, "a") == inbox.take(1, "b") == []
    assert inbox.expected == 2


def test_the_rest_after_a_gap() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.take(0, "a")
    inbox.take(3, "d")
    inbox.take(2, "c")
    assert inbox.rest() == ["c", "d"]
    assert inbox.take(1, "b") == inbox.rest() == []
    assert inbox.take(4, "e") == ["e"]


@given(
    seed=st.integers(0, 2**32), count=st.integers(0, 30), lost=st.floats(0, 0.8), doubled=st.floats(0, 0.8)
)
def test_all_arrives_once_and_in_order_whatever_the_connection_does(
    seed: int, count: int, lost: float, doubled: float
) -> None:
    random, now = Random(seed), 0.0
    outbox, inbox = Outbox(), Inbox[str]()
    way = [outbox.write(f"letter {number}", {}, now) for number in range(count)]
    got: list[str] = []
    for _ in range(500):
        random.shuffle(way)
        for letter in way:
            for _ in range(1 + (random.random() < doubled)):
                if random.random() >= lost:
                    got += inbox.take(letter.number, letter.kind)
            if random.random() >= lost:
                outbox.acknowledged(inbox.expected)
        if outbox.empty:
            break
        now = 2 * now + 4 * RESEND_S  # the wait doubles too
        way = outbox.due(now)
    assert outbox.empty
    assert got == [f"letter {number}" for number in range(count)]


@pytest.mark.parametrize("expected", [0, 1, 2])
def test_an_acknowledgement_that_is_older_or_newer_than_what_is_kept(expected: int) -> None:
    outbox = Outbox()
    outbox.acknowledged(expected)
    assert outbox.write("a", {}, 0.0).number == 0
    assert not outbox.empty
