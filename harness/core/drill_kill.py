"""The drill `kill-migrator`, judged: what a killed migration left, and whether the same command completes it.

A is for a database that is at a known revision with nothing beside it; B for one in which something was left
that the plain re-run completed; C for one that took the documented remedy first; D for all else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.counted import counted
from harness.core.drill_events import Told
from harness.core.drills import DrillResult, Grade
from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.migrations import Migration
from harness.core.schema_diff import compare
from harness.core.schema_shape import changes, shape_of
from harness.core.schema_state import SchemaState
from harness.core.verdict import rounded, safe_text

__all__ = ["GONE_WITHIN_S", "Aftermath", "completed", "grade_kill", "graded", "new_invalid"]

GONE_WITHIN_S = 1.0
"""How soon the server must have ended the sessions of a killed client for grade A. It notices at its next
read or write on the connection, so a running statement goes on to its end."""


@dataclass(frozen=True)
class Aftermath:
    """What followed one kill. `gone_s` is how long the sessions lived on, None when they had to be ended;
    `left` and `left_after` are, in words, what was there beside a known revision after the kill and after the
    re-run; `remedy` are the statements that were run between two re-runs.
    """

    gone_s: float | None
    left: tuple[str, ...]
    completed: bool | None
    message: str = ""
    left_after: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()


def graded(found: Aftermath) -> tuple[Grade | None, str]:
    """The grade and its reason; no grade when how the re-run ended is not known."""
    left = f"left: {'; '.join(found.left[:3])}" if found.left else "nothing was left"
    if found.completed is None:
        return None, f"{left}; how the re-run ended is not known: {found.message or 'nothing tells'}"
    if not found.completed or found.left_after:
        said = "; ".join(found.left_after[:3]) or found.message or "it did not reach its target"
        return "D", f"{left}; the re-run did not complete it: {said}"
    if found.remedy:
        return "C", f"{left}; the re-run completed it after {'; '.join(found.remedy)}"
    if found.gone_s is None:
        return "C", f"{left}, but its sessions lived on and had to be ended; the re-run completed it"
    if found.left:
        return "B", f"{left}; the re-run completed it"
    if found.gone_s > GONE_WITHIN_S:
        lived = format_duration(found.gone_s)
        return "B", f"its sessions lived on for {lived}, then nothing was left; the re-run completed it"
    return "A", "nothing was left; the re-run completed it"


def grade_kill(told: Told, facts: Facts) -> DrillResult:
    """The result of the one kill of a run under traffic."""
    seen = told.seen
    migration = next(iter(facts.in_phase("migrate")), None)
    if migration is None:
        return told.ungraded("its migration is not on record")
    found = Aftermath(
        gone_s=seen.get("gone_s"),
        left=tuple(_left(migration, told.end_at, seen, facts)),
        completed=completed(migration),
        message=migration.message,
        left_after=tuple(new_invalid(*facts.schemas(migration))),
        remedy=told.remedy,
    )
    grade, why = graded(found)
    return told.result(
        grade,
        why,
        migration.end_at if found.completed else None,
        {
            "point": seen.get("point"),
            "statement": seen.get("statement"),
            "revision": seen.get("revision"),
            "sql": safe_text(" ".join(str(seen.get("sql") or "").split())),
            "answered": seen.get("answered"),
            "sent_later": seen.get("sent_later"),
            "sessions": seen.get("sessions"),
            "sessions_gone_s": rounded(found.gone_s),
            "revisions_left": seen.get("revisions"),
            "left": list(found.left),
            "rerun": migration.status,
            "rerun_reached": migration.reached,
            "remedy": list(found.remedy),
            "left_after": list(found.left_after),
        },
    )


def completed(migration: Migration) -> bool | None:
    """Whether the database is at its target in the end; None where that is not known."""
    if migration.status in (None, "stopped") or (migration.status == "ok" and migration.reached is None):
        return None
    return migration.status in ("ok", "nothing") and migration.reached is not False


def _left(migration: Migration, until: float, seen: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    """What the kill left beside a known revision, in words."""
    before, killed = facts.record.schema_before, facts.record.schema_killed
    if killed is None or killed.error:
        yield f"what the schema was like is not known{f': {killed.error}' if killed else ''}"
        return
    indexes = list(new_invalid(before, killed))
    yield from indexes
    committed = list(_half_applied(migration, until, seen))
    yield from committed
    same_revision = seen.get("revisions") == list(migration.revisions_before or ())
    if before is not None and same_revision and not (indexes or committed):
        yield from changes(shape_of(before), shape_of(killed))


def new_invalid(before: SchemaState | None, after: SchemaState | None) -> Iterator[str]:
    """The indexes that are INVALID and were not before, in words."""
    for finding in compare(before, after):
        if finding.kind == "invalid_index" and finding.red:
            yield f"the index {finding.relation} is INVALID"


def _half_applied(migration: Migration, until: float, seen: Mapping[str, Any]) -> Iterator[str]:
    """The revisions of which statements stay committed, though the version table does not name them."""
    trace = migration.trace
    before = [s for s in trace.statements if (migration.at(s.committed_mono) or until + 1) <= until]
    applied = {s.revision for s in before if s.kind == "version"} | set(seen.get("revisions") or ())
    left: dict[str | None, int] = {}
    for statement in before:
        if statement.kind == "migration" and statement.revision not in applied:
            left[statement.revision] = left.get(statement.revision, 0) + statement.executions
    for revision, number in left.items():
        yield f"{counted(number, 'statement')} of {revision}, which is not applied, stayed committed"
