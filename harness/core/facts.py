"""Facts: what follows from a record before anything is judged. Gates read nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.core.client import inside
from harness.core.events import Event, Kind
from harness.core.isolation import Isolation, judge_isolation
from harness.core.ledger import Ledger, judge_ledger, lost_workers
from harness.core.migrations import Migration, migrations_of
from harness.core.record import Record
from harness.core.samples import Outcome
from harness.core.timeline import Timeline, Window, cut

__all__ = ["Facts", "facts_of"]


@dataclass(frozen=True)
class Facts:
    """A record, cut into phases, with its migrations, ledger and isolation worked out."""

    record: Record
    timeline: Timeline
    migrations: tuple[Migration, ...]
    ledger: Ledger
    isolation: Isolation
    lost_workers: frozenset[str]

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

    def first(self, kind: str) -> Event | None:
        """The first event of a kind."""
        return next((event for event in self.record.events if event.kind == kind), None)

    def answered_in(self, phase: str) -> bool:
        """Whether any request of the phase was answered ok."""
        window = self.timeline.window(phase)
        return window is not None and bool(np.any(inside(self.record.samples, window).outcome == Outcome.OK))


def facts_of(record: Record) -> Facts:
    """Work out the facts."""
    migrations = migrations_of(record.events)
    lost = lost_workers(record.events)
    return Facts(
        record=record,
        timeline=cut(record.events, [migration.episode for migration in migrations]),
        migrations=migrations,
        ledger=judge_ledger(record.operations, record.final_reads, lost, record.incomplete_workers),
        isolation=judge_isolation(record.reads_checked, record.probes),
        lost_workers=lost,
    )
