"""A migration run on a copy of the database, without users: to its end, or killed at a point."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.clock import Sleep, monotonic
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.kill_points import KillPoint
from harness.core.schema_shape import Shape, shape_of
from harness.core.trace import Trace, VersionTable
from harness.core.trace_fold import build
from harness.db.catalog import read_schema
from harness.db.guard import connect, identify
from harness.db.leftovers import living_backends
from harness.db.migration import MigrationChild, MigrationOrder, expectation, terminate_backends
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run.drill_kill import COUNTED, KilledChild, Place, halted
from harness.run.drills import Noted

__all__ = ["Killed", "Rehearsal", "Upgraded", "read_shape"]

STEP_S = 0.002
UPGRADE_WITHIN_S = 300.0
"""How long one run of the migration on a copy may take."""


@dataclass(frozen=True)
class Upgraded:
    """One run of the command to its own end: its exit code and what its tracer told."""

    code: int
    trace: Trace
    seconds: float
    backends: tuple[int, ...]


@dataclass(frozen=True)
class Killed:
    """One run that was killed, or ended before it came to that (`seen["done"]` is false and says why).

    `seen` is as in a `drill_end` event; `trace` is what had been told by then.
    """

    seen: Mapping[str, Any]
    trace: Trace


@dataclass(frozen=True)
class Rehearsal:
    """How the migration is run on a copy: `order` with another URL. `target` is what its scripts resolve,
    None where they are not known. The output of all runs goes to the order's log.
    """

    order: MigrationOrder
    target: str | None
    sleep: Sleep
    url_variables: Sequence[str] = ("MUL_DATABASE_URL", "MUL_TARGET_DATABASE_URL")
    within_s: float = UPGRADE_WITHIN_S
    _tables: set[VersionTable] = field(default_factory=set, repr=False)

    def migrator(self, url: str) -> DatabaseMigrator:
        """What reads the version table of a copy; where that is, the runs so far have told."""
        migrator = DatabaseMigrator(url, alembic_config=self.order.alembic_config)
        migrator.learn(sorted(self._tables, key=str))
        return migrator

    def upgrade(self, url: str, target: str | None = None, *, counted: bool = False) -> Upgraded:
        """Run it to its end, or to another target; raises SetupError when it does not end in time.

        `counted`: each statement is told for itself, as where it is killed.
        """
        child = MigrationChild(self._order(url, COUNTED if counted else {}, target))
        began = monotonic()
        code, records = self._to_its_end(child, DatabaseUrl.parse(url))
        trace = build(records)
        # Without its database: each copy may have a name of its own.
        self._tables.update(replace(context.table, database=None) for context in trace.contexts)
        return Upgraded(code, trace, monotonic() - began, tuple(child.backend_pids))

    def kill(self, url: str, point: KillPoint) -> Killed:
        """Run it until it is killed at the point, and its sessions have ended."""
        parsed, seen = DatabaseUrl.parse(url), dict[str, Any]()

        def note(kind: str, _at: float | None = None, **data: Any) -> float:
            if kind == Kind.DRILL_END:
                seen.update(data)
            return 0.0

        place = Place(
            living=lambda pids: living_backends(parsed, pids),
            terminate=lambda pids: terminate_backends(parsed, pids),
            revisions=self.migrator(url).current,
            keep_schema=lambda: seen.update(shape=read_shape(url)),
        )
        child = KilledChild(
            MigrationChild(self._order(url, halted(point))),
            point,
            Noted(0, Drill("kill-migrator"), note),
            place,
        )
        _, records = self._to_its_end(child, parsed)
        return Killed(seen, build(records))

    def _to_its_end(
        self, child: MigrationChild | KilledChild, url: DatabaseUrl
    ) -> tuple[int, list[Mapping[str, Any]]]:
        records: list[Mapping[str, Any]] = []
        until = monotonic() + self.within_s
        terminate: Callable[[Sequence[int]], object] = lambda pids: terminate_backends(url, pids)  # noqa: E731
        try:
            child.start()
            while (code := child.poll()) is None:
                if monotonic() > until:
                    raise SetupError(
                        f"The migration was still running on a copy after {self.within_s:g} s.",
                        "Give the walk a smaller database.",
                    )
                records += child.records()
                self.sleep(STEP_S)
        except BaseException:
            child.kill()  # there is nothing to save on a copy
            raise
        finally:
            _, last = child.stop(terminate, sleep=time.sleep)  # `self.sleep` may be what was interrupted
            child.order.trace_file.unlink(missing_ok=True)  # the next run has its own
        return code, [*records, *last]

    def _order(self, url: str, variables: Mapping[str, str], target: str | None = None) -> MigrationOrder:
        with connect(DatabaseUrl.parse(url), "mul-walk") as connection:
            allowed = expectation(identify(connection))
        order = self.order
        return replace(
            order,
            target=target or order.target,
            environment={**order.environment, **dict.fromkeys(self.url_variables, url), **variables},
            expect_database=allowed,
        )


def read_shape(url: str) -> Shape:
    """What there is in a copy; raises SetupError when its catalog cannot be read."""
    state = read_schema(DatabaseUrl.parse(url), 0.0)
    if state.error:
        raise SetupError(state.error)
    return shape_of(state)
