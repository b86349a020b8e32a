"""The flags of a run, as Locust's own arguments, and the plan they make.

Locust reads them from the command line, the environment, `locust.conf` and `[tool.locust]`
(https://docs.locust.io/en/stable/configuration.html). It sends every value to the workers and may show it in
its web page, so values are text, numbers, booleans or lists of text, and secrets are taken out early.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from locust.argument_parser import LocustArgumentParser, get_empty_argument_parser

from harness.core.arrivals import MODELS
from harness.core.backend import BACKENDS, CACHES, EMBEDDED, NONE, POSTGRES_VERSIONS
from harness.core.durations import parse_duration
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.core.plan_file import NO_FILE, PlanFile
from harness.core.plan_keys import KEYS, MIGRATION
from harness.core.secrets import is_secret
from harness.environ import variable
from harness.errors import UsageError

__all__ = ["add_arguments", "flag_words", "our_flags", "plan_from", "plan_of_form", "strip_secrets"]

STOP_TIMEOUT_S = 1.0
"""Locust's own patience when it stops users. The valve has ended their work before, so it may be short; a
worker hears nothing for as long (`locust/runners.py`, `WorkerRunner.handle_message`, "stop")."""

_URLS = {"--database-url": "MUL_DATABASE_URL", "--replica-url": "MUL_REPLICA_URL"}
"""Flags that take the URL of a database, and where one with a password belongs."""

SAFE_BRANCH = "safe@head"
"""What the reference service is upgraded to by default."""


SEEDED_AT = "v1"
"""The revision that it is seeded at."""


def add_arguments(
    parser: LocustArgumentParser, upgrade_choices: Sequence[str] | None = None, file: PlanFile = NO_FILE
) -> None:
    """Add every flag to Locust's parser, from an `init_command_line_parser` listener.

    `upgrade_choices` closes the list of revisions that may be given, also in the web page. What the plan
    `file` says takes the place of the defaults.
    """
    parser.allow_abbrev = False
    plan = Plan()
    parser.set_defaults(
        num_users=plan.users,
        spawn_rate=plan.spawn_rate,
        web_host="127.0.0.1",  # Locust's page has no protection against other pages: see web.py
        stop_timeout=STOP_TIMEOUT_S,
    )
    flags = _Flags(parser)
    flags.under("Migration: plan file")
    flags.text(
        "--plan", None, "Plan file. Default: harness.toml, or [tool.migrate-under-load] of pyproject.toml."
    )
    flags.under("Migration: phases")
    flags.text("--warmup-time", "8s", "Load before anything is measured.", web=True)
    flags.text("--baseline-time", "20s", "Load that the migration is compared with.", web=True)
    flags.text("--recover-time", "15s", "Load after the migration, and after the rollback.", web=True)
    flags.text(
        "--probe-time", "10s", "How long tokens and logins are tried at the end, at most; 0: not at all."
    )
    flags.text("--drain-time", "10s", "How long requests in flight may take at the end.")
    flags.number(
        "--target-rate",
        plan.target_rate or 0.0,
        "Requests per second over all users; 0: the locustfile decides.",
    )
    flags.text("--arrivals", plan.arrivals, f"What makes users ask: {', '.join(MODELS)}.")
    flags.several(
        "--phase-rate", "PHASE=RATE[ over DURATION]: a target rate of this phase's own. Repeatable."
    )
    flags.number(
        "--max-in-flight", 0, "Most tasks at once of open arrivals; 0: ten seconds of the target rate."
    )
    flags.text("--accounts", None, "CSV or JSON file of the accounts that the users act as.")

    flags.under("Migration: what is migrated")
    flags.text(
        "--upgrade",
        None,
        "The revision to upgrade to. Default: safe@head for the reference service, head for your own.",
        web=True,
        choices=upgrade_choices,
    )
    flags.text("--downgrade", None, "Roll back to this revision afterwards, under load too.")
    flags.text("--expect-from", None, "Refuse to start unless the database is at this revision.")
    flags.text("--alembic-config", None, "Path of your alembic.ini. Default: the reference service's.")
    flags.text(
        "--database-url", None, "Your database. Give a URL with a password as MUL_DATABASE_URL, not here."
    )
    flags.text(
        "--replica-url", None, "A streaming replica of it, to watch. With a password: as MUL_REPLICA_URL."
    )
    flags.text(
        "--migration-command", None, "Your own command, such as 'flask db upgrade', in place of Alembic's."
    )
    flags.text("--rollback-command", None, "Your own command for the way back; --downgrade says where to.")
    flags.text("--migration-cwd", None, "The folder these commands run in. Default: where you are.")
    flags.several(
        "--migration-env",
        "NAME=VALUE for these commands, or NAME alone: taken from the harness's environment. Repeatable.",
    )
    flags.text("--prepare", None, "A command to run before the baseline: restore, stamp, seed.")
    flags.text("--from-dump", None, "A dump to restore first: SQL, or pg_dump's custom, directory or tar.")
    flags.switch(
        "--recreate-database",
        "Drop the database and make it anew, from the second run on by copying a template.",
    )
    flags.text("--lock-timeout", None, "The migration's lock_timeout, as PostgreSQL writes it: 500ms, 2s.")
    flags.text("--statement-timeout", None, "The migration's statement_timeout, likewise.")
    flags.number("--migration-retries", 0, "How often to try again when a lock was not had in time.")
    flags.text("--migration-deadline", "30min", "Cancel the migration after this long.")
    flags.switch("--placebo", "Walk all phases without migrating: what this machine's noise alone does.")

    flags.under("Migration: deploy")
    flags.text("--deploy", None, "Your own command that deploys your service's next release, under load.")
    flags.text(
        "--deploy-when",
        None,
        "before or after the migration. With --deploy, after; of the reference service nothing is deployed"
        " without it.",
    )
    flags.text("--deploy-deadline", "10min", "Cancel the deploy after this long.")

    flags.under("Migration: drills")
    flags.several("--drill", "A fault to cause on purpose: NAME[@WHERE][=VALUE]. Repeatable.")
    flags.several("--allow-drill", "Allow this drill to break what the harness did not start. Repeatable.")

    flags.under("Migration: verdict")
    flags.several("--gate", "A rule of your own, such as 'p95{phase=migrate} < 800ms'. Repeatable.")
    flags.several("--no-gate", "Leave out the gate of this name. Repeatable.")
    flags.several("--require", "Refuse to run unless the gate of this name can judge. Repeatable.")
    flags.several("--ignore", "'RULE: reason': only note what this rule advises. Repeatable.")
    flags.several(
        "--invariant", "'NAME: SELECT …': a query that must return no row after the migration. Repeatable."
    )
    flags.text("--baseline-run", None, "Run directory that gates with {run=baseline} compare with.")
    flags.text("--run-dir", plan.run_root, "Where run directories are made.")
    flags.switch("--dry-run", "Print the resolved plan and touch nothing.")

    flags.under("Migration: reference service")
    flags.number("--rows", plan.rows, "How many documents the reference service starts with.")
    flags.number("--replicas", plan.replicas, "How many processes of the reference service share the load.")
    flags.text(
        "--services",
        EMBEDDED,
        "Where its PostgreSQL runs: embedded (processes of this machine), or docker (a container).",
        choices=BACKENDS,
    )
    flags.text(
        "--postgres-image", None, "The container's image, one that behaves as the official `postgres` does."
    )
    flags.text(
        "--postgres-version",
        None,
        f"The official image's: {', '.join(POSTGRES_VERSIONS)}. Default: the last.",
    )
    flags.text(
        "--postgres-dockerfile", None, "Build the image from this where it is neither here nor in a registry."
    )
    flags.text("--postgres-bin", None, "Folder of the PostgreSQL programs to use, instead of the wheel's.")
    flags.text(
        "--cache",
        NONE,
        "auto starts a Valkey or a Redis for it, where there is one, and says where there is none.",
        choices=CACHES,
    )
    flags.switch("--keep-database", "Leave the reference service's database behind.")
    flags.switch("--standby", "Start a streaming replica beside its database, and watch it.")

    flags.under("Migration: safety")
    flags.several("--allow-host", "Allow load on, or a database at, this host. Repeatable.")
    flags.several("--allow-database", "Allow to migrate the database of this name. Repeatable.")
    flags.several(
        "--allow-untraced-database",
        "Allow a command that cannot be traced to migrate the database of this name. Repeatable.",
    )
    flags.switch("--allow-production", "Allow what has 'prod' in its name.")
    parser.set_defaults(**file.defaults)


def our_flags() -> set[str]:
    """The flags that are not Locust's own."""
    actions = _our_parser()._actions
    ours = [a for a in actions if a.env_var and a.env_var.startswith("MUL_")]
    return {option for action in ours for option in action.option_strings}


