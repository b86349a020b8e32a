"""Preparation: what can be refused is refused here, before any load, and nothing is touched first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import Sleep, utc_now
from harness.core.events import Event, Kind
from harness.core.gates import check_gates
from harness.core.plan import MigrationPlan, Plan
from harness.core.secrets import mask
from harness.db.guard import (
    Identity,
    RunLock,
    check_database,
    check_http_host,
    connect,
    identify,
    identify_further,
)
from harness.db.migration import MigrationOrder, expectation
from harness.db.migrator import RELATIVE, DatabaseMigrator, Direction
from harness.db.observer_reads import OLDEST_SERVER
from harness.db.url import DatabaseUrl
from harness.errors import NothingToMigrate, UsageError
from harness.run import machine
from harness.run.analysis import analyze
from harness.run.commands import check_command, check_traceable, command_words, folder_of, prepare_database
from harness.run.ignoring import check_ignored
from harness.run.preflight import preflight
from harness.run.services import REFERENCE_ALEMBIC, Services, given_services, start_demo
from harness.store import RunDirectory

__all__ = [
    "Prepared",
    "alembic_config",
    "check",
    "migration_order",
    "prepare",
    "revisions_named",
    "target_of",
    "upgrade_choices",
]

Say = Callable[[str], None]


@dataclass
class Prepared:
    """A run that may start: its directory, what it drives, and everything to undo at its end."""

    plan: Plan
    directory: RunDirectory
    services: Services
    migrator: DatabaseMigrator | None
    identity: Identity | None
    allowed: tuple[Identity, ...] = ()  # the databases the migration may go to, that one among them
    undo: ExitStack = field(default_factory=ExitStack, repr=False)

    def close(self) -> None:
        """Release the database and stop what was started. Idempotent."""
        self.undo.close()


def check(plan: Plan) -> None:
    """Refuse what is wrong in the plan itself: durations, gates, revisions, hosts. Touches nothing."""
    plan.check()
    check_gates(plan)
    if plan.host:
        check_http_host(
            plan.host,
            started_by_us=False,
            allow_hosts=plan.allow_host,
            allow_production=plan.allow_production,
        )
    if plan.database_url:
        check_database(
            DatabaseUrl.parse(plan.database_url),
            started_by_us=False,
            allow_hosts=plan.allow_host,
            allow_databases=plan.allow_database,
            allow_production=plan.allow_production,
        )
    if plan.prepare is not None:
        command_words(plan.prepare)
    if plan.migrates:
        for step in plan.steps:
            check_command(step)
        _resolve_targets(plan)


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
    directory = RunDirectory.create(plan, utc_now())
    try:
        return _prepared(plan, directory, say, sleep, port)
    except NothingToMigrate:
        analyze(directory.path)
        raise
    except KeyboardInterrupt:
        _record(directory, [*_start(directory, plan), *_end("interrupted before the load", complete=False)])
        analyze(directory.path)
        raise


def _prepared(plan: Plan, directory: RunDirectory, say: Say, sleep: Sleep, port: int | None) -> Prepared:
    with ExitStack() as undo:
        undo.callback(directory.mask_logs, plan.secrets)  # the last thing: whoever writes them has ended
        undo.callback(directory.close)
        services = _services(plan, directory, say, sleep, port)
        undo.callback(services.stop)
        if services.database_url is not None:
            undo.callback(RunLock.acquire(DatabaseUrl.parse(services.database_url), directory.run_id).release)
        _run_prepare_command(plan, services, directory, say)
        identity, *further = _identities(plan, services, directory)
        check_server_version(identity)
        directory.write_json("environment.json", machine.describe(services.database_url, identity))
        migrator = _migrator(plan, services)
        allowed = tuple(filter(None, (identity, *further)))
        if migrator is not None:
            [step] = plan.steps
            _look_ahead(plan, step, services, directory, migrator, allowed, sleep)
            _check_start(step, migrator)
            if step.scripts_known:
                _check_there_is_work(plan, migrator, directory)
                check_ignored(_files(plan, migrator))
        return Prepared(plan, directory, services, migrator, identity, allowed, undo.pop_all())


def alembic_config(plan: Plan) -> Path:
    """The Alembic configuration of the plan's migration."""
    return Path(plan.alembic_config) if plan.alembic_config else REFERENCE_ALEMBIC


