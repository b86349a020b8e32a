"""Drills in a run: what the controller drives, and what a drill may touch.

A drill records what it does, as it happens, in `drill_begin` (the fault begins) and `drill_end` (the fault is
over, with what was seen of it); how things came back is judged afterwards from all that was recorded
(`core/drill_grades.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from harness.core.backend import DOCKER, NONE
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.plan import Plan
from harness.db.migration import MigrationChild
from harness.errors import GuardError, UsageError
from harness.run.episode import Note
from harness.run.migration_child import Child

__all__ = ["DrillRun", "Make", "MigrationDrill", "Note", "Noted", "check_drills"]


class DrillRun(Protocol):
    """One drill: `begin()`, `step()` until `ended`, then `abort()` whatever happened.

    Each call returns soon, for users are driven by the same loop: what takes time is a process that is
    looked at in `step`.
    """

    ended: bool

    @property
    def doing(self) -> str:
        """What it does now, in a few words; empty when nothing."""

    def begin(self) -> None:
        """Begin the fault."""

    def step(self) -> None:
        """See what has happened since the last step; never waits."""

    def abort(self) -> None:
        """Undo what is still broken, and end what runs. Idempotent."""


Make = Callable[[Mapping[str, str], str], MigrationChild]
"""Makes a process of the migration: with these variables laid over its environment, and this added to the
names of its trace and its log."""


class MigrationDrill(Protocol):
    """A drill on the migration: it says what each attempt runs, and whether another follows at once."""

    def child(self, attempt: int, make: Make) -> Child:
        """The process, or several as one, of an attempt."""

    def again(self, attempt: int) -> bool:
        """Whether another attempt follows at once, instead of what its end would mean."""


@dataclass
class Noted:
    """Writes the two events of drill `number` of the plan, each once."""

    number: int
    drill: Drill
    note: Note
    began_at: float | None = None
    over: bool = False

    def begin(self, at: float | None = None, **data: Any) -> float:
        """The fault begins, now unless `at` says when; returns its instant."""
        drill = self.drill
        self.began_at = self.note(
            Kind.DRILL_BEGIN,
            at,
            drill=self.number,
            name=drill.name,
            where=drill.where,
            value=drill.value,
            **data,
        )
        return self.began_at

    def end(self, done: bool, why: str = "", **seen: Any) -> None:
        """The fault is over; `seen` is what was seen of it. What is said of it later is not heard."""
        if not self.over:
            self.over = True
            self.note(Kind.DRILL_END, drill=self.number, name=self.drill.name, done=done, why=why, **seen)


def _check_copies(plan: Plan, drill: Drill) -> None:
    """Refuse (UsageError) what needs copies of the person's database, where nothing says how to make them."""
    if drill.name != "kill-migrator":
        return
    if drill.where in ("", "p50"):
        raise UsageError(
            f"--drill {drill.text} needs a rehearsal, which only the reference service's migration has.",
            "Say where: --drill kill-migrator@statement=N; `harness trace` numbers the statements.",
        )
    own = plan.database_url, plan.steps[0].database_url or plan.database_url
    if drill.where == "each" and not (plan.recreate_database and own[0] == own[1]):
        raise UsageError(
            f"--drill {drill.text} takes a fresh copy of your database for every statement, and nothing says"
            " what it is made from.",
            "Add --recreate-database with --from-dump FILE or --prepare CMD.",
        )


def check_drills(plan: Plan) -> None:
    """Refuse (UsageError) a drill that cannot be done to the person's own service, and (GuardError) one that
    may break what the harness did not start, unless it is allowed by its name.
    """
    for drill in plan.planned_drills:
        known = drill.known
        _check_needs(plan, drill)
        if plan.host is None:
            continue
        if known.not_for_yours:
            raise UsageError(f"--drill {drill.text}: {known.not_for_yours}.", "Leave it out.")
        _check_copies(plan, drill)
        if known.touches and drill.name not in plan.allow_drill:
            raise GuardError(
                f"--drill {drill.text} may break what the harness did not start: {known.touches}.",
                f"If that may happen, add --allow-drill {drill.name}.",
            )


def _no_tokens(plan: Plan) -> str:
    if not plan.authentication:
        return "the locustfile's users log in nowhere"
    return "the new signing key would look like a value that the rollback lost" if plan.rolls_back else ""


def _check_needs(plan: Plan, drill: Drill) -> None:
    """Refuse (UsageError) a drill on what the run does not have."""
    if drill.known.in_container and plan.host is None and plan.services != DOCKER:
        raise UsageError(
            f"--drill {drill.text} is done to the database's container, and there is none.",
            "Add --services docker.",
        )
    own_database = plan.host is None or plan.service_database_url is not None
    no_cache = plan.host is None and plan.cache == NONE
    missing = {
        "drop-websockets": "" if plan.websocket else "the locustfile's users hold no WebSocket",
        "expire-tokens": _no_tokens(plan),
        "terminate-backends": "" if own_database else "the run is given no database",
        "kill-cache": "the reference service has no cache without --cache" if no_cache else "",
        "old-code-new-schema": "the rollback takes the new schema away again" if plan.rolls_back else "",
    }.get(drill.name)
    if missing:
        raise UsageError(f"--drill {drill.text}: {missing}.", "Leave it out.")
