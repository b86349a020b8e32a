"""One prepared run, from its first event to its verdict, however it ends."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.clock import Sleep, monotonic, utc_now
from harness.core.events import Kind
from harness.core.invariants import When
from harness.core.migration_plan import MigrationPlan
from harness.core.reached import elsewhere
from harness.core.record import FinalRead
from harness.core.trace_fold import build
from harness.core.verdict import Verdict
from harness.db.catalog import read_schema
from harness.db.migration import MigrationChild, read_relfilenodes, terminate_backends
from harness.db.migrator import Direction
from harness.db.squawk import predict
from harness.db.stored import StoredRecords
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError, SetupError
from harness.report.view import View
from harness.run.analysis import analyze
from harness.run.announcer import Announcer
from harness.run.commands import folder_of, may_go_untraced
from harness.run.controller import Controller, Load
from harness.run.deploy import deploy_of
from harness.run.drill_plan import migration_drill, rollback_drill, walk_drill
from harness.run.drills import MigrationDrill
from harness.run.episode import EpisodeRun, PlaceboEpisode
from harness.run.ignoring import ignored_by
from harness.run.migration_child import Child
from harness.run.migration_episode import MigrationEpisode
from harness.run.observing import Observing, observers_of
from harness.run.preparation import Prepared
from harness.run.progress import Progress
from harness.run.schedule import Tools, drilling_of
from harness.run.steps import Step, alembic_config, known_as, migration_order, revisions_named, target_of
from harness.store import part_of

__all__ = ["Finished", "Session"]

log = logging.getLogger("harness")

OPERATOR = ("operator", "correct horse battery staple")
"""The reference service's account that may announce migrations, and its seeded password."""


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
    return StoredRecords(url, prepared.directory.run_id).complete


