"""The preflight: `current`, as the migration's own process would run it, before any load.

Alembic's `current` runs env.py and changes nothing. It tells before any load whether env.py works, which
databases it goes to, and where each keeps its version table. The price is about a second, and whatever env.py
does besides, once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.clock import Sleep, wait_until
from harness.core.reached import elsewhere
from harness.core.secrets import mask
from harness.core.trace import Trace
from harness.core.trace_fold import build
from harness.db.guard import Identity
from harness.db.migration import MigrationChild, MigrationOrder, terminate_backends
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError
from harness.run.services import end_of_log

__all__ = ["current_command", "preflight"]

PREFLIGHT_WITHIN_S = 60.0
"""Seconds for `current`; an env.py that imports a whole application takes a few."""

_PROGRAMS = ("alembic", "flask")


def current_command(words: Sequence[str]) -> tuple[str, ...] | None:
    """The command line that shows where the database is, from one that upgrades it.

    None where that is not known: for a script, a shell, a command neither Alembic's nor Flask-Migrate's.
    """
    if "upgrade" not in words:
        return None
    before = words[: words.index("upgrade")]
    ours = any(Path(word).name in _PROGRAMS for word in before)
    return (*before, "current") if ours else None


def preflight(
    order: MigrationOrder,
    migrator: DatabaseMigrator,
    target: str | None,
    url: DatabaseUrl,
    sleep: Sleep,
    may_go_untraced: bool = False,
    allowed: Sequence[Identity] = (),
) -> None:
    """Run `current` in place of the order's upgrade, and teach `migrator` where the version tables are.

    Does nothing where there is no such command; `target` is None where the scripts are not known; `allowed`
    are the databases that the order may go to, its own first. Raises GuardError when env.py goes to another,
    or not to its own, or no tracer can tell where it goes, and UsageError when it does not work, or hides
    that it does not.
    """
    words = current_command(order.command)
    if words is None:
        return
    names = [identity.database for identity in allowed]
    code, trace = _run(replace(order, own_command=words, folder=order.cwd), url, names, sleep)
    command = mask(" ".join(words[words.index("alembic") if "alembic" in words else 0 :]))
    if trace.wrong_database is not None:
        raise GuardError(
            f"The migration goes to another database than {url.masked}: {trace.wrong_database}.",
            "Have env.py read MUL_DATABASE_URL, or set that variable to the database it goes to. Where it is"
            " to migrate several databases of one server, add --allow-database NAME for each.",
        )
    migrator.learn(context.table for context in trace.contexts)
    if code != 0:
        if target is not None:
            migrator.path(target)  # says it better when the database is where the scripts do not know
        raise UsageError(
            f"The migration's environment does not work: `{command}` ended with exit code {code}.",
            end_of_log(order.log_file),
        )
    if not trace.hello and not may_go_untraced:
        name = url.resolved().dbname
        raise GuardError(
            f"`{command}` cannot be traced, so nobody checks where it goes: {trace.why_incomplete}.",
            f"If it is meant to migrate {name}, add --allow-untraced-database {name}.",
        )
    if trace.complete:
        _check_that_it_got_there(trace, command, order.log_file)
        _check_that_it_goes_to_its_own(trace, names)


def _check_that_it_got_there(trace: Trace, command: str, log: Path) -> None:
    failed = next((context.error for context in trace.contexts if context.error), None)
    if failed is not None:
        raise UsageError(
            f"env.py hides an error: `{command}` ended with exit code 0, but {failed}.",
            "Have env.py let errors through.",
        )
    if not trace.contexts:
        raise UsageError(
            f"env.py never comes to its migrations: `{command}` ended with exit code 0, but without"
            " context.run_migrations().",
            end_of_log(log) or "Have env.py let errors through.",
        )


def _check_that_it_goes_to_its_own(trace: Trace, names: Sequence[str]) -> None:
    """That others may be migrated besides does not put them in its place."""
    if names and (why := elsewhere(trace, names[0])):
        raise GuardError(
            f"The migration's environment {why}.",
            "Have env.py read MUL_DATABASE_URL, or set that variable to the database it goes to.",
        )


def _run(order: MigrationOrder, url: DatabaseUrl, names: Sequence[str], sleep: Sleep) -> tuple[int, Trace]:
    child = MigrationChild(order)
    child.start()
    try:
        wait_until(lambda: child.poll() is not None, PREFLIGHT_WITHIN_S, sleep)
        code = child.poll()
        records = child.records()
    finally:
        child.stop(lambda pids: terminate_backends(url, pids, names), sleep=sleep)
    if code is None:
        raise UsageError(
            f"`{mask(' '.join(order.command))}` had not ended after {PREFLIGHT_WITHIN_S:g} s.",
            end_of_log(order.log_file) or "Look for what env.py waits for.",
        )
    return code, build(records, unreadable=child.unreadable)
