"""Commands of the person's own: `--prepare`, `--migration-command`, `--rollback-command`, `--deploy`; and the
seed.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.core.secrets import mask
from harness.db.interpreter import find_program, why_untraceable
from harness.db.url import DatabaseUrl
from harness.environ import child_environment
from harness.errors import GuardError, UsageError
from harness.run.services import DATABASE, end_of_log

__all__ = [
    "check_command",
    "check_deploy",
    "check_traceable",
    "command_words",
    "folder_of",
    "may_go_untraced",
    "prepare_database",
    "run_command",
]


def prepare_database(command: str, environment: Mapping[str, str], log: Path) -> None:
    """Run the command line of `--prepare`; raises UsageError with the end of its output when it fails."""
    words = command_words(command)
    try:
        code = run_command(words, environment, log)
    except OSError as error:
        raise UsageError(
            f"--prepare: {words[0]} cannot be run: {error.strerror}.", "Check its path."
        ) from None
    if code != 0:
        raise UsageError(f"--prepare {mask(command)!r} ended with exit code {code}.", end_of_log(log))


def run_command(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Run a command in a session of its own, which ends with us; returns its exit code.

    `environment` is laid over this process's. Raises OSError when there is no such program.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=child_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def command_words(command: str, flag: str = "--prepare") -> tuple[str, ...]:
    """The words of a command line; raises UsageError when they cannot be told, or there are none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{flag} cannot be read: {error}.", "Quote it as for a shell.") from None
    if not words:
        raise UsageError(f"{flag} names no command.", "Drop it, or write the command after it.")
    return tuple(words)


def _own_commands(step: MigrationPlan) -> dict[str, tuple[str, ...]]:
    """The words of a migration's own commands, by the flag that gives them."""
    given = {"--migration-command": step.command, "--rollback-command": step.rollback_command}
    return {flag: command_words(command, flag) for flag, command in given.items() if command is not None}


def folder_of(step: MigrationPlan) -> Path:
    """Where a migration's own commands run."""
    return Path(step.cwd or ".").absolute()


def check_command(step: MigrationPlan) -> None:
    """Refuse (UsageError) commands whose folder or program is not there. Touches nothing."""
    if step.cwd is not None and not folder_of(step).is_dir():
        raise UsageError(f"--migration-cwd: there is no folder {step.cwd}.", "Correct its path.")
    environment = child_environment(dict(step.environment))
    for flag, words in _own_commands(step).items():
        _check_program(flag, words[0], folder_of(step), environment)


def check_deploy(plan: Plan) -> None:
    """Refuse (UsageError) a deploy's command whose program is not there. Touches nothing."""
    if plan.deploy_command is not None:
        program = command_words(plan.deploy_command, "--deploy")[0]
        _check_program("--deploy", program, Path.cwd(), child_environment({}))


def _check_program(flag: str, program: str, folder: Path, environment: Mapping[str, str]) -> None:
    if find_program(program, folder, environment) is None:
        where = "PATH" if "/" not in program else str(folder)
        raise UsageError(
            f"{flag}: there is no program {program} in {where}.",
            "Give its path, such as .venv/bin/flask, or start the harness where it is in PATH;"
            " a line for a shell is written as sh -c '…'.",
        )


def may_go_untraced(plan: Plan, step: MigrationPlan) -> bool:
    """Whether the step's own command may change its database without a tracer that checks which one it is."""
    return _database_name(plan, step) in plan.allow_untraced_database


def _database_name(plan: Plan, step: MigrationPlan) -> str:
    url = step.database_url or plan.database_url
    return DatabaseUrl.parse(url).resolved().dbname if url else DATABASE


def check_traceable(plan: Plan, step: MigrationPlan) -> None:
    """Refuse (GuardError) a command that surely cannot be traced, unless its database is named for that.

    Raises UsageError when its Python has no Alembic.
    """
    name, environment = _database_name(plan, step), child_environment(dict(step.environment))
    for flag, words in _own_commands(step).items():
        why = why_untraceable(words, folder_of(step), environment)
        if why and not may_go_untraced(plan, step):
            raise GuardError(
                f"{flag} cannot be traced ({mask(why)}), so nothing checks that it changes the database"
                f" {name} and no other.",
                f"If it is meant all the same, add --allow-untraced-database {name}; the verdict then says"
                " what is not known.",
            )
