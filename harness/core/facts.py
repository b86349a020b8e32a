"""Facts: what follows from a record before anything is judged. Gates read nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.affected import Requests
from harness.core.attribution import Attribution, attribute, joined
from harness.core.blame import Blame, blame
from harness.core.client import inside
from harness.core.continuity import Continuity, judge_continuity
from harness.core.error_classes import ErrorClass, error_classes
from harness.core.events import Event, Kind
from harness.core.isolation import Isolation, judge_isolation
from harness.core.ledger import Ledger, judge_ledger
from harness.core.migrations import Migration, databases_of, migrations_of
from harness.core.observation import BackendSeen, Held
from harness.core.record import Record, Watch
from harness.core.samples import Outcome
from harness.core.schema_diff import SchemaFinding, compare
from harness.core.schema_state import SchemaState
from harness.core.swaps import swaps_of
from harness.core.timeline import Timeline, Window, cut
from harness.core.totals import TotalsFound, judge_totals
from harness.core.websocket import Broadcasts, WebSockets, broadcasts, websockets
from harness.core.workers import lost_ratio, lost_workers, why_less

__all__ = ["Facts", "facts_of", "migrations_in", "timeline_of"]


@dataclass(frozen=True)
class Facts:
    """A record, cut into phases, with its migrations, ledger, isolation and continuity worked out, and with
    what the database's waits, errors and catalog say of the migrations.
    """

    record: Record
    timeline: Timeline
    migrations: tuple[Migration, ...]
    ledger: Ledger
    totals: TotalsFound
    isolation: Isolation
    continuity: Continuity
    websocket: WebSockets
    broadcasts: Broadcasts
    lost_workers: frozenset[str]
    lost_ratio: float | None
    attribution: Attribution
    errors: tuple[ErrorClass, ...]
    blame: tuple[Blame, ...]
    baseline: Facts | None = None
    """Of the run that gates compare with."""

    @property
    def run_id(self) -> str | None:
        """The run directory's name."""
        start = self.first(Kind.RUN_START)
        return None if start is None else start.data.get("run_id")

    @property
    def complete(self) -> bool:
        """Whether the run walked all its phases to the end."""
        return any(e.kind == Kind.RUN_END and bool(e.data.get("complete")) for e in self.record.events)

    @property
    def judged(self) -> Window | None:
        """From the baseline's start to the end of the load: all time but the warm-up."""
        return _load(self.timeline)

    @property
    def less_load(self) -> str:
        """Why there was less load than the plan asks for, "" when there was not."""
        return why_less(self.record.events, self.lost_workers, self.lost_ratio)

    def in_phase(self, phase: str) -> tuple[Migration, ...]:
        """The migrations of `migrate` or `rollback` that began, in order."""
        return tuple(m for m in self.migrations if m.phase == phase)

    def schemas(self, migration: Migration) -> tuple[SchemaState | None, SchemaState | None]:
        """The schema's state before and after a migration."""
        record, part = self.record, self.record.parts.get(migration.name)
        if part is not None:
            rollback = part.before_rollback, part.after_rollback
            return rollback if migration.phase == "rollback" else (part.before, part.after)
        if migration.phase == "rollback":
            return record.schema_after, record.schema_after_rollback
        return record.schema_before, record.schema_after

    def watch(self, migration: Migration) -> Watch:
        """What the observer of a migration's database recorded."""
        return self.record.watches.get(migration.database, Watch())

    def predictions(self, migration: Migration) -> Mapping[str, Any] | None:
        """What a linter said beforehand of an upgrade's statements."""
        if migration.phase != "migrate":
            return None
        part = self.record.parts.get(migration.name)
        return self.record.predictions if part is None else part.predictions

    def findings(self, migration: Migration) -> tuple[SchemaFinding, ...]:
        """What differs in the schema, that should not, after a migration."""
        return compare(*self.schemas(migration))

    def not_started(self, phase: str) -> tuple[str, ...]:
        """The names of the migrations that a phase never came to, in the order they would have run."""
        plan = self.record.plan
        steps = plan.steps if plan.several and plan.migrates else ()
        wanted = (
            [s.name for s in steps] if phase == "migrate" else [s.name for s in steps[::-1] if s.downgrade]
        )
        began = [migration.name for migration in self.in_phase(phase)]
        return tuple(name for name in wanted if name not in began)

    def first(self, kind: str) -> Event | None:
        """The first event of a kind."""
        return next((event for event in self.record.events if event.kind == kind), None)

    def answered_in(self, phase: str) -> bool:
        """Whether any request of the phase was answered ok."""
        window = self.timeline.window(phase)
        return window is not None and bool(np.any(inside(self.record.samples, window).outcome == Outcome.OK))


def facts_of(record: Record) -> Facts:
    """Work out the facts."""
    migrations = migrations_in(record)
    timeline = timeline_of(record, migrations)
    lost = lost_workers(record.events)
    swaps = swaps_of(migrations, timeline.end_at)
    requests = Requests(record.samples, timeline.window("baseline"))
    attribution = joined(
        attribute(watch.waits, [m for m in migrations if m.database == database])
        for database, watch in record.watches.items()
    )
    errors = error_classes(record, timeline, migrations, attribution, requests)
    return Facts(
        record=record,
        timeline=timeline,
        migrations=migrations,
        ledger=judge_ledger(
            record.operations,
            record.final_reads,
            lost,
            record.incomplete_workers,
            swaps,
        ),
        totals=judge_totals(record.totals, record.final_reads, swaps),
        isolation=judge_isolation(
            record.reads_checked, record.probes, timeline.phase_at, _began_at(timeline)
        ),
        continuity=judge_continuity(record.probes, _began_at(timeline)),
        websocket=websockets(record.websocket, record.sockets, _load(timeline)),
        broadcasts=broadcasts(record.events, record.websocket, record.sockets, timeline.load_end),
        lost_workers=lost,
        lost_ratio=lost_ratio(record.health, lost, _load(timeline)),
        attribution=attribution,
        errors=errors,
        blame=blame(attribution, errors, requests),
        baseline=None if record.baseline is None else facts_of(record.baseline),
    )


def _load(timeline: Timeline) -> Window | None:
    baseline = timeline.window("baseline")
    return baseline and Window("judged", baseline.start, timeline.load_end)


def _began_at(timeline: Timeline) -> float | None:
    launch = timeline.window("launch")
    return None if launch is None else launch.start


def migrations_in(record: Record) -> tuple[Migration, ...]:
    """The migrations of a record in the order they ran, with what the observers saw of them."""
    found: list[Migration] = []
    watches = record.watches
    for database in ("", *databases_of(record.events)):
        watch = watches.get(database, Watch())
        held = (line for line in watch.database if isinstance(line, Held))
        seen = (line for line in watch.database if isinstance(line, BackendSeen))
        found += migrations_of(record.events, watch.observed.backends, held, seen, database)
    return tuple(sorted(found, key=lambda migration: migration.number))


def timeline_of(record: Record, migrations: Sequence[Migration] | None = None) -> Timeline:
    """The run's phases and migrations, without judging anything."""
    found = migrations_in(record) if migrations is None else migrations
    return cut(record.events, [migration.episode for migration in found])
