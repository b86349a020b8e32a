"""Preparation: what can be refused is refused here, before any load, and nothing is touched first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from harness.clock import Sleep, utc_now
from harness.core.counted import counted
from harness.core.gates import check_gates
from harness.core.kill_points import halfway
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.db.guard import Identity, check_http_host
from harness.db.migrator import RELATIVE, DatabaseMigrator
from harness.db.observer_reads import OLDEST_SERVER
from harness.db.url import DatabaseUrl
from harness.errors import NothingToMigrate, SetupError, UsageError
from harness.run import machine
from harness.run.analysis import analyze
from harness.run.baseline import baseline_folder, check_baseline_run
from harness.run.commands import check_command, check_deploy, check_traceable, may_go_untraced
from harness.run.copies import SEEDED_ROWS, SeededCopies
from harness.run.databases import (
    Database,
    check_databases,
    check_replica,
    distinct,
    find_databases,
    lock_databases,
    lock_further,
)
from harness.run.drills import check_drills
from harness.run.ignoring import check_ignored
from harness.run.invariants import Invariants
from harness.run.preflight import preflight
from harness.run.rehearsal import Rehearsal
from harness.run.round_trip import RowsWatch
from harness.run.services import REFERENCE_ALEMBIC, Services, given_services, start_demo
from harness.run.starting_point import StartingPoint, check_starting_point
from harness.run.steps import Step, alembic_config, check_start, files_of, migration_order, steps_of
from harness.run.without_load import check_there_is_work, record_interruption
from harness.store import RunDirectory

__all__ = ["Prepared", "check", "check_server_version", "prepare", "upgrade_choices"]

Say = Callable[[str], None]


@dataclass
class Prepared:
    """A run that may start: its directory, what it drives, and everything to undo at its end.

    `databases` are the run's own, if it has one, and the others that its migrations change; `steps` the
    migrations in their order, none of a placebo; `rows` watches what a rollback has to bring back,
    `invariants` what must hold.
    """

    plan: Plan
    directory: RunDirectory
    services: Services
    databases: tuple[Database, ...]
    steps: tuple[Step, ...]
    undo: ExitStack = field(default_factory=ExitStack, repr=False)
    halfway: int | None = None  # the statement in the middle of a rehearsal, where a drill asks for it
    rows: RowsWatch = field(default_factory=lambda: RowsWatch(()), repr=False)
    invariants: Invariants = field(default_factory=lambda: Invariants({}, None), repr=False)

    def close(self) -> None:
        """Release the database and stop what was started. Idempotent."""
        self.undo.close()


def check(plan: Plan) -> None:
    """Refuse what is wrong in the plan itself: durations, gates, revisions, hosts. Touches nothing."""
    check_plan(plan)
    check_gates(plan)
    if plan.invariants and plan.host is not None and plan.service_database_url is None:
        raise UsageError("--invariant is given, but no database to ask.", "Set MUL_DATABASE_URL.")
    check_baseline_run(plan)
    if plan.host:
        check_http_host(
            plan.host,
            started_by_us=False,
            allow_hosts=plan.allow_host,
            allow_production=plan.allow_production,
        )
    check_databases(plan)
    check_drills(plan)
    check_deploy(plan)
    check_starting_point(plan)
    if plan.migrates:
        for step in plan.steps:
            check_command(step)
            _resolve_targets(step)


def prepare(plan: Plan, say: Say, sleep: Sleep = time.sleep, port: int | None = None) -> Prepared:
    """Check the plan, make the run directory, start or find the services, and take the database's run lock.

    `port` is where the reference service is to listen, a free one unless given.
    Raises a HarnessError; whatever had been started by then is stopped again. Nothing to migrate and an
    interruption leave a verdict behind, which says so.
    """
    check(plan)
    if plan.migrates:
        for step in plan.steps:
            check_traceable(plan, step)
    baseline = baseline_folder(plan)  # before `latest`, which may be it, is pointed to the new directory
    directory = RunDirectory.create(plan, utc_now())
    if baseline is not None:
        directory.keep_baseline_run(baseline)
    try:
        return _prepared(plan, directory, say, sleep, port)
    except NothingToMigrate:
        analyze(directory.path)
        raise
    except KeyboardInterrupt:
        record_interruption(directory, plan)
        analyze(directory.path)
        raise


def _prepared(plan: Plan, directory: RunDirectory, say: Say, sleep: Sleep, port: int | None) -> Prepared:
    with ExitStack() as undo:
        undo.callback(directory.mask_logs, plan.secrets)  # the last thing: whoever writes them has ended
        undo.callback(directory.close)
        services = _services(plan, directory, say, sleep, port)
        undo.callback(services.stop)
        own, run_id = services.database_url, directory.run_id
        start = StartingPoint(plan, services, directory, say, sleep)
        start.recreate(undo)
        undo.enter_context(lock_databases(distinct(find_databases(plan, own, run_id)), run_id))
        start.fill()
        found = find_databases(plan, own, run_id)  # anew, for the command may have made them anew
        databases = distinct(found)
        for database in databases:
            check_server_version(database.identity)
        identity = databases[0].identity if own is not None else None
        if services.replica_url is not None and identity is not None:
            check_replica(services.replica_url, identity)
        directory.write_json(
            "environment.json", machine.describe(own, identity, services.image, _cache(services, say))
        )
        steps = tuple(steps_of(plan, own, found))
        undo.enter_context(lock_further([(step.url, step.allowed) for step in steps], run_id))
        for step in steps:
            _look_ahead(plan, step, services, directory, sleep)
            check_start(step.plan, step.migrator)
        check_there_is_work(plan, steps, directory)
        for step in steps:
            if step.plan.scripts_known:
                check_ignored(files_of(step.plan, step.migrator))
        invariants = Invariants.of(plan, own)
        halfway = _halfway(plan, steps, services, directory, say, sleep)
        rows = RowsWatch.of([step.database for step in steps if step.plan.downgrade], say)
        return Prepared(
            plan, directory, services, databases, steps, undo.pop_all(), halfway, rows, invariants
        )


def check_server_version(identity: Identity | None) -> None:
    """Refuse (UsageError) a server that cannot be observed."""
    if identity is not None and identity.server_version < OLDEST_SERVER:
        raise UsageError(
            f"PostgreSQL {identity.server_version // 10000} is too old, 14 is the least: before it no server "
            "tells since when a session waits for a lock (pg_locks.waitstart).",
            "Run it on a copy of the database on PostgreSQL 14 or newer.",
        )


def _resolve_targets(step: MigrationPlan) -> None:
    """Refuse a revision that does not exist, or two heads where one is asked for, from the scripts alone."""
    if not step.scripts_known:
        return
    history = DatabaseMigrator(None, alembic_config=alembic_config(step))
    for target in filter(None, (step.upgrade, step.downgrade)):
        if not RELATIVE.fullmatch(target):  # +1 and -1 count from where the database is
            history.resolve(target)


def _services(plan: Plan, directory: RunDirectory, say: Say, sleep: Sleep, port: int | None) -> Services:
    if plan.host:
        return given_services(plan, sleep)
    say(f"starting PostgreSQL and the reference service with {plan.rows:,} documents")
    return start_demo(plan, directory, sleep, port)


def _cache(services: Services, say: Say) -> dict[str, str] | None:
    """The reference service's cache for the record; says where there is none though one was wanted."""
    if services.cache is None:
        return None
    if services.cache.why_not:
        say(f"no cache, LISTEN/NOTIFY instead: {services.cache.why_not}")
    return services.cache.described


