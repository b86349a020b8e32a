"""The drill `old-code-new-schema`, judged: which release of a service works on which schema.

A: each works on both. B: release N works on the new schema, and release N+1 only there: migrate first, then
deploy. C: release N breaks on the new schema, but release N+1 works on the old one: deploy first, then
migrate. D: neither order leaves a service that works.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.client import inside, share_of_errors
from harness.core.drill_events import Told
from harness.core.drills import DrillResult, Grade
from harness.core.facts import Facts
from harness.core.verdict import rounded

__all__ = ["grade_releases", "graded"]

ERRORS_MORE = 0.01
"""How much more of the traffic may fail after the migration than before it."""

CELLS = ("n on old", "n on new", "n+1 on old", "n+1 on new")

Answers = Mapping[str, int]


def grade_releases(told: Told, facts: Facts) -> DrillResult:
    """The result of the drill."""
    cells: Mapping[str, Answers] = told.seen.get("cells", {})
    migrated = any(m.phase == "migrate" and m.status == "ok" for m in facts.migrations)
    if not migrated:
        return told.ungraded("the migration did not end ok, so there was no new schema")
    errors = {phase: _errors(facts, phase) for phase in ("baseline", "recover")}
    grade, why = graded(cells, errors["baseline"], errors["recover"])
    traffic = {f"traffic_errors_{phase}": rounded(ratio) for phase, ratio in errors.items()}
    return told.result(grade, why, None, {**_evidence(cells), **traffic})


def graded(
    cells: Mapping[str, Answers], errors_before: float | None, errors_after: float | None
) -> tuple[Grade | None, str]:
    """The grade and its reason; `errors_before` and `errors_after` are of release N's traffic, 0–1."""
    missing = [cell for cell in CELLS if not cells.get(cell)]
    if missing:
        return None, f"nothing was asked of release {missing[0]} schema"
    for control in ("n on old", "n+1 on new"):
        if broken := _broken(cells[control]):
            return None, f"release {control} schema does not work, so nothing can be told: {broken}"
    if errors_before is None or errors_after is None:
        return None, "no traffic was served before or after the migration"
    old_breaks = _broken(cells["n on new"])
    if not old_breaks and errors_after > errors_before + ERRORS_MORE:
        old_breaks = f"{errors_after:.1%} of the traffic failed"
    new_breaks = _broken(cells["n+1 on old"])
    if old_breaks and new_breaks:
        return (
            "D",
            f"release n breaks on the new schema ({old_breaks}), and n+1 on the old one ({new_breaks})",
        )
    if old_breaks:
        return "C", f"release n breaks on the new schema ({old_breaks}): deploy n+1 first, then migrate"
    if new_breaks:
        return "B", (
            f"release n works on the new schema; n+1 breaks on the old one ({new_breaks}): migrate first,"
            " then deploy, and do not roll the schema back under n+1"
        )
    return "A", "both releases work on both schemas"


def _broken(answers: Answers) -> str:
    """What did not work, in a few words."""
    bad = [f"{name} {status or 'no answer'}" for name, status in answers.items() if not 200 <= status < 300]
    return ", ".join(bad)


def _errors(facts: Facts, phase: str) -> float | None:
    window = facts.timeline.window(phase)
    return None if window is None else share_of_errors(inside(facts.record.samples, window))


def _evidence(cells: Mapping[str, Answers]) -> dict[str, Any]:
    return {cell: _broken(cells[cell]) or "works" for cell in CELLS if cell in cells}