def _check_start(step: MigrationPlan, migrator: DatabaseMigrator) -> None:
    """Refuse (UsageError) a database that is not where `expect_from` says it is."""
    if step.expect_from is None:
        return
    current = set(migrator.current())
    names = [name.strip() for name in step.expect_from.split(",")]
    expected = {one for name in names for one in revisions_named(step, migrator, name)}
    if current != expected:
        raise UsageError(
            f"The database is at {', '.join(sorted(current)) or 'base'}, not at {step.expect_from} as"
            " --expect-from says.",
            "Restore a database of the release before, or stamp it, with --prepare CMD; or correct the flag.",
        )


def revisions_named(
    step: MigrationPlan, migrator: DatabaseMigrator, target: str, direction: Direction = "upgrade"
) -> tuple[str, ...]:
    """The revisions a target names; without scripts it is the revision itself, or base."""
    if step.scripts_known:
        return migrator.resolve(target, direction)
    return () if target == "base" else (target,)


def target_of(step: MigrationPlan, direction: Direction) -> str | None:
    """Where a step leads; None where only its command knows."""
    if direction == "downgrade":
        return step.downgrade
    unnamed = step.upgrade in ("head", "heads") and not step.scripts_known
    return None if unnamed else step.upgrade


def check_server_version(identity: Identity | None) -> None:
    """Refuse (UsageError) a server that cannot be observed."""
    if identity is not None and identity.server_version < OLDEST_SERVER:
        raise UsageError(
            f"PostgreSQL {identity.server_version // 10000} is too old, 14 is the least: before it no server "
            "tells since when a session waits for a lock (pg_locks.waitstart).",
            "Run it on a copy of the database on PostgreSQL 14 or newer.",
        )


def _resolve_targets(plan: Plan) -> None:
    """Refuse a revision that does not exist, or two heads where one is asked for, from the scripts alone."""
    [step] = plan.steps
    if not step.scripts_known:
        return
    history = DatabaseMigrator(None, alembic_config=alembic_config(plan))
    for target in filter(None, (plan.upgrade, plan.downgrade)):
        if not RELATIVE.fullmatch(target):  # +1 and -1 count from where the database is
            history.resolve(target)


def _services(plan: Plan, directory: RunDirectory, say: Say, sleep: Sleep, port: int | None) -> Services:
    if plan.host:
        return given_services(plan, sleep)
    say(f"starting PostgreSQL and the reference service with {plan.rows:,} documents")
    return start_demo(plan, directory, sleep, port)


def _identities(plan: Plan, services: Services, directory: RunDirectory) -> list[Identity | None]:
    """Which database it is, so that the migration can be held to it, None when none is given; after it the
    other databases of its server that may be migrated."""
    if services.database_url is None:
        return [None]
    url = DatabaseUrl.parse(services.database_url)
    with connect(url, f"migrate-under-load {directory.run_id}") as connection:
        return [
            identify(connection),
            *identify_further(connection, plan.allow_database, allow_production=plan.allow_production),
        ]


def _look_ahead(
    plan: Plan,
    step: MigrationPlan,
    services: Services,
    directory: RunDirectory,
    migrator: DatabaseMigrator,
    allowed: Sequence[Identity],
    sleep: Sleep,
) -> None:
    """Run the environment once, unless it is the reference service's, which is known to work."""
    reference = step.command is None and alembic_config(plan).resolve() == REFERENCE_ALEMBIC.resolve()
    if services.database_url is None or reference:
        return
    order = migration_order(plan, step, "upgrade", services, directory, "preflight", expectation(*allowed))
    target = step.upgrade if step.scripts_known else None
    preflight(order, migrator, target, DatabaseUrl.parse(services.database_url), sleep)