class Session:
    """`run()` blocks until the run is recorded and judged; `stop()` is called from elsewhere meanwhile."""

    def __init__(
        self, prepared: Prepared, load: Load, sleep: Sleep, progress: Callable[[Progress], None]
    ) -> None:
        self.prepared = prepared
        self.zero = monotonic()
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
            entered=self._entered,
        )
        self._announcer = (
            Announcer(prepared.services.host, *OPERATOR, self.controller.note, self.zero)
            if prepared.services.ours
            else None
        )
        self._observing = Observing(observers_of(prepared, self.zero), self.controller.note)
        self._sleep = sleep
        self._rollback = rollback_drill(prepared, self.controller.note)
        self._episodes = self._plan_episodes()
        self._tools = Tools(
            prepared,
            self.controller.note,
            load,
            backends=lambda: tuple(self._observing.backends("")),
            measure=self._observing.measure,
            sleep=sleep,
        )

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
            prepared.invariants.note_before(self.controller.note)
            walk = walk_drill(prepared, self.controller.note, self._sleep)
            drilling = drilling_of(self._tools, self._episodes)
            deploy = deploy_of(prepared, self.controller.note, self._observing.measure, self._sleep)
            self.controller.run(self._episodes, walk, drilling, deploy)
        except Exception as error:
            log.exception("The run broke off; what was recorded is judged.")
            self.controller.note(Kind.STOP, cause=f"the harness failed: {type(error).__name__}")
        finally:
            self._clean_up()
        self._predict()
        verdict, view = analyze(prepared.directory.path)
        return Finished(verdict.exit_code, verdict, view, prepared.directory.path)

    def _entered(self, phase: str) -> None:
        """Look at what must hold and what a rollback has to bring back, which is a drill if the plan says."""
        self._look_at_the_database(phase)
        if self._rollback and phase == "rollback_launch":
            self._rollback.begin()
        elif self._rollback and phase == "final_read" and self._rollback.began_at is not None:
            self._rollback.end(done=True)

    def _look_at_the_database(self, phase: str) -> None:
        prepared, now, note = self.prepared, self.controller.now, self.controller.note
        try:
            if phase == "launch":
                prepared.rows.launch(now)
            elif phase == "migrated":
                prepared.rows.migrated()
            elif phase == "rollback_launch":
                prepared.rows.launch_back()
                prepared.invariants.ask(When.UPGRADED, note)
            elif phase == "final_read":
                prepared.rows.end(now, prepared.directory)
                prepared.invariants.ask(When.END, note)
        except Exception:
            log.exception("What the database holds could not be looked at; the run goes on.")

    def _clean_up(self) -> None:
        """Stop what was started; what cannot be stopped or removed costs a warning, not the verdict."""
        for end in (self._stop_observing, self._stop_announcing, self._keep_database, self.prepared.close):
            try:
                end()
            except (HarnessError, OSError) as error:
                log.warning("%s", error)
            except Exception:
                log.exception("What was started could not all be stopped.")

    def _stop_observing(self) -> None:
        self._observing.stop(self._sleep)

    def _stop_announcing(self) -> None:
        if self._announcer:
            self._announcer.close()

    def _keep_database(self) -> None:
        if self.prepared.plan.keep_database and self.prepared.services.ours:
            kept = self.prepared.services.keep_database()
            log.warning("The database is kept until the next run: %s", kept)

    def _plan_episodes(self) -> list[EpisodeRun]:
        """The upgrades in the plan's order, then what is rolled back of them, the last first."""
        if self.prepared.plan.placebo:
            return [PlaceboEpisode(self.controller.note)]
        steps = self.prepared.steps
        orders: list[tuple[Step, Direction]] = [(step, "upgrade") for step in steps]
        orders += [(step, "downgrade") for step in reversed(steps) if step.plan.downgrade]
        return [self._episode(number, *order) for number, order in enumerate(orders, 1)]

    def _episode(self, number: int, step: Step, direction: Direction) -> MigrationEpisode:
        plan, planned, key = self.prepared.plan, step.plan, step.database.key
        target = target_of(planned, direction)
        note, keep_schema = self.controller.note, partial(self._write_schema, step, direction)
        terminate = partial(_terminate, step)
        drill = migration_drill(self.prepared, step, direction, note, terminate, keep_schema)
        return MigrationEpisode(
            number,
            direction,
            target,
            child=lambda attempt: self._child(number, attempt, step, direction, drill),
            again=drill.again if drill else lambda _: False,
            terminate=terminate,
            revisions=step.migrator.current,
            tables=lambda records: step.migrator.tables(build(records)),
            elsewhere=lambda records: elsewhere(build(records), step.database.identity.database),
            relfilenodes=lambda: read_relfilenodes(DatabaseUrl.parse(step.url)),
            read_schema=lambda when: self._write_schema(step, direction, when),
            observe=partial(self._observing.migrating, key),
            seen=partial(self._observing.backends, key),
            must_announce=planned.command is not None and not may_go_untraced(plan, planned),
            resolve=lambda: (
                None if target is None else revisions_named(planned, step.migrator, target, direction)
            ),
            ignored=lambda: _ignored(step, direction),
            note=note,
            announce=self._announcer.announce if self._announcer else lambda *_, **__: None,
            zero=self.zero,
            sleep=self._sleep,
            retries=planned.retries,
            deadline_s=planned.deadline_s,
            known_as=known_as(step, plan.several),
        )

    def _child(
        self, number: int, attempt: int, step: Step, direction: Direction, drill: MigrationDrill | None
    ) -> Child:
        prepared = self.prepared
        name = f"migration-{number}" + (f"-attempt-{attempt}" if attempt > 1 else "")

        def make(variables: Mapping[str, str], more: str) -> MigrationChild:
            order = migration_order(step, direction, prepared.services, prepared.directory, name + more)
            return MigrationChild(
                replace(order, environment={**order.environment, **variables}),
                spawn=partial(self._spawn_migration, step.database.key),
            )

        return drill.child(attempt, make) if drill else make({}, "")

    def _spawn_migration(self, database: str, *command: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(*command, **options)
        self._observing.measure("migration", process.pid, database)
        return process

    def _write_schema(self, step: Step, direction: Direction, when: str) -> None:
        """Around the only migration its schema is what the upgrade left when the rollback begins; another of
        several may have changed it since.
        """
        file = f"catalog_{when}{'_rollback' if direction == 'downgrade' else ''}.json"
        if self.prepared.plan.several:
            file = f"{part_of(step.plan.name)}{file}"
        elif file == "catalog_before_rollback.json":
            return
        state = read_schema(DatabaseUrl.parse(step.url), self.controller.now)
        self.prepared.directory.write_json(file, asdict(state))

    def _predict(self) -> None:
        """What a linter would have said of each upgrade's statements; nothing where there is no linter."""
        upgrades = [e for e in self._episodes if isinstance(e, MigrationEpisode) and e.direction == "upgrade"]
        for step, episode in zip(self.prepared.steps, upgrades, strict=True):
            statements = [
                {"n": statement.n, "sql": statement.sql, "transaction": statement.transaction}
                for statement in build(episode.records).migration_statements
            ]
            if not statements:
                continue
            claims = predict(statements, _folder(step.plan), step.database.identity.server_version)
            if claims is not None:
                part = part_of(step.plan.name) if self.prepared.plan.several else ""
                self.prepared.directory.write_json(f"{part}predictions.json", claims)


def _ignored(step: Step, direction: Direction) -> Mapping[str, str]:
    target = target_of(step.plan, direction)
    if target is None or not step.plan.scripts_known:
        return {}
    return ignored_by(step.migrator.files(target, direction))


def _folder(planned: MigrationPlan) -> Path:
    """Where the person keeps what belongs to the migration."""
    return alembic_config(planned).parent if planned.scripts_known else folder_of(planned)


def _terminate(step: Step, pids: Sequence[int]) -> None:
    """End the migration's backends; a database that does not answer has none left to end."""
    try:
        terminate_backends(DatabaseUrl.parse(step.url), pids, [other.database for other in step.allowed])
    except SetupError as error:
        log.warning("The migration's backends could not be ended: %s", error)
