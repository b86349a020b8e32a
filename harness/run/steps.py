"""A step of a run: one of its migrations, with its database and what is known of its scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import Identity
from harness.db.migration import MigrationOrder, expectation
from harness.db.migrator import DatabaseMigrator, Direction
from harness.errors import UsageError
from harness.run.commands import command_words, folder_of
from harness.run.databases import Database
from harness.run.services import REFERENCE_ALEMBIC, Services
from harness.store import RunDirectory

__all__ = [
    "Step",
    "alembic_config",
    "check_start",
    "files_of",
    "known_as",
    "may_have_work",
    "migration_order",
    "revisions_named",
    "steps_of",
    "target_of",
]


@dataclass(frozen=True)
class Step:
    """One migration of a run that may start. `url` is its own way to `database`, perhaps in another role;
    `allowed` are all databases that it may go to, that one first.
    """

    plan: MigrationPlan
    database: Database
    url: str = field(repr=False)
    migrator: DatabaseMigrator
    allowed: tuple[Identity, ...]


def steps_of(plan: Plan, own: str | None, found: Mapping[str, Database]) -> Iterator[Step]:
    """The plan's migrations; none may go to the database that is another's own."""
    for step in plan.steps if plan.migrates else ():
        text = step.database_url or own
        if text is not None:
            config = alembic_config(step) if step.scripts_known else None
            migrator = DatabaseMigrator(text, alembic_config=config)
            others = [other for other in found.values() if other is not found[text]]
            further = [
                identity
                for identity in found[text].further
                if not any(other.is_at(identity) for other in others)
            ]
            yield Step(step, found[text], text, migrator, (found[text].identity, *further))


def alembic_config(step: MigrationPlan) -> Path:
    """The Alembic configuration of a migration."""
    return Path(step.alembic_config) if step.alembic_config else REFERENCE_ALEMBIC


def target_of(step: MigrationPlan, direction: Direction) -> str | None:
    """Where a step leads; None where only its command knows."""
    if direction == "downgrade":
        return step.downgrade
    unnamed = step.upgrade in ("head", "heads") and not step.scripts_known
    return None if unnamed else step.upgrade


def revisions_named(
    step: MigrationPlan, migrator: DatabaseMigrator, target: str, direction: Direction = "upgrade"
) -> tuple[str, ...]:
    """The revisions a target names; without scripts it is the revision itself, or base."""
    if step.scripts_known:
        return migrator.resolve(target, direction)
    return () if target == "base" else (target,)


def check_start(step: MigrationPlan, migrator: DatabaseMigrator) -> None:
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


def files_of(step: MigrationPlan, migrator: DatabaseMigrator) -> tuple[Path, ...]:
    """The script files of what will be run, and of what the rollback will undo."""
    files = migrator.files(step.upgrade)
    if step.downgrade:
        files += migrator.files(step.downgrade, "downgrade", start=migrator.after(step.upgrade))
    return files


def may_have_work(step: Step) -> bool:
    return not step.plan.scripts_known or bool(step.migrator.needs_migration(step.plan.upgrade))


def known_as(step: Step, several: bool) -> dict[str, Any]:
    """What tells the events of a migration from those of others: its name, and another database's key; and
    the oid of its own database, for its tracer may tell of further ones.
    """
    key, oid = step.database.key, step.database.identity.database_oid
    name = {"name": step.plan.name} if several else {}
    return {**name, **({"database": key} if key else {}), "database_oid": oid}


def migration_order(
    step: Step, direction: Direction, services: Services, directory: RunDirectory, name: str
) -> MigrationOrder:
    """What a step's process runs; its trace and its output are called `name`."""
    planned = step.plan
    own = planned.command if direction == "upgrade" else planned.rollback_command
    environment = {**services.environment, "MUL_DATABASE_URL": step.url}
    return MigrationOrder(
        direction,
        target_of(planned, direction) or "",
        alembic_config(planned) if planned.scripts_known else None,
        run_id=directory.run_id,
        trace_file=directory.path / "logs" / f"{name}.trace",
        log_file=directory.log(name),
        environment={**environment, **dict(planned.environment)},
        lock_timeout=planned.lock_timeout,
        statement_timeout=planned.statement_timeout,
        expect_database=expectation(*step.allowed),
        own_command=command_words(own) if own else (),
        folder=folder_of(planned),
    )
