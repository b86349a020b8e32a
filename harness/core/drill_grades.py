"""How the drills of a run went, and the gate over their grades."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from harness.core.drill_events import Told, told_of
from harness.core.drill_kill import grade_kill
from harness.core.drill_race import grade_race
from harness.core.drill_rollback import grade_rollback
from harness.core.drill_walk import grade_walk
from harness.core.drills import DrillResult
from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive
from harness.core.held_reader import grade_reader
from harness.core.plan import Plan
from harness.core.recovery import BOUNDS_S, grade_fault
from harness.core.releases import grade_releases
from harness.core.verdict import GateResult, safe_text

__all__ = ["drill_results", "drills"]

Grader = Callable[[Told, Facts], DrillResult]
"""Grades a drill of which both events are on record, from all that was recorded."""


def _kill(told: Told, facts: Facts) -> DrillResult:
    return grade_walk(told) if told.drill.where == "each" else grade_kill(told, facts)


_GRADERS: Mapping[str, Grader] = {
    "kill-migrator": _kill,
    "race-migrators": grade_race,
    "rollback": grade_rollback,
    "hold-reader": grade_reader,
    "old-code-new-schema": grade_releases,
    **dict.fromkeys(BOUNDS_S, grade_fault),
}


def drill_results(facts: Facts) -> tuple[DrillResult, ...]:
    """How each drill of the plan went, in its order."""
    told = told_of(facts.record.plan.planned_drills, facts.record.events)
    return tuple(_result(one, facts) for one in told)


def _result(told: Told, facts: Facts) -> DrillResult:
    if told.why_not:
        return told.ungraded(told.why_not)
    try:
        return _GRADERS[told.drill.name](told, facts)
    except Exception as error:  # noqa: BLE001 - one drill's odd record must not cost the verdict
        return told.ungraded(f"it could not be judged: {safe_text(f'{type(error).__name__}: {error}')}")


def drills(_plan: Plan) -> Iterator[Gate]:
    """The gate over all drills of the run."""
    yield Gate("drills", "every drill is graded A, B or C", "drills", _all_came_back)


def _all_came_back(facts: Facts) -> GateResult:
    results = drill_results(facts)
    bad = [f"{one.name}: {one.why}" for one in results if one.grade == "D"]
    unknown = [f"{one.name}: {one.why}" for one in results if one.grade is None]
    told = GateResult("", "", "pass", float(len(bad)), 0.0, "count", len(results))
    if bad:
        return replace(told, status="fail", why="; ".join(bad))
    if unknown or not results:
        return inconclusive("; ".join(unknown) or "no drill is on record", len(results))
    return replace(told, why=", ".join(f"{one.name} {one.grade}" for one in results))
