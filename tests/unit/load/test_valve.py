"""A closed valve lets tasks end and none begin, for users of any class."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from locust import User, constant, task
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner

from harness.load.valve import valve

ANSWER = Event()
DONE: list[str] = []


class Plain(User):
    """Knows nothing of the valve; a task lasts until the answer."""

    wait_time = constant(0)

    @task
    def ask(self) -> None:
        DONE.append("began")
        ANSWER.wait()
        DONE.append("ended")
        gevent.sleep(0)


class Loop(User):
    """Runs one long task of its own, and asks the valve before each piece of work."""

    @task
    def work(self) -> None:
        while True:
            valve.wait()
            DONE.append("piece")
            gevent.sleep(0)


@pytest.fixture
def runner() -> Iterator[LocalRunner]:
    """A runner whose users stand behind the valve."""
    DONE.clear()
    ANSWER.clear()
    runner = Environment(user_classes=[Plain, Loop], events=Events()).create_local_runner()
    valve.install(runner)
    valve.open()
    yield runner
    valve.open()
    runner.user_greenlets.kill()
    runner.greenlet.kill()


def let_others_run() -> None:
    for _ in range(10):
        gevent.sleep(0)


def test_a_task_may_end_and_none_begins(runner: LocalRunner) -> None:
    runner.spawn_users({"Plain": 1})
    let_others_run()
    assert (DONE, valve.busy_users()) == (["began"], 1)
    valve.close()
    ANSWER.set()
    let_others_run()
    assert (DONE, valve.busy_users()) == (["began", "ended"], 0)
    valve.open()
    let_others_run()
    assert len(DONE) > 4


def test_users_that_start_behind_a_closed_valve_do_nothing(runner: LocalRunner) -> None:
    valve.close()
    runner.spawn_users({"Plain": 2})
    let_others_run()
    assert (DONE, valve.busy_users(), runner.user_count) == ([], 0, 2)


def test_a_loop_of_its_own_is_held(runner: LocalRunner) -> None:
    runner.spawn_users({"Loop": 1})
    let_others_run()
    assert valve.busy_users() == 1
    valve.close()
    let_others_run()
    pieces = len(DONE)
    let_others_run()
    assert (len(DONE), valve.busy_users()) == (pieces, 0)


def test_a_user_that_is_held_can_be_stopped(runner: LocalRunner) -> None:
    runner.environment.stop_timeout = 60
    ANSWER.set()
    runner.spawn_users({"Plain": 1})
    let_others_run()
    valve.close()
    let_others_run()
    with gevent.Timeout(5):
        runner.stop_users({"Plain": 1})
    assert runner.user_count == 0


def test_waiting_at_an_open_valve_returns_at_once(runner: LocalRunner) -> None:
    valve.wait()
    assert not valve.closed
