"""The observer's place in the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from harness.core.events import Kind
from harness.db.observer_child import ObserverChild
from harness.run.observing import Observing


class FakeObserver:
    """An observer that dies when told to, and notes what it was told."""

    def __init__(self) -> None:
        self.died = ""
        self.told: list[tuple[object, ...]] = []

    def says(self) -> str:
        return "2 sessions waiting"

    def migrating(self, running: bool, pids: Sequence[int]) -> None:
        self.told.append((running, *pids))

    def measure(self, name: str, pid: int) -> None:
        self.told.append((name, pid))

    def backends(self) -> dict[int, str]:
        return {7: "name"}


def test_its_death_is_an_event_said_once() -> None:
    noted: list[tuple[str, dict[str, Any]]] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        noted.append((kind, data))
        return 0.0

    child = FakeObserver()
    observing = Observing({"": cast("ObserverChild", child)}, note)
    assert observing.look() == "2 sessions waiting"
    child.died = "it was killed by signal 9"
    assert (observing.look(), observing.look()) == ("", "")
    assert noted == [(Kind.OBSERVER_DIED, {"why": "it was killed by signal 9"})]


def test_a_run_without_a_database_has_none() -> None:
    observing = Observing({}, lambda *_, **__: 0.0)
    observing.start()
    observing.migrating("", True, ())
    observing.measure("migration", 1)
    assert observing.look() == ""
    observing.stop(lambda _: None)


def test_each_database_has_an_observer_that_is_told_of_its_own_migration() -> None:
    noted: list[dict[str, Any]] = []

    def note(_kind: str, **data: Any) -> float:
        noted.append(data)
        return 0.0

    own, billing = FakeObserver(), FakeObserver()
    observing = Observing(cast("dict[str, ObserverChild]", {"": own, "billing": billing}), note)
    observing.migrating("billing", True, (7,))
    observing.measure("migration", 4711, "billing")
    assert own.told == [("migration", 4711)]  # its processor use belongs to the run
    assert billing.told == [(True, 7), ("migration", 4711)]
    assert (observing.backends("billing"), observing.backends("stock")) == ({7: "name"}, {})
    assert observing.look() == "2 sessions waiting, 2 sessions waiting"
    billing.died = "it was killed by signal 9"
    assert observing.look() == "2 sessions waiting"
    assert noted == [{"why": "it was killed by signal 9", "database": "billing"}]
