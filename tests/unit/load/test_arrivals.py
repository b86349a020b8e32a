"""Turns of users by a clock that the test moves."""

from dataclasses import replace
from random import Random

import pytest

from harness.core.arrivals import CLOSED
from harness.load import arrivals as module
from harness.load.arrivals import Arrivals
from harness.load.messages import RunSettings

SETTINGS = RunSettings("run-1", "run-1", 1, 2, 4.0, 0, 1, 1000)
"""Two users, together four tasks a second: each has a turn every half second."""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def begun(settings: RunSettings = SETTINGS) -> Arrivals:
    arrivals = Arrivals()
    arrivals.begin(settings, 100.0)
    return arrivals


def test_each_user_has_its_share_of_the_rate(clock: Clock) -> None:
    turns = begun().turns(Random(1), own_period_s=9.0)
    taken = [turns.take(clock()).intended or 0.0 for _ in range(3)]
    assert 100.0 <= taken[0] < 100.5
    assert [taken[1] - taken[0], taken[2] - taken[1]] == pytest.approx([0.5, 0.5])


def test_without_a_target_rate_each_user_keeps_its_own_pace(clock: Clock) -> None:
    turns = begun(replace(SETTINGS, target_rate=None)).turns(Random(1), own_period_s=3.0)
    first, second = (turns.take(clock()).intended or 0.0 for _ in range(2))
    assert second - first == pytest.approx(3.0)


def test_what_is_due_is_counted_whether_it_began_or_not(clock: Clock) -> None:
    arrivals = begun()
    one, _other = (arrivals.turns(Random(seed), 9.0) for seed in (1, 2))
    for _ in range(3):
        one.take(clock())
    assert arrivals.counts() == {"due": 0, "begun": 0}
    clock.now = 110.0
    assert arrivals.counts() == {"due": 40, "begun": 3}


def test_a_user_that_leaves_takes_what_had_not_begun_with_it(clock: Clock) -> None:
    arrivals = begun()
    turns = arrivals.turns(Random(1), 9.0)
    turns.take(clock())
    clock.now = 110.0
    arrivals.leave(turns)
    clock.now = 120.0
    assert arrivals.counts() == {"due": 1, "begun": 1}


def test_nothing_is_due_any_more_once_the_load_ends(clock: Clock) -> None:
    arrivals = begun()
    arrivals.turns(Random(1), 9.0)
    clock.now = 105.0
    arrivals.close(clock())
    clock.now = 150.0
    arrivals.close(clock())
    assert arrivals.counts()["due"] == 10


def test_a_new_run_counts_from_nothing(clock: Clock) -> None:
    arrivals = begun()
    arrivals.turns(Random(1), 9.0)
    clock.now = 105.0
    arrivals.close(clock())
    arrivals.begin(SETTINGS, 105.0)
    clock.now = 110.0
    assert arrivals.counts()["due"] == 0
    arrivals.turns(Random(1), 9.0)
    clock.now = 111.0
    assert arrivals.counts()["due"] == 2


@pytest.mark.parametrize("rate", [4.0, None])
def test_a_closed_loop_has_turns_without_an_instant_that_are_no_arrivals(
    clock: Clock, rate: float | None
) -> None:
    arrivals = begun(replace(SETTINGS, arrivals=CLOSED, target_rate=rate))
    turns = arrivals.turns(Random(1), own_period_s=0.5)
    assert turns.take(clock()).intended is None
    clock.now = 160.0
    assert [turns.take(clock()).wait_s for _ in range(2)] == pytest.approx([0.0, 0.5])
    assert arrivals.counts() == {}
