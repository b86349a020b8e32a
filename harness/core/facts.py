"""Facts: what follows from a record before anything is judged. Gates read nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.affected import Requests
from harness.core.attribution import Attribution, attribute
from harness.core.blame import Blame, blame
from harness.core.client import inside
from harness.core.continuity import Continuity, judge_continuity
from harness.core.error_classes import ErrorClass, error_classes
from harness.core.events import Event, Kind
from harness.core.isolation import Isolation, judge_isolation
from harness.core.ledger import Ledger, judge_ledger, lost_workers
from harness.core.migrations import Migration, migrations_of
from harness.core.observation import BackendSeen, Held
from harness.core.record import Record
from harness.core.samples import Outcome
from harness.core.schema_diff import SchemaFinding, compare
from harness.core.schema_state import SchemaState
from harness.core.timeline import Timeline, Window, cut

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
    isolation: Isolation
    continuity: Continuity
    lost_workers: frozenset[str]
    attribution: Attribution
    errors: tuple[ErrorClass, ...]
    blame: tuple[Blame, ...]

    @property
    def run_id(self) -> str | None:
        """The run directory's name."""
        start = self.first(Kind.RUN_START)
        return None if start is None else start.data.get("run_id")

    @property
    def judged(self) -> Window | None:
        """From the baseline's start to the end of the load: all time but the warm-up."""
        baseline = self.timeline.window("baseline")
        return baseline and Window("judged", baseline.start, self.timeline.load_end)

    def migration(self, phase: str) -> Migration | None:
        """The migration of `migrate` or `rollback`."""
        return next((m for m in self.migrations if m.phase == phase), None)

    def schemas(self, phase: str) -> tuple[SchemaState | None, SchemaState | None]:
        """The schema's state before and after the migration of `migrate` or `rollback`."""
        record = self.record
        if phase == "rollback":
            return record.schema_after, record.schema_after_rollback
        return record.schema_before, record.schema_after

    def findings(self, phase: str) -> tuple[SchemaFinding, ...]:
        """What differs in the schema, that should not, after the migration of a phase."""
        return compare(*self.schemas(phase))

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
    requests = Requests(record.samples, timeline.window("baseline"))
    attribution = attribute(record.waits, migrations)
    errors = error_classes(record, timeline, migrations, attribution, requests)
    return Facts(
        record=record,
        timeline=timeline,
        migrations=migrations,
        ledger=judge_ledger(record.operations, record.final_reads, lost, record.incomplete_workers),
        isolation=judge_isolation(record.reads_checked, record.probes),
        continuity=judge_continuity(record.probes, _began_at(timeline)),
        lost_workers=lost,
        attribution=attribution,
        errors=errors,
        blame=blame(attribution, errors, requests),
    )


def _began_at(timeline: Timeline) -> float | None:
    launch = timeline.window("launch")
    return None if launch is None else launch.start


def migrations_in(record: Record) -> tuple[Migration, ...]:
    """The migrations of a record, with what its observer saw of them."""
    held = (line for line in record.database if isinstance(line, Held))
    found = (line for line in record.database if isinstance(line, BackendSeen))
    return migrations_of(record.events, record.observed.backends, held, found)


def timeline_of(record: Record, migrations: Sequence[Migration] | None = None) -> Timeline:
    """The run's phases and migrations, without judging anything."""
    found = migrations_in(record) if migrations is None else migrations
    return cut(record.events, [migration.episode for migration in found])
