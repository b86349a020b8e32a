"""A stage on which faults strike a server that is none, on a clock that only sleeping moves."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.core.drills import parse
from harness.core.events import Kind
from harness.run import faults
from harness.run.drills import Noted
from harness.run.faults import Fault
from tests.fix_controller import FakeClock


@dataclass
class FakeServer:
    """A server that shuts down and starts within a few looks at it."""

    log: Path = Path("postgres.log")
    pid: int = 7
    starts: bool = True
    shuts_down: bool = True
    told: list[Any] = field(default_factory=list)
    up: bool = True

    def shut_down(self, how: signal.Signals) -> None:
        self.told.append(how)
        self.up = not (self.shuts_down or how is signal.SIGQUIT)

    def alive(self) -> bool:
        return self.up

    def launch(self) -> None:
        self.told.append("launch")
        self.up = self.starts

    def answers(self) -> bool:
        return self.up

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


@dataclass
class Stage:
    clock: FakeClock
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    measured: list[tuple[str, int]] = field(default_factory=list)

    def noted(self, drill: str) -> Noted:
        return Noted(1, parse(drill), self._note)

    def _note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return self.clock.now if at is None else at

    def measure(self, name: str, pid: int) -> None:
        self.measured.append((name, pid))

    def run(self, fault: Fault, seconds: float = 120.0) -> dict[str, Any]:
        """Begin it and walk it to its end as the controller does; what its end says."""
        fault.begin()
        return self.go_on(fault, seconds)

    def go_on(self, fault: Fault, seconds: float = 120.0) -> dict[str, Any]:
        """Walk one that has begun to its end."""
        until = self.clock.now + seconds
        while not fault.ended and self.clock.now < until:
            self.clock.sleep(0.05)
            fault.step()
        fault.step()
        return self.end

    @property
    def end(self) -> dict[str, Any]:
        [end] = [data for kind, data in self.events if kind == Kind.DRILL_END]
        return end


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock = FakeClock()
    monkeypatch.setattr(faults, "monotonic", clock)
    monkeypatch.setattr("harness.clock.monotonic", clock)
    return Stage(clock)
