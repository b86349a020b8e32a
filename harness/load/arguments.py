"""The flags of a run, as Locust's own arguments.

Locust reads them from the command line, the environment, `locust.conf` and `[tool.locust]`
(https://docs.locust.io/en/stable/configuration.html). It sends every value to the workers and may show it in
its web page, so values are text, numbers, booleans or lists of text, and secrets are taken out early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from locust.argument_parser import LocustArgumentParser, get_empty_argument_parser

from harness.core.arrivals import MODELS
from harness.core.backend import BACKENDS, CACHES, EMBEDDED, NONE, POSTGRES_VERSIONS
from harness.core.plan import Plan
from harness.core.plan_file import NO_FILE, PlanFile

__all__ = ["add_arguments", "flag_words", "our_flags", "our_parser"]

STOP_TIMEOUT_S = 1.0
"""Locust's own patience when it stops users. The valve has ended their work before, so it may be short; a
worker hears nothing for as long (`locust/runners.py`, `WorkerRunner.handle_message`, "stop")."""


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
    flags.number("--instances", plan.instances, "How many processes of the reference service share the load.")
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
    actions = our_parser()._actions
    ours = [a for a in actions if a.env_var and a.env_var.startswith("MUL_")]
    return {option for action in ours for option in action.option_strings}


def flag_words() -> dict[str, str]:
    """What each flag means, as its help says it."""
    actions = our_parser()._actions
    return {option: action.help or "" for action in actions for option in action.option_strings}


def our_parser() -> LocustArgumentParser:
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
