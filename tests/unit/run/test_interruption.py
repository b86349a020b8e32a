from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.run.interruption import SIGNALS, Interruption


class Forgotten:
    """Sends a signal while it is finalised, where Python drops what a handler raises."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@contextmanager
def undoing(how: Callable[[], None]) -> Iterator[None]:
    """Undoes, whatever happens."""
    try:
        yield
    finally:
        how()


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Python drops."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: seen.append(one.exc_type))
    return seen


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_where_it_arrives(number: signal.Signals) -> None:
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.watching():
        signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_one_that_python_drops_interrupts_the_next_step(number: signal.Signals, dropped: list[Any]) -> None:
    slept: list[float] = []
    interruption = Interruption()
    with interruption.watching():
        Forgotten(number)
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interruption.sleep(0.5, of=slept.append)
    assert slept == [0.5]


def test_one_that_python_drops_in_the_last_step_interrupts_at_the_end(dropped: list[Any]) -> None:
    with pytest.raises(KeyboardInterrupt), Interruption().watching():
        Forgotten(signal.SIGTERM)
    assert dropped == [KeyboardInterrupt]


def test_what_is_undone_is_not_interrupted_again(dropped: list[Any]) -> None:
    undone: list[float] = []
    interruption = Interruption()
    with interruption.watching():
        Forgotten(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), undoing(lambda: interruption.sleep(0.5, of=undone.append)):
            interruption.check()
    assert (undone, dropped) == ([0.5], [KeyboardInterrupt])


def test_nobody_asked() -> None:
    slept: list[float] = []
    interruption = Interruption()
    with interruption.watching():
        interruption.sleep(1.0, of=slept.append)
        interruption.check()
    assert slept == [1.0]


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption().watching():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
