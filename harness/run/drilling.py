"""The drills of a run in their order: which has its turn when, and that none outlasts the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.run.drills import DrillRun

__all__ = ["STRIKES_AFTER_S", "Drilling", "Planned", "When"]

STRIKES_AFTER_S = 1.0
"""How long after the migration's first statement a fault with `@migrate` strikes."""

When = Literal["before", "beside", "migrate", "after"]
"""`before`: the migration does not begin until it is over. `beside`: it begins before the migration and goes
on while that runs. `migrate`: it strikes in the middle of the migration. `after`: in a phase of its own, when
all that is judged of the migration is over."""


@dataclass(frozen=True)
class Planned:
    """A drill and its turn. `look` writes down what it left, once things had time to recover; a drill after
    which nothing has to recover gives None.
    """

    run: DrillRun
    when: When
    look: Callable[[], object] | None = None


class Drilling:
    """What the controller asks of all drills together; without any it does nothing."""

    def __init__(self, planned: Sequence[Planned] = ()) -> None:
        self._planned = tuple(planned)
        self._strikes_at: float | None = None
        self._begun: set[int] = set()

    @property
    def doing(self) -> str:
        """What the drills do now, in a few words."""
        return ", ".join(filter(None, (one.run.doing for one in self._planned)))

    @property
    def after(self) -> tuple[Planned, ...]:
        """Those with phases of their own."""
        return self._of("after")

    @property
    def keeps_waiting(self) -> bool:
        """Whether the migration may not begin yet."""
        return any(not one.run.ended for one in self._of("before"))

    def prepare(self) -> None:
        """The migration is about to begin."""
        for one in (*self._of("before"), *self._of("beside")):
            self.begin(one)

    def first_statement(self, at: float) -> None:
        """The migration's first statement came at `at`, in run time; only the first such call counts."""
        if self._strikes_at is None:
            self._strikes_at = at + STRIKES_AFTER_S

    def begin(self, one: Planned) -> None:
        """Begin one; a second time does nothing."""
        if id(one) not in self._begun:
            self._begun.add(id(one))
            one.run.begin()

    def step(self, now: float) -> None:
        """Begin what is due at `now`, and see how far the others are."""
        if self._strikes_at is not None and now >= self._strikes_at:
            for one in self._of("migrate"):
                self.begin(one)
        for one in self._planned:
            if id(one) in self._begun and not one.run.ended:
                one.run.step()

    def look(self) -> None:
        """Those that struck in the middle of the migration had their time to recover."""
        for one in self._of("migrate"):
            if id(one) in self._begun and one.look is not None:
                one.look()

    def abort(self) -> None:
        """Undo all that lasts."""
        for one in self._planned:
            one.run.abort()

    def _of(self, when: When) -> tuple[Planned, ...]:
        return tuple(one for one in self._planned if one.when == when)
