"""Turns of users by a clock that only sleeping, or the test, moves."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import gevent
import pytest
from gevent.event import Event

from harness.core.arrivals import CLOSED, OPEN, POISSON
from harness.core.pacing import Rates, poisson
from harness.core.plan import Plan
from harness.errors import UsageError
from harness.load import arrivals as module
from harness.load.arrivals import Arrivals, Turns, check_workers
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


class Person:
    """A user, and the sessions it opened: each does what `work` is, for every arrival it is given."""

    def __init__(self, work: Any = lambda: None) -> None:
        self.took: list[float] = []
        self.sessions: list[Turns] = []
        self.running: list[gevent.Greenlet] = []
        self._work = work

    def open_session(self, turns: Turns) -> None:
        self.sessions.append(turns)
        self.go(turns)

    def go(self, turns: Turns) -> None:
        self.running.append(gevent.spawn(self._run, turns))

    def _run(self, turns: Turns) -> None:
        while True:
            intended = turns.take(0.0).intended
            assert intended is not None
            self.took.append(intended)
            self._work()


def begun(settings: RunSettings = SETTINGS) -> Arrivals:
    arrivals = Arrivals()
    arrivals.begin(settings, 100.0)
    return arrivals


def test_each_user_has_its_share_of_the_rate(clock: Clock) -> None:
    turns = begun().turns(Random(1), 9.0, Person())
    taken = [turns.take(clock()).intended or 0.0 for _ in range(3)]
    assert 100.0 <= taken[0] < 100.5
    assert [taken[1] - taken[0], taken[2] - taken[1]] == pytest.approx([0.5, 0.5])


def test_without_a_target_rate_each_user_keeps_its_own_pace(clock: Clock) -> None:
    turns = begun(replace(SETTINGS, target_rate=None)).turns(Random(1), 3.0, Person())
    first, second = (turns.take(clock()).intended or 0.0 for _ in range(2))
    assert second - first == pytest.approx(3.0)


def test_what_is_due_is_counted_whether_it_began_or_not(clock: Clock) -> None:
    arrivals = begun()
    one, _other = (arrivals.turns(Random(seed), 9.0, Person()) for seed in (1, 2))
    for _ in range(3):
        one.take(clock())
    assert arrivals.counts() == {"due": 0, "begun": 0, "shed": 0}
    clock.now = 110.0
    assert arrivals.counts() == {"due": 40, "begun": 3, "shed": 0}


def test_a_user_that_leaves_takes_what_had_not_begun_with_it(clock: Clock) -> None:
    arrivals = begun()
    turns = arrivals.turns(Random(1), 9.0, Person())
    turns.take(clock())
    clock.now = 110.0
    arrivals.leave(turns)
    clock.now = 120.0
    assert arrivals.counts() == {"due": 1, "begun": 1, "shed": 0}


def test_nothing_is_due_any_more_once_the_load_ends(clock: Clock) -> None:
    arrivals = begun()
    arrivals.turns(Random(1), 9.0, Person())
    clock.now = 105.0
    arrivals.close(clock())
    clock.now = 150.0
    arrivals.close(clock())
    assert arrivals.counts()["due"] == 10


def test_a_new_run_counts_from_nothing(clock: Clock) -> None:
    arrivals = begun()
    arrivals.turns(Random(1), 9.0, Person())
    clock.now = 105.0
    arrivals.close(clock())
    arrivals.begin(SETTINGS, 105.0)
    clock.now = 110.0
    assert arrivals.counts()["due"] == 0
    arrivals.turns(Random(1), 9.0, Person())
    clock.now = 111.0
    assert arrivals.counts()["due"] == 2


@pytest.mark.parametrize("rate", [4.0, None])
def test_a_closed_loop_has_turns_without_an_instant_that_are_no_arrivals(
    clock: Clock, rate: float | None
) -> None:
    arrivals = begun(replace(SETTINGS, arrivals=CLOSED, target_rate=rate))
    turns = arrivals.turns(Random(1), 0.5, Person())
    assert turns.take(clock()).intended is None
    clock.now = 160.0
    assert [turns.take(clock()).wait_s for _ in range(2)] == pytest.approx([0.0, 0.5])
    assert arrivals.counts() == {}


# open arrivals


class Sleep:
    """Moves the clock to the next wish, once everybody has run; from `until` on it lasts for ever."""

    def __init__(self, clock: Clock) -> None:
        self.until = 0.0
        self._clock = clock
        self._really = gevent.sleep

    def __call__(self, seconds: float) -> None:
        self._really(0)
        if self._clock.now + seconds > self.until:
            Event().wait()
        self._clock.now += seconds


class Day:
    """Open arrivals at 10 a second from instant 100 on, of which the test lets time pass."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.sleep = clock, Sleep(clock)
        monkeypatch.setattr(gevent, "sleep", self.sleep)
        self.arrivals = Arrivals()
        self.people: list[Person] = []

    def begin(self, **changes: Any) -> None:
        settings = {"target_rate": 10.0, "arrivals": OPEN, "max_in_flight": 4, **changes}
        self.arrivals.begin(replace(SETTINGS, **settings), 100.0)

    def come(self, work: Any = lambda: None) -> Person:
        person = Person(work)
        self.people.append(person)
        person.go(self.arrivals.turns(Random(1), 9.0, person))
        return person

    def pass_until(self, instant: float) -> None:
        """Let everything happen that is due before an instant."""
        self.sleep.until = instant
        self.arrivals.change(self.clock.now, self.arrivals._rates.at(self.clock.now), 0.0)
        for _ in range(2_000):
            self.sleep._really(0)
        self.clock.now = instant

    @property
    def took(self) -> list[float]:
        return sorted(at for person in self.people for at in person.took)