def _look_ahead(plan: Plan, step: Step, services: Services, directory: RunDirectory, sleep: Sleep) -> None:
    """Run the environment once, unless it is the reference service's, which is known to work."""
    planned = step.plan
    if planned.command is None and alembic_config(planned).resolve() == REFERENCE_ALEMBIC.resolve():
        return
    name = f"preflight-{planned.name}" if planned.name else "preflight"
    order = migration_order(step, "upgrade", services, directory, name)
    target = planned.upgrade if planned.scripts_known else None
    untraced = may_go_untraced(plan, planned)
    preflight(order, step.migrator, target, DatabaseUrl.parse(step.url), sleep, untraced, step.allowed)


def _halfway(
    plan: Plan,
    steps: Sequence[Step],
    services: Services,
    directory: RunDirectory,
    say: Say,
    sleep: Sleep,
) -> int | None:
    """The statement in the middle of the migration, by a rehearsal; None where no drill asks for it."""
    asked = any(d.name == "kill-migrator" and d.where in ("", "p50") for d in plan.planned_drills)
    if not asked or services.server is None:
        return None
    say("rehearsing the migration on a copy, to find the middle of its statements")
    copies = SeededCopies(services.server.url, min(plan.rows, SEEDED_ROWS), directory.log("copy-seed"))
    order = migration_order(steps[0], "upgrade", services, directory, "copy")
    rehearsed = Rehearsal(order, plan.upgrade, sleep).upgrade(copies.fresh(), counted=True)
    if rehearsed.code != 0 or not rehearsed.trace.migration_statements:
        raise SetupError(
            f"The rehearsal of the migration ended with exit code {rehearsed.code} and"
            f" {counted(len(rehearsed.trace.migration_statements), 'statement')}.",
            "Say where to kill it: --drill kill-migrator@statement=N.",
        )
    services.server.settle()  # as after the seed: what is written back later would stall the baseline
    return halfway(rehearsed.trace)


def upgrade_choices(plan: Plan) -> tuple[str, ...]:
    """What a person may choose to upgrade to in the web page; the plan's own target comes first."""
    [step, *_] = plan.steps
    if plan.migrations or not (plan.migrates and step.scripts_known):
        return (plan.upgrade,)
    targets = DatabaseMigrator(None, alembic_config=alembic_config(step)).targets()
    return tuple(dict.fromkeys((plan.upgrade, *targets)))
