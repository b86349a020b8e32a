"""The plan of one migration: what runs it, on which database, from where to where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.core.refusals import refuse_below, refuse_secret_in
from harness.core.timeouts import check_timeouts
from harness.errors import UsageError

__all__ = ["MigrationPlan"]


@dataclass(frozen=True)
class MigrationPlan:
    """One migration of a run: what runs it, on which database, from where to where.

    `name` tells several migrations of one run apart; it is empty where there is only one. A `command` takes
    the place of Alembic's own; `environment` is laid over the harness's for it.
    """

    name: str = ""
    alembic_config: str | None = None  # path; None: the reference service's own
    command: str | None = None
    rollback_command: str | None = None
    cwd: str | None = None
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    database_url: str | None = field(default=None, repr=False)  # None: the run's own database
    expect_from: str | None = None  # the revision the database must be at before
    upgrade: str = "head"
    downgrade: str | None = None
    lock_timeout: str | None = None  # as PostgreSQL writes it: 500ms, 2s
    statement_timeout: str | None = None
    retries: int = 0
    deadline_s: float = 1800.0

    @property
    def scripts_known(self) -> bool:
        """Whether Alembic's scripts can be read: a command alone does not tell where they are."""
        return self.command is None or self.alembic_config is not None

    def check(self) -> None:
        """Raise UsageError for what contradicts itself, naming the flag, and the migration by its name."""
        try:
            refuse_below("--migration-retries", self.retries, 0)
            refuse_below("--migration-deadline", self.deadline_s, 1.0, " seconds")
            check_timeouts(self.lock_timeout, self.statement_timeout, self.deadline_s)
            self._check_commands()
        except UsageError as error:
            if not self.name:
                raise
            raise UsageError(f"Migration {self.name}: {error.message}", error.remedy) from None

    def _check_commands(self) -> None:
        if self.command is None:
            self._check_without_command()
            return
        for flag, command in (
            ("--migration-command", self.command),
            ("--rollback-command", self.rollback_command or ""),
        ):
            refuse_secret_in(flag, command, "give it as a variable: --migration-env NAME")
        if self.downgrade and not self.rollback_command:
            raise UsageError(
                f"--downgrade {self.downgrade} is given, but not the command that rolls back.",
                "Add --rollback-command, or drop --downgrade.",
            )
        if self.rollback_command and not self.downgrade:
            raise UsageError(
                "--rollback-command is given, but not the revision it leads back to.",
                "Add --downgrade REV (base: no revision at all).",
            )
        if not self.scripts_known:
            self._check_targets()

    def _check_without_command(self) -> None:
        given = {
            "--rollback-command": self.rollback_command,
            "--migration-cwd": self.cwd,
            # One of several finds its own database by it; a lone one inherits what the harness has.
            "--migration-env": () if self.name else self.environment,
        }
        for flag, value in given.items():
            if value:
                raise UsageError(f"{flag} is given, but no --migration-command.", "Add it, or drop the flag.")

    def _check_targets(self) -> None:
        for flag, target in (
            ("--upgrade", self.upgrade),
            ("--downgrade", self.downgrade or ""),
            ("--expect-from", self.expect_from or ""),
        ):
            if "@" in target or re.search(r"[+-]\d+$", target):
                raise UsageError(
                    f"{flag} is {target!r}, which only the migration scripts can resolve.",
                    "Give a whole revision id, or add --alembic-config.",
                )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MigrationPlan:
        """One of a `plan.json` (its secrets stay masked); keys of newer versions are ignored."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["environment"] = tuple(tuple(pair) for pair in data.get("environment", ()))
        return cls(**values)