@pytest.fixture
def day(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Day]:
    day = Day(clock, monkeypatch)
    yield day
    day.arrivals.close(0.0)
    gevent.killall([greenlet for person in day.people for greenlet in person.running])


def test_open_arrivals_come_when_they_are_due_to_users_in_turn(day: Day) -> None:
    day.begin()
    one, other = day.come(), day.come()
    day.pass_until(100.95)
    assert day.took == pytest.approx([100.0 + n / 10 for n in range(10)])
    assert (len(one.took), len(other.took)) == (5, 5)
    assert one.sessions == other.sessions == []
    assert day.arrivals.counts() == {"due": 10, "begun": 10, "shed": 0}


def test_busy_users_open_sessions_in_turn_and_what_is_too_much_is_shed(day: Day) -> None:
    answered = Event()
    day.begin(max_in_flight=5)
    people = [day.come(answered.wait) for _ in range(2)]
    day.pass_until(100.95)
    assert day.took == pytest.approx([100.0, 100.1, 100.2, 100.3, 100.4])
    assert sorted(len(person.sessions) for person in people) == [1, 2]
    assert day.arrivals.counts() == {"due": 10, "begun": 5, "shed": 5}


def test_after_a_stall_the_users_go_first_and_no_more_sessions_are_opened(day: Day) -> None:
    answered = Event()
    day.begin()
    people = [day.come(answered.wait) for _ in range(2)]
    day.pass_until(100.35)
    opened = [list(person.sessions) for person in people]
    assert sum(map(len, opened)) == 2
    answered.set()
    day.pass_until(102.05)
    assert [person.sessions for person in people] == opened
    assert day.arrivals.counts() == {"due": 21, "begun": 21, "shed": 0}


def test_arrivals_begin_with_the_first_user_and_are_shed_when_the_last_has_gone(day: Day) -> None:
    day.begin()
    day.clock.now = 100.55
    person = day.come()
    day.pass_until(100.85)
    assert day.took == pytest.approx([100.6, 100.7, 100.8])
    gevent.killall(person.running)
    (turns,) = (seat for seat in day.arrivals._flow._users)  # type: ignore[union-attr]
    day.arrivals.leave(turns)
    day.pass_until(101.05)
    assert day.arrivals.counts() == {"due": 5, "begun": 3, "shed": 2}


def test_open_arrivals_follow_the_rate_at_once(day: Day) -> None:
    day.begin(target_rate=0.0)
    day.come()
    day.pass_until(105.0)
    assert day.took == []
    day.arrivals.change(105.0, 10.0, 0.0)
    day.pass_until(105.25)
    day.arrivals.change(105.25, 100.0, 0.0)
    day.pass_until(105.285)
    assert day.took == pytest.approx([105.0, 105.1, 105.2, 105.255, 105.265, 105.275, 105.285], abs=1e-6)


def test_workers_share_the_arrivals_and_the_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    took, due, begun = [], 0, 0
    for index in range(3):
        clock.now = 100.0
        day = Day(clock, monkeypatch)
        day.begin(worker_index=index, worker_count=3, max_in_flight=4, arrivals=POISSON)
        day.come(Event().wait)
        day.pass_until(102.0)
        took += day.took
        counts = day.arrivals.counts()
        due, begun = due + counts["due"], begun + counts["begun"]
        day.arrivals.close(clock())
        gevent.killall([greenlet for person in day.people for greenlet in person.running])
        monkeypatch.undo()
        monkeypatch.setattr(module, "monotonic", clock)
    rates = Rates.start(100.0, 10.0)
    whole = []
    for number in poisson(SETTINGS.seed):
        if rates.when(number) >= 102.0:
            break
        whole.append(rates.when(number))
    assert (due, begun) == (len(whole), 4)
    assert set(took) < set(whole)


def test_no_arrival_comes_once_the_load_ends(day: Day) -> None:
    day.begin()
    day.come()
    day.pass_until(100.25)
    day.arrivals.close(day.clock())
    day.sleep.until = 200.0
    for _ in range(50):
        day.sleep._really(0)
    assert day.arrivals.counts() == {"due": 3, "begun": 3, "shed": 0}


def test_a_user_that_is_stopped_while_it_waits_is_given_nothing(day: Day) -> None:
    day.begin()
    stopped, other = day.come(), day.come()
    day.pass_until(100.05)
    gevent.killall(stopped.running)
    day.pass_until(100.45)
    assert len(stopped.took) + len(other.took) == 5
    assert len(other.took) >= 4


def test_a_scheduled_user_follows_the_rate_while_it_waits(clock: Clock) -> None:
    arrivals = begun(replace(SETTINGS, target_rate=0.0, rate_changes=True))
    turns = arrivals.turns(Random(1), 9.0, Person())
    taking = gevent.spawn(turns.take, clock())
    gevent.sleep(0)
    assert not taking.dead
    clock.now = 120.0
    arrivals.change(110.0, 4.0, 0.0)
    taking.join(5)
    assert 110.0 <= taking.value.intended < 110.5
    assert taking.value.wait_s == 0.0


@pytest.mark.parametrize(("model", "refused"), [("open", True), ("poisson", True), ("scheduled", False)])
def test_open_arrivals_need_a_user_on_each_worker(model: str, refused: bool) -> None:
    check_workers(Plan(users=3, arrivals=model), workers=3)
    if not refused:
        check_workers(Plan(users=3, arrivals=model), workers=4)
        return
    with pytest.raises(UsageError, match="at least --users 4"):
        check_workers(Plan(users=3, arrivals=model), workers=4)
