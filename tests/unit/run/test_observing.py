"""The observer's place in the run."""

from __future__ import annotations

from typing import Any, cast

from harness.core.events import Kind
from harness.db.observer_child import ObserverChild
from harness.run.observing import Observing


class FakeObserver:
    """An observer that dies when told to."""

    died = ""

    def says(self) -> str:
        return "2 sessions waiting"


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
