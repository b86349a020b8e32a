"""The options that Locust has read: the plan they make, and what of them must not travel on.

Locust reads a run's flags from several places (`load/arguments.py`); only here is it seen what they come to.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from harness.core.durations import parse_duration
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.core.plan_file import NO_FILE, PlanFile
from harness.core.plan_keys import KEYS, MIGRATION
from harness.core.secrets import is_secret
from harness.environ import variable
from harness.errors import UsageError
from harness.load.arguments import our_parser

__all__ = ["plan_from", "plan_of_form", "strip_secrets"]

_URLS = {"--database-url": "MUL_DATABASE_URL", "--replica-url": "MUL_REPLICA_URL"}
"""Flags that take the URL of a database, and where one with a password belongs."""

SAFE_BRANCH = "safe@head"
"""What the reference service is upgraded to by default."""

SEEDED_AT = "v1"
"""The revision that it is seeded at."""


def plan_from(
    options: Namespace, argv: Sequence[str], file: PlanFile = NO_FILE, *, shape: str | None = None
) -> Plan:
    """The plan that Locust's parsed `options` make, checked. Raises UsageError, naming the flag.

    `argv` is the command line without the program; `file` the plan file whose defaults the options have;
    `shape` the name of the locustfile's load shape.
    """
    _refuse_password_in(argv)
    _check_file(options, file)
    if options.run_time:
        raise UsageError(
            "--run-time is given, but the phases of the run decide how long it lasts.",
            "Drop it, and give --warmup-time, --baseline-time and --recover-time.",
        )
    plan = Plan(
        host=options.host or None,
        database_url=options.database_url or file.database_url(variable),
        replica_url=options.replica_url or None,
        alembic_config=options.alembic_config or None,
        upgrade=options.upgrade or _default_upgrade(options),
        downgrade=options.downgrade or _default_downgrade(options),
        expect_from=options.expect_from or None,
        placebo=options.placebo,
        prepare=options.prepare or None,
        from_dump=options.from_dump or None,
        recreate_database=options.recreate_database,
        users=options.num_users,
        spawn_rate=options.spawn_rate,
        target_rate=options.target_rate or None,
        arrivals=options.arrivals,
        phase_rates=tuple(options.phase_rate),
        max_in_flight=options.max_in_flight or None,
        accounts=options.accounts or None,
        shape=shape,
        **_phase_times(options),
        probe_s=parse_duration(options.probe_time, "--probe-time"),
        drain_s=parse_duration(options.drain_time, "--drain-time"),
        migration_command=options.migration_command or None,
        rollback_command=options.rollback_command or None,
        migration_cwd=options.migration_cwd or None,
        migration_environment=tuple(_variable(given) for given in options.migration_env),
        lock_timeout=options.lock_timeout or None,
        statement_timeout=options.statement_timeout or None,
        migration_retries=options.migration_retries,
        migration_deadline_s=parse_duration(options.migration_deadline, "--migration-deadline"),
        migrations=file.migrations(variable),
        deploy_when=options.deploy_when or ("after" if options.deploy else None),
        deploy_command=options.deploy or None,
        deploy_deadline_s=parse_duration(options.deploy_deadline, "--deploy-deadline"),
        drills=tuple(options.drill),
        gates=tuple(options.gate),
        no_gates=tuple(options.no_gate),
        required=tuple(options.require),
        ignore=tuple(options.ignore),
        invariants=tuple(options.invariant),
        baseline_run=options.baseline_run or None,
        rows=options.rows,
        instances=options.instances,
        services=options.services,
        postgres_image=options.postgres_image or None,
        postgres_dockerfile=options.postgres_dockerfile or None,
        postgres_version=options.postgres_version or None,
        postgres_bin=options.postgres_bin or None,
        cache=options.cache,
        keep_database=options.keep_database,
        standby=options.standby,
        allow_host=tuple(options.allow_host),
        allow_database=tuple(options.allow_database),
        allow_untraced_database=tuple(options.allow_untraced_database),
        allow_production=options.allow_production,
        allow_drill=tuple(options.allow_drill),
        run_root=options.run_dir,
    )
    check_plan(plan)
    return plan


def _check_file(options: Namespace, file: PlanFile) -> None:
    """Refuse what would be silently without effect: a plan file found too late, flags for one of many."""
    if options.plan and options.plan != file.path:
        raise UsageError(
            f"--plan {options.plan} stands in a configuration file of Locust's.",
            "Give it on the command line, or as MUL_PLAN.",
        )
    if not file.entries:
        return
    without = our_parser()
    for key in KEYS:
        listed = key.section == MIGRATION and key.flag is not None
        if listed and getattr(options, key.dest) != without.get_default(key.dest):
            raise UsageError(
                f"{key.flag} is given, but {file.path} lists several migrations, each with its own.",
                f"Write {key.name} into its [[migration]].",
            )


def plan_of_form(plan: Plan, options: Namespace, upgrade_choices: Sequence[str]) -> Plan:
    """`plan` with what the web page's start form may set; raises UsageError as `plan_from` does."""
    upgrade = options.upgrade or plan.upgrade
    _refuse_other_than(upgrade, upgrade_choices)
    changed = replace(
        plan,
        users=options.num_users,
        spawn_rate=options.spawn_rate,
        upgrade=upgrade,
        **_phase_times(options),
    )
    check_plan(changed)
    return changed


