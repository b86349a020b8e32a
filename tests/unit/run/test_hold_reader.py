"""The forgotten reader against doubles: it lets go in time, whatever the migration does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.core.drills import parse
from harness.core.events import Kind
from harness.db.clients import HeldReader
from harness.db.url import DatabaseUrl
from harness.run import hold_reader
from harness.run.drills import Noted
from harness.run.hold_reader import STARTS_WITHIN_S, HoldReader
from tests.fix_controller import FakeClock

URL = DatabaseUrl.parse("postgresql://127.0.0.1/shop")


@dataclass
class FakeReader:
    pid: int = 7
    tables: tuple[str, ...] = ("public.documents",)
    open: bool = True

    def holds(self) -> bool:
        return self.open

    def end(self) -> None:
        self.open = False


class Stage:
    def __init__(self, clock: FakeClock, reader: FakeReader) -> None:
        self.clock, self.reader = clock, reader
        self.begun_at: float | None = None
        self.over_at = 1e9
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.drill = HoldReader(
            Noted(1, parse("hold-reader=4s"), self.note),
            URL,
            lambda: self.begun_at is not None and clock.now >= self.begun_at,
            lambda: clock.now >= self.over_at,
        )

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return self.clock.now if at is None else at

    def run(self) -> tuple[float, dict[str, Any]]:
        """How long it held on, and what its end says."""
        began = self.clock.now
        self.drill.begin()
        while not self.drill.ended and self.clock.now - began < 500:
            self.clock.sleep(0.05)
            self.drill.step()
        [end] = [data for kind, data in self.events if kind == Kind.DRILL_END]
        return self.clock.now - began, end


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock, reader = FakeClock(), FakeReader()
    monkeypatch.setattr("harness.run.faults.monotonic", clock)
    monkeypatch.setattr(hold_reader, "monotonic", clock)
    monkeypatch.setattr(HeldReader, "begin", lambda _url: reader)
    return Stage(clock, reader)


def test_its_time_counts_from_the_first_statement(stage: Stage) -> None:
    stage.begun_at = stage.clock.now + 10.0
    held_s, end = stage.run()
    assert held_s == pytest.approx(14.0, abs=0.2)
    assert (end["done"], end["tables"], stage.reader.open) == (True, 1, False)


def test_it_lets_go_when_the_migration_is_over(stage: Stage) -> None:
    stage.begun_at, stage.over_at = stage.clock.now + 1.0, stage.clock.now + 2.0
    held_s, end = stage.run()
    assert held_s == pytest.approx(2.0, abs=0.2)
    assert end["done"] is True


def test_a_migration_without_a_statement_makes_it_undone(stage: Stage) -> None:
    stage.over_at = stage.clock.now + 2.0
    _, end = stage.run()
    assert (end["done"], stage.reader.open) == (False, False)
    assert "without a statement" in end["why"]


def test_it_does_not_wait_for_ever_for_a_first_statement(stage: Stage) -> None:
    held_s, end = stage.run()
    assert held_s == pytest.approx(4.0 + STARTS_WITHIN_S, abs=0.2)
    assert (end["done"], stage.reader.open) == (False, False)


def test_it_does_not_outlast_the_run(stage: Stage) -> None:
    stage.drill.begin()
    stage.drill.abort()
    assert stage.reader.open is False
    assert stage.events[-1][1]["done"] is False
