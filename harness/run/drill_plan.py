"""The drills of a plan that act on the migration, ready to be done in a prepared run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from harness.clock import Sleep
from harness.core.drills import Drill
from harness.db.guard import RunLock
from harness.db.leftovers import living_backends
from harness.db.migrator import Direction
from harness.db.remedies import mend
from harness.db.url import DatabaseUrl
from harness.run.copies import SEEDED_ROWS
from harness.run.drill_kill import KillMigrator, Place, kill_point
from harness.run.drill_race import RaceMigrators
from harness.run.drill_walk import WALK_WITHIN_S, WalkDrill
from harness.run.drills import MigrationDrill, Note, Noted
from harness.run.preparation import Prepared
from harness.run.rehearsal import read_shape
from harness.run.steps import Step, migration_order
from harness.run.walk import WalkOrder

__all__ = ["migration_drill", "rollback_drill", "walk_drill"]

MENDED_WITHIN_S = 3.0
"""How long a statement of a remedy may take: users are driven by the same loop, which waits meanwhile."""


def migration_drill(
    prepared: Prepared,
    step: Step,
    direction: Direction,
    note: Note,
    terminate: Callable[[Sequence[int]], object],
    keep_schema: Callable[[str], object],
) -> MigrationDrill | None:
    """The drill on this migration while users are there, if the plan has one; `terminate` ends sessions of
    the migration, `keep_schema` keeps the schema's state under a name.
    """
    if direction != "upgrade":
        return None
    url = DatabaseUrl.parse(step.url)
    for number, drill in _planned(prepared, "race-migrators"):
        lock = partial(RunLock.acquire, url, prepared.directory.run_id)
        return RaceMigrators(Noted(number, drill, note), lock)
    for number, drill in _planned(prepared, "kill-migrator"):
        if drill.where != "each":
            place = Place(
                living=partial(living_backends, url),
                terminate=terminate,
                revisions=step.migrator.current,
                keep_schema=partial(keep_schema, "killed"),
                shape=partial(read_shape, step.url),
                mend=partial(mend, url, within_s=MENDED_WITHIN_S),
            )
            return KillMigrator(Noted(number, drill, note), place, kill_point(drill, prepared.halfway))
    return None


def walk_drill(prepared: Prepared, note: Note, sleep: Sleep) -> WalkDrill | None:
    """The drill that kills the migration at every statement, on copies, if the plan has one."""
    for number, drill in _planned(prepared, "kill-migrator"):
        if drill.where == "each":
            plan, services, [step] = prepared.plan, prepared.services, prepared.steps
            order = WalkOrder.of(
                migration_order(step, "upgrade", services, prepared.directory, "copy"),
                copies_of=step.url if services.server is None else services.server.url,
                seeded_rows=None if services.server is None else min(plan.rows, SEEDED_ROWS),
                target=step.plan.upgrade if step.plan.scripts_known else None,
                within_s=WALK_WITHIN_S,
            )
            lines, complaints = prepared.directory.log("walk-lines"), prepared.directory.log("walk")
            return WalkDrill(Noted(number, drill, note), order, lines, complaints, sleep)
    return None


def rollback_drill(prepared: Prepared, note: Note) -> Noted | None:
    """The drill that is the run's own rollback, if the plan has one: only its events are to be written."""
    return next((Noted(number, drill, note) for number, drill in _planned(prepared, "rollback")), None)


def _planned(prepared: Prepared, name: str) -> Iterator[tuple[int, Drill]]:
    """The plan's drills of that name, with their numbers."""
    for number, drill in enumerate(prepared.plan.planned_drills, 1):
        if drill.name == name:
            yield number, drill