def flag_words() -> dict[str, str]:
    """What each flag means, as its help says it."""
    actions = _our_parser()._actions
    return {option: action.help or "" for action in actions for option in action.option_strings}


def _our_parser() -> LocustArgumentParser:
    """A parser of our flags with the defaults they have without a plan file."""
    parser: LocustArgumentParser = get_empty_argument_parser(default_config_files=[])
    add_arguments(parser)
    return parser


class _Flags:
    """Adds flags under the heading `title`, each with an environment variable: MUL_ and its name."""

    def __init__(self, parser: LocustArgumentParser) -> None:
        self._parser = parser
        self._group = parser.add_argument_group()

    def under(self, title: str) -> None:
        """The flags that follow are shown in `--help` under `title`."""
        self._group = self._parser.add_argument_group(title)

    def text(
        self,
        flag: str,
        default: str | None,
        words: str,
        web: bool = False,
        choices: Sequence[str] | None = None,
    ) -> None:
        self._add(flag, words, web, default=default, type=str, choices=choices)

    def number(self, flag: str, default: float, words: str) -> None:
        self._add(flag, words, default=default, type=type(default))

    def switch(self, flag: str, words: str) -> None:
        self._add(flag, words, action="store_true", default=False)

    def several(self, flag: str, words: str) -> None:
        self._add(flag, words, action="append", default=[], type=str)

    def _add(self, flag: str, words: str, web: bool = False, **how: Any) -> None:
        variable = "MUL_" + flag[2:].replace("-", "_").upper()
        action: Any = self._group.add_argument(flag, help=words, env_var=variable, **how)
        action.include_in_web_ui = web


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
        replicas=options.replicas,
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
    without = _our_parser()
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
