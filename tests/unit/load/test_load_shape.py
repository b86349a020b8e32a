"""A load shape moves the users until it is over; then the run is told, and Locust is not."""

from __future__ import annotations

import logging

import pytest
from locust.shape import LoadTestShape

from harness.load.load_shape import hold


class Steps(LoadTestShape):
    """Gives what it was told to give, one after the other."""

    def __init__(self, *orders: tuple[int, float] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.orders = list(orders)
        self.resets = 0

    def tick(self) -> tuple[int, float] | None:
        return self.orders.pop(0)

    def reset_time(self) -> None:
        self.resets += 1


def test_orders_go_through_until_the_shape_is_over() -> None:
    causes: list[str] = []
    shape = Steps((5, 1.0), (9, 2.0), None)
    hold(shape, causes.append)
    assert [shape.tick(), shape.tick()] == [(5, 1.0), (9, 2.0)]
    assert causes == []
    assert [shape.tick(), shape.tick()] == [(9, 2.0), (9, 2.0)]
    assert causes == ["the load shape Steps was over: its tick() returned None"] * 2


def test_a_shape_that_fails_is_over(caplog: pytest.LogCaptureFixture) -> None:
    causes: list[str] = []
    shape = Steps((5, 1.0))
    hold(shape, causes.append)
    shape.tick()
    with caplog.at_level(logging.ERROR):
        assert shape.tick() == (5, 1.0)
    assert causes == ["the load shape Steps failed: IndexError"]
    assert "The load shape Steps failed" in caplog.text


def test_a_shape_that_is_over_at_once_still_begins_the_run_that_is_to_say_so() -> None:
    causes: list[str] = []
    shape = Steps(None)
    hold(shape, causes.append)
    assert shape.tick() == (1, 1.0)
    assert len(causes) == 1


def test_started_again_it_begins_anew() -> None:
    causes: list[str] = []
    shape = Steps(None, (3, 1.0))
    hold(shape, causes.append)
    shape.tick()
    shape.reset_time()
    assert shape.tick() == (3, 1.0)
    assert (shape.resets, len(causes)) == (1, 1)
