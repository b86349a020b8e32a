"""Doubles for the run: a load, services, a migration's process and a clock, none of which wait for real."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.core.record import FinalRead


@dataclass
class FakeClock:
    """A clock that only sleeping moves."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Stands in for the monotonic clock in the run's modules."""
    clock = FakeClock()
    monkeypatch.setattr("harness.run.controller.monotonic", clock)
    monkeypatch.setattr("harness.run.migration_episode.monotonic", clock)
    return clock


@dataclass
class Live:
    rate: float = 80.0
    p95_s: float | None = 0.02
    errors: int = 0


@dataclass
class FakeLoad:
    """Notes what it was asked, in order."""

    asked: list[tuple[str, float]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    probes: Iterator[bool] = field(default_factory=lambda: iter([False, True]))
    isolation: Iterator[bool] = field(default_factory=lambda: iter([False, True]))

    def users(self) -> int:
        return 3

    def live(self) -> Live:
        return Live()

    def probe(self, seconds: float, before_at: float, within_s: float) -> Callable[[], bool]:
        self.asked.append(("probe", before_at))
        return self.probes.__next__

    def isolate(self, per_second: float, within_s: float, own_accounts: bool) -> Callable[[], bool]:
        self.asked.append(("isolate at the end" if own_accounts else "isolate", within_s))
        return self.isolation.__next__

    def pace(self, rate: float, over_s: float) -> None:
        self.rates.append((rate, over_s))

    def drop_websockets(self) -> Callable[[], int | None]:
        self.asked.append(("drop_websockets", 0.0))
        return lambda: 0

    def drain(self, within_s: float) -> bool:
        self.asked.append(("drain", within_s))
        return True

    def read_back(self, within_s: float, complete: Callable[[FinalRead], FinalRead]) -> None:
        self.asked.append(("read_back", within_s))

    def finish(self, within_s: float) -> tuple[str, ...]:
        self.asked.append(("finish", within_s))
        return ()


@dataclass
class Order:
    command: Sequence[str] = ("alembic", "upgrade", "head")
    log_file: Path = Path("logs", "migration-1.log")


@dataclass
class FakeChild:
    """A migration's process that writes `script`: after each poll the next records, then ends with `code`."""

    script: list[list[Mapping[str, Any]]]
    code: int | None
    order: Order = field(default_factory=Order)
    backend_pids: Sequence[int] = (4711,)
    unreadable: int = 0
    started: int = 0
    stopped: int = 0

    def start(self) -> None:
        self.started += 1

    def poll(self) -> int | None:
        return None if self.script else self.code

    def records(self) -> Sequence[Mapping[str, Any]]:
        return self.script.pop(0) if self.script else []

    def stop(
        self, terminate: Callable[[Sequence[int]], object], *, sleep: Callable[[float], object]
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        self.stopped += 1
        self.script.clear()
        self.code = -2
        return "interrupted", []
