"""One prepared run, from its first event to its verdict, however it ends."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.clock import Sleep, monotonic, utc_now
from harness.core.events import Kind
from harness.core.plan import MigrationPlan
from harness.core.record import FinalRead
from harness.core.trace_fold import build
from harness.core.verdict import Verdict
from harness.db.catalog import read_schema
from harness.db.migration import (
    MigrationChild,
    expectation,
    read_relfilenodes,
    terminate_backends,
)
from harness.db.migrator import Direction
from harness.db.squawk import predict
from harness.db.stored import StoredDocuments
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.report.view import View
from harness.run.analysis import analyze
from harness.run.announcer import Announcer
from harness.run.commands import folder_of, may_go_untraced
from harness.run.controller import Controller, Load, Progress
from harness.run.episode import EpisodeRun, MigrationEpisode, PlaceboEpisode
from harness.run.ignoring import ignored_by
from harness.run.observing import Observing, observer_of
from harness.run.preparation import Prepared, alembic_config, migration_order, revisions_named, target_of

__all__ = ["Finished", "Session"]

log = logging.getLogger("harness")

OPERATOR = ("operator", "correct horse battery staple")
"""The reference service's account that may announce migrations, and its seeded password."""


SCHEMA_FILES = {
    (1, "before"): "catalog_before.json",
    (1, "after"): "catalog_after.json",
    (2, "after"): "catalog_after_rollback.json",
}
"""Where the schema goes, by the number of the episode and when it was read."""


@dataclass(frozen=True)
class Finished:
    """A judged run: the code to exit with, and what to show."""

    exit_code: int
    verdict: Verdict
    view: View
    directory: Path


def _stored(prepared: Prepared) -> Callable[[FinalRead], FinalRead]:
    """What completes the final reads: the reference service's tables are known, those of others are not."""
    url = prepared.services.database_url
    if not prepared.services.ours or url is None:
        return lambda read: read
    return StoredDocuments(url, prepared.directory.run_id).complete