def _phase_times(options: Namespace) -> dict[str, Any]:
    return {
        "warmup_s": parse_duration(options.warmup_time, "--warmup-time"),
        "baseline_s": parse_duration(options.baseline_time, "--baseline-time"),
        "recover_s": parse_duration(options.recover_time, "--recover-time"),
    }


def _refuse_other_than(upgrade: str, choices: Sequence[str]) -> None:
    if upgrade not in choices:
        raise UsageError(f"--upgrade is {upgrade!r}.", f"Give one of: {', '.join(choices)}.")


def strip_secrets(options: Namespace) -> None:
    """Take out what must not travel to workers or to the web page, once the plan is made."""
    options.database_url = options.replica_url = None
    options.migration_env = []
    for command in ("prepare", "migration_command", "rollback_command", "deploy"):
        setattr(options, command, None)  # a command line may hold anything
    options.invariant = []


def _default_upgrade(options: Namespace) -> str:
    return "head" if _own(options) else SAFE_BRANCH


def _default_downgrade(options: Namespace) -> str | None:
    """A drill on the rollback asks for one; of the reference service it is known where it begins."""
    return SEEDED_AT if "rollback" in options.drill and not _own(options) else None


def _own(options: Namespace) -> bool:
    """Whether the migration is the person's own."""
    return bool(options.host or options.alembic_config or options.migration_command)


def _variable(given: str) -> tuple[str, str]:
    """A variable of `--migration-env`: `NAME=VALUE`, or `NAME` with the value it has here."""
    name, has_value, value = given.partition("=")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError(
            "--migration-env has what is not a variable's name.", "Write --migration-env NAME=VALUE."
        )
    found = value if has_value else variable(name)
    if found is None:
        raise UsageError(
            f"--migration-env {name}: the harness's environment has no {name}.",
            f"Set it (export {name}=…), or give a value: --migration-env {name}=VALUE.",
        )
    return name, found


def _refuse_password_in(argv: Sequence[str]) -> None:
    """A command line is shown to every user of the machine, and kept in shell histories and CI logs."""
    for given, following in zip(argv, [*argv, ""][1:], strict=True):
        flag, _, value = given.partition("=")
        if flag in _URLS and _has_password(value or following):
            raise UsageError(
                f"{flag} holds a password, which every user of this machine can read.",
                f"Give it as {_URLS[flag]}, or leave the password out and name a file with PGPASSFILE.",
            )
        if flag == "--migration-env" and is_secret(value or following):
            name = (value or following).partition("=")[0]
            raise UsageError(
                f"--migration-env {name} holds a secret, which every user of this machine can read.",
                f"Set {name} in the harness's environment and give --migration-env {name}.",
            )


def _has_password(url: str) -> bool:
    """Whether a database URL holds a password, in its place or as a parameter."""
    try:
        return bool(urlsplit(url).password) or "password=" in url
    except ValueError:
        return "@" in url
