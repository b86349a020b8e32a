"""What is measured of a migration: its duration, what it wrote anew, and the waits that it caused."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.facts import Facts
from harness.core.measured import Measured
from harness.core.sight import why_unseen
from harness.core.timeline import Window

__all__ = ["blocked", "lock_wait_max", "migration_duration", "rewrites"]


def migration_duration(facts: Facts, window: Window, _endpoint: str | None) -> Measured:
    """Of all migrations of the phase together, by first statement and last commit."""
    migrations = facts.in_phase(window.name)
    if not migrations or any(m.duration_s is None for m in migrations):
        return Measured(None, None, "the time from its first statement to its last commit is not known")
    seconds = sum(m.duration_s or 0.0 for m in migrations)
    return Measured(seconds, sum(len(m.trace.migration_statements) for m in migrations))


def blocked(facts: Facts, window: Window, _endpoint: str | None) -> Measured:
    """Session-seconds of all waits that are charged to the phase."""
    return _of_waits(facts, window, sum)


def lock_wait_max(facts: Facts, window: Window, _endpoint: str | None) -> Measured:
    """The longest of them."""
    return _of_waits(facts, window, lambda seconds: max(seconds, default=0.0))


def _of_waits(facts: Facts, window: Window, combine: Callable[[list[float]], float]) -> Measured:
    seconds = [charge.seconds for charge in facts.attribution.service if charge.phase == window.name]
    why = why_unseen(facts, window.name)
    return Measured(None if why else float(combine(seconds)), len(seconds), why)


def rewrites(facts: Facts, window: Window, _endpoint: str | None) -> Measured:
    """Of the statements of a migration whose effects are known."""
    migrations = facts.in_phase(window.name)
    if not migrations or not all(migration.traced for migration in migrations):
        return Measured(None, None, "the migration was not traced")
    blind = [reason for migration in migrations for reason in migration.trace.blind]
    if blind:
        return Measured(None, None, f"not all of its statements were seen: {blind[0]}")
    own = [statement for migration in migrations for statement in migration.trace.migration_statements]
    return Measured(float(sum(len(statement.rewrites) for statement in own)), len(own))