class Session:
    """`run()` blocks until the run is recorded and judged; `stop()` is called from elsewhere meanwhile."""

    def __init__(
        self, prepared: Prepared, load: Load, sleep: Sleep, progress: Callable[[Progress], None]
    ) -> None:
        self.prepared = prepared
        self.zero = monotonic()
        self._announcer = Announcer(prepared.services.host, *OPERATOR) if prepared.services.ours else None
        self.controller = Controller(
            prepared.plan,
            prepared.directory,
            load,
            prepared.services,
            zero=self.zero,
            sleep=sleep,
            progress=progress,
            complete=_stored(prepared),
            look=lambda: self._observing.look(),
        )
        self._observing = Observing(observer_of(prepared, self.zero), self.controller.note)
        self._sleep = sleep
        self._episodes = self._plan_episodes()

    def stop(self, cause: str) -> None:
        """Order the run to end early; `run()` still records, judges and returns."""
        self.controller.stop(cause)

    def run(self) -> Finished:
        """Walk the phases, stop everything that was started, and judge what was recorded."""
        prepared = self.prepared
        try:
            self._observing.start()
            self.controller.note(
                Kind.RUN_START,
                0.0,
                run_id=prepared.directory.run_id,
                started=utc_now().isoformat(timespec="seconds"),
                seed=prepared.plan.seed,
                monotonic=self.zero,
                processes=prepared.services.pids(),
            )
            self.controller.run(self._episodes)
        except Exception as error:
            log.exception("The run broke off; what was recorded is judged.")
            self.controller.note(Kind.STOP, cause=f"the harness failed: {type(error).__name__}")
        finally:
            self._observing.stop(self._sleep)
            self._clean_up()
        self._predict()
        verdict, view = analyze(prepared.directory.path)
        return Finished(verdict.exit_code, verdict, view, prepared.directory.path)

    def _clean_up(self) -> None:
        """Stop what was started; what cannot be removed costs a warning, not the verdict."""
        prepared = self.prepared
        if self._announcer:
            self._announcer.close()
        if prepared.plan.keep_database and prepared.services.ours:
            log.warning("The database is kept until the next run: %s", prepared.services.keep_database())
        try:
            prepared.close()
        except SetupError as error:
            log.warning("%s", error)

    def _plan_episodes(self) -> list[EpisodeRun]:
        plan, note = self.prepared.plan, self.controller.note
        if plan.placebo:
            return [PlaceboEpisode(note)]
        episodes: list[EpisodeRun] = [self._episode(1, "upgrade")]
        if plan.downgrade:
            episodes.append(self._episode(2, "downgrade"))
        return episodes

    def _episode(self, number: int, direction: Direction) -> MigrationEpisode:
        plan, migrator = self.prepared.plan, self.prepared.migrator
        if migrator is None:
            raise ValueError("a run that migrates was prepared without a migrator")
        [step] = plan.steps
        target = target_of(step, direction)
        return MigrationEpisode(
            number,
            direction,
            target,
            child=lambda attempt: self._child(number, attempt, direction),
            terminate=self._terminate,
            revisions=migrator.current,
            tables=lambda records: migrator.tables(build(records)),
            relfilenodes=self._relfilenodes,
            read_schema=lambda when: self._write_schema(number, when),
            observe=self._observing.migrating,
            seen=self._observing.backends,
            must_announce=step.command is not None and not may_go_untraced(plan, step),
            resolve=lambda: None if target is None else revisions_named(step, migrator, target, direction),
            ignored=lambda: self._ignored(step, direction),
            note=self.controller.note,
            announce=self._announcer.announce if self._announcer else lambda *_, **__: None,
            zero=self.zero,
            sleep=self._sleep,
            retries=plan.migration_retries,
            deadline_s=plan.migration_deadline_s,
        )

    def _ignored(self, step: MigrationPlan, direction: Direction) -> Mapping[str, str]:
        target, migrator = target_of(step, direction), self.prepared.migrator
        if migrator is None or target is None or not step.scripts_known:
            return {}
        return ignored_by(migrator.files(target, direction))

    def _child(self, number: int, attempt: int, direction: Direction) -> MigrationChild:
        prepared, directory = self.prepared, self.prepared.directory
        name = f"migration-{number}" + (f"-attempt-{attempt}" if attempt > 1 else "")
        [step] = prepared.plan.steps
        return MigrationChild(
            migration_order(
                prepared.plan,
                step,
                direction,
                prepared.services,
                directory,
                name,
                expectation(*prepared.allowed) if prepared.allowed else None,
            ),
            spawn=self._spawn_migration,
        )

    def _spawn_migration(self, *command: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(*command, **options)
        self._observing.measure("migration", process.pid)
        return process

    def _write_schema(self, number: int, when: str) -> None:
        """The schema before the first migration and after each; between two it is what the first left."""
        url = self.prepared.services.database_url
        name = SCHEMA_FILES.get((number, when))
        if url is None or name is None:
            return
        state = read_schema(DatabaseUrl.parse(url), self.controller.now)
        self.prepared.directory.write_json(name, asdict(state))

    def _predict(self) -> None:
        """What a linter would have said of the upgrade's statements; nothing where there is no linter."""
        identity = self.prepared.identity
        statements = [
            {"n": statement.n, "sql": statement.sql, "transaction": statement.transaction}
            for episode in self._episodes
            if isinstance(episode, MigrationEpisode) and episode.direction == "upgrade"
            for statement in build(episode.records).migration_statements
        ]
        if not statements:
            return
        claims = predict(
            statements,
            self._folder,
            identity.server_version if identity else None,
        )
        if claims is not None:
            self.prepared.directory.write_json("predictions.json", claims)

    @property
    def _folder(self) -> Path:
        """Where the person keeps what belongs to the migration."""
        [step] = self.prepared.plan.steps
        return alembic_config(self.prepared.plan).parent if step.scripts_known else folder_of(step)

    def _relfilenodes(self) -> dict[int, int]:
        """Before anything ran: what the tracer's later readings are compared with, to see rewrites."""
        url = self.prepared.services.database_url
        return read_relfilenodes(DatabaseUrl.parse(url)) if url else {}

    def _terminate(self, pids: Sequence[int]) -> None:
        """End the migration's backends; a database that does not answer has none left to end."""
        url = self.prepared.services.database_url
        if url is None:
            return
        try:
            terminate_backends(DatabaseUrl.parse(url), pids)
        except SetupError as error:
            log.warning("The migration's backends could not be ended: %s", error)
