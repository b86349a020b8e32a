"""The drill `hold-reader`, judged: what a forgotten reader did to the migration and the traffic behind it.

A: the migration ended ok, and no client waited for long. B: it ended ok, but clients queued up behind it
until the reader was gone. C: it gave up in good order, and has to be run again. D: all else.
"""

from __future__ import annotations

from typing import Any

from harness.core.client import stall
from harness.core.counted import counted
from harness.core.drill_events import Told
from harness.core.drills import DrillResult, Grade
from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.migrations import Migration
from harness.core.verdict import rounded

__all__ = ["BOUND_S", "TIMEOUTS", "grade_reader", "graded"]

BOUND_S = 1.0
"""How long clients may wait, as for the gate `stall`."""

TIMEOUTS = ("55P03", "57014")
"""SQLSTATEs of `lock_timeout` and `statement_timeout`: the migration gave up by itself."""


def grade_reader(told: Told, facts: Facts) -> DrillResult:
    """The result of the drill."""
    upgrades = facts.in_phase("migrate")
    window = facts.timeline.window("migrate")
    if not upgrades or window is None:
        return told.ungraded("the migration sent no statement")
    stalled_s = stall(facts.record.samples, window)
    migration = upgrades[0]
    grade, why = graded(migration.status, migration.sqlstate, stalled_s)
    evidence = _evidence(told, facts, migration)
    if grade in ("A", "B"):
        why = f"{why}; {_how(evidence)}"
    return told.result(grade, why, told.end_at, {**evidence, "stall_s": rounded(stalled_s)})


def graded(status: str | None, sqlstate: str | None, stalled_s: float | None) -> tuple[Grade | None, str]:
    """The grade and its reason, by how the migration ended and how long clients waited at worst."""
    if status is None:
        return "D", "how the migration ended is not known"
    if status != "ok":
        how = f"the migration ended as {status}{f' ({sqlstate})' if sqlstate else ''}"
        return ("C", f"{how}: run it again") if sqlstate in TIMEOUTS else ("D", how)
    if stalled_s is None:
        return None, "no client asked for anything meanwhile"
    waited = f"the migration ended ok; clients waited {format_duration(stalled_s)} at worst"
    if stalled_s > BOUND_S:
        return "B", f"{waited}, in the queue behind it: give it a lock_timeout, and have it tried again"
    return "A", waited


def _how(evidence: dict[str, Any]) -> str:
    if evidence["lock_timeouts"] or evidence["attempts"] > 1:
        passed = counted(evidence["lock_timeouts"], "lock timeout")
        return f"{passed} let the traffic pass, in {counted(evidence['attempts'], 'attempt')}"
    if evidence["waited_s"]:
        return f"its statements waited {format_duration(evidence['waited_s'])} for locks"
    return "it was not seen to wait for a lock"


def _evidence(told: Told, facts: Facts, migration: Migration) -> dict[str, Any]:
    statements = migration.trace.statements
    own = [charge for charge in facts.attribution.own if charge.phase == "migrate"]
    behind = [charge for charge in facts.attribution.service if charge.phase == "migrate"]
    return {
        "tables": told.seen.get("tables"),
        "held_s": rounded(told.end_at - (migration.first_statement_at or told.begin_at)),
        "migration": migration.status,
        "attempts": migration.attempts,
        "lock_timeouts": sum(statement.sqlstate == "55P03" for statement in statements),
        "waited_s": rounded(sum(charge.seconds for charge in own)),
        "sessions_behind": len({charge.wait.pid for charge in behind}),
        "longest_behind_s": rounded(max((charge.seconds for charge in behind), default=0.0)),
    }