def migration_order(
    plan: Plan,
    step: MigrationPlan,
    direction: Direction,
    services: Services,
    directory: RunDirectory,
    name: str,
    expect_database: str | None,
) -> MigrationOrder:
    """What a step's process runs; its trace and its output are called `name`."""
    own = step.command if direction == "upgrade" else step.rollback_command
    url = services.database_url
    environment = {**services.environment, **({"MUL_DATABASE_URL": url} if url else {})}
    return MigrationOrder(
        direction,
        target_of(step, direction) or "",
        alembic_config(plan) if step.scripts_known else None,
        run_id=directory.run_id,
        trace_file=directory.path / "logs" / f"{name}.trace",
        log_file=directory.log(name),
        environment={**environment, **dict(step.environment)},
        lock_timeout=plan.lock_timeout,
        statement_timeout=plan.statement_timeout,
        expect_database=expect_database,
        own_command=command_words(own) if own else (),
        folder=folder_of(step),
    )


def _run_prepare_command(plan: Plan, services: Services, directory: RunDirectory, say: Say) -> None:
    if plan.prepare is None:
        return
    say(f"preparing: {mask(plan.prepare)}")
    url = services.database_url
    environment = {**services.environment, **({"MUL_DATABASE_URL": url} if url else {})}
    prepare_database(plan.prepare, environment, directory.log("prepare"))


def _migrator(plan: Plan, services: Services) -> DatabaseMigrator | None:
    if not plan.migrates or services.database_url is None:
        return None
    [step] = plan.steps
    config = alembic_config(plan) if step.scripts_known else None
    return DatabaseMigrator(services.database_url, alembic_config=config)


def _files(plan: Plan, migrator: DatabaseMigrator) -> tuple[Path, ...]:
    """The script files of what will be run, and of what the rollback will undo."""
    files = migrator.files(plan.upgrade)
    if plan.downgrade:
        files += migrator.files(plan.downgrade, "downgrade", start=migrator.after(plan.upgrade))
    return files


def _check_there_is_work(plan: Plan, migrator: DatabaseMigrator, directory: RunDirectory) -> None:
    """Raise NothingToMigrate, after recording a run in which nothing was there to migrate."""
    if migrator.needs_migration(plan.upgrade):
        return
    revisions = list(migrator.current())
    nothing = _nothing(plan, revisions)
    _record(directory, [*_start(directory, plan), *nothing, *_end("nothing to migrate", complete=True)])
    where = ", ".join(revisions) or "base"
    raise NothingToMigrate(
        f"The database already is at {where}: upgrade {plan.upgrade} has nothing to do.",
        "Restore a database of the release before, or stamp it, with --prepare CMD.",
    )


Noted = tuple[str, dict[str, Any]]


def _record(directory: RunDirectory, events: Sequence[Noted]) -> None:
    """Write the events of a run whose load never began."""
    for kind, data in events:
        directory.append_event(Event(0.0, kind, data))
    directory.close()


def _start(directory: RunDirectory, plan: Plan) -> list[Noted]:
    return [(Kind.RUN_START, {"run_id": directory.run_id, "monotonic": 0.0, "seed": plan.seed})]


def _end(cause: str, complete: bool) -> list[Noted]:
    return [(Kind.STOP, {"cause": cause}), (Kind.RUN_END, {"complete": complete})]


def _nothing(plan: Plan, revisions: list[str]) -> list[Noted]:
    episode = {"episode": 1, "direction": "upgrade"}
    begin = {"target": plan.upgrade, "revisions_before": revisions, "attempt": 1}
    end = {"status": "nothing", "revisions_after": revisions, "reached": True}
    return [(Kind.MIGRATION_BEGIN, {**episode, **begin}), (Kind.MIGRATION_END, {**episode, **end})]


def upgrade_choices(plan: Plan) -> tuple[str, ...]:
    """What a person may choose to upgrade to in the web page; the plan's own target comes first."""
    if not (plan.migrates and plan.steps[0].scripts_known):
        return (plan.upgrade,)
    targets = DatabaseMigrator(None, alembic_config=alembic_config(plan)).targets()
    return tuple(dict.fromkeys((plan.upgrade, *targets)))
