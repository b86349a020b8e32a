"""What a run's events tell of one drill of its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.drills import Drill, DrillResult, Grade
from harness.core.events import Event, Kind
from harness.core.verdict import rounded, safe_text, without_paths

__all__ = ["Told", "told_of"]


@dataclass(frozen=True)
class Told:
    """Drill `number` of the plan, with the events that begin and end its fault, None where there is none, and
    those of the places at which it was done, where there are many. `remedy` are the statements that were run
    before another try.
    """

    number: int
    drill: Drill
    begin: Event | None = None
    end: Event | None = None
    cells: tuple[Event, ...] = ()
    remedy: tuple[str, ...] = ()

    @property
    def seen(self) -> Mapping[str, Any]:
        """What was seen of the fault."""
        return {} if self.end is None else self.end.data

    @property
    def begin_at(self) -> float:
        """When the fault began; of one that did not, the start of the run."""
        return 0.0 if self.begin is None else self.begin.at

    @property
    def end_at(self) -> float:
        """When the fault itself was over; of one that was not, when it began."""
        return self.begin_at if self.end is None else self.end.at

    @property
    def why_not(self) -> str:
        """Why there is nothing to grade, "" when there is."""
        if self.end is not None and not self.end.data.get("done"):
            return safe_text(str(self.end.data.get("why") or "it could not be done"))
        if self.begin is None:
            return "it never began"
        return "" if self.end is not None else "the run ended while it was going on"

    def ungraded(self, why: str) -> DrillResult:
        """The result of one that could not be done, or not be judged."""
        return self.result(None, why, None, {})

    def result(
        self, grade: Grade | None, why: str, end_at: float | None, evidence: Mapping[str, Any]
    ) -> DrillResult:
        """The result; `end_at` is when everything had come back."""
        return DrillResult(
            self.drill.text,
            self.drill.known.what,
            None if self.begin is None else rounded(self.begin.at),
            rounded(end_at),
            grade,
            safe_text(why),
            without_paths(dict(evidence)),
        )


def told_of(drills: Sequence[Drill], events: Sequence[Event]) -> tuple[Told, ...]:
    """Each drill of a plan, in its order."""
    begins = {event.data.get("drill"): event for event in events if event.kind == Kind.DRILL_BEGIN}
    ends = {event.data.get("drill"): event for event in events if event.kind == Kind.DRILL_END}
    cells = [event for event in events if event.kind == Kind.DRILL_CELL]
    remedies = {
        event.data.get("drill"): tuple(event.data.get("statements") or ())
        for event in events
        if event.kind == Kind.DRILL_REMEDY
    }
    return tuple(
        Told(
            number,
            drill,
            begins.get(number),
            ends.get(number),
            tuple(cell for cell in cells if cell.data.get("drill") == number),
            remedies.get(number, ()),
        )
        for number, drill in enumerate(drills, 1)
    )
