"""The drill `kill-migrator@each`, judged: a grade for every place at which the migration was killed, and the
worst of them for the drill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.core.counted import counted
from harness.core.drill_events import Told
from harness.core.drill_kill import Aftermath, graded
from harness.core.drills import DrillResult, Grade, worst_grade
from harness.core.verdict import rounded, safe_text

__all__ = ["grade_walk"]

Json = dict[str, Any]


def grade_walk(told: Told) -> DrillResult:
    """The result; a walk in which a place is missing or without a grade has none, unless one is D."""
    plan: Mapping[str, Any] = told.begin.data if told.begin else {}
    cells = [_cell(event.data) for event in told.cells]
    grades: list[Grade] = [cell["grade"] for cell in cells if cell["grade"]]
    number_of = Counter(grades)
    said = ", ".join(f"{number_of[grade]} {grade}" for grade in sorted(number_of))
    of = counted(plan.get("statements", 0), "statement")
    why = f"killed at {counted(len(cells), 'place')} of {of}: {said or 'none graded'}"
    if alike := plan.get("represented"):
        why += f"; {counted(alike, 'statement like another was', 'statements like others were')} not walked"
    worst = worst_grade(grades)
    ungraded = [f"{cell['place']}: {cell['why']}" for cell in cells if not cell["grade"]]
    if worst == "D":
        first = next(cell for cell in cells if cell["grade"] == "D")
        why = f"{first['place']} of {first['revision']}: {first['why']}; {why}"
    elif ungraded or len(cells) != plan.get("places"):
        missing = ungraded[0] if ungraded else f"of {plan.get('places')} places not all were walked"
        worst, why = None, f"{missing}; {why}"
    evidence = {
        "statements": plan.get("statements"),
        "places": plan.get("places"),
        "represented": plan.get("represented"),
        "grades": dict(sorted(number_of.items())),
        "rows_counted": plan.get("rows_counted"),
        "rehearsal_s": rounded(plan.get("rehearsal_s")),
        "walk_s": rounded(told.end_at - told.begin_at),
        "cells": cells,
    }
    return told.result(worst, why, told.end_at if worst else None, evidence)


def _cell(seen: Mapping[str, Any]) -> Json:
    grade, why = _graded(seen)
    after = f"at {', '.join(seen.get('revisions_after') or ()) or 'base'}"
    remedy = "; ".join(seen.get("remedy") or ())
    wrong = "; ".join((seen.get("wrong") or ())[:3])
    return {
        "place": str(seen.get("place") or ""),
        "revision": seen.get("revision"),
        "sql": safe_text(str(seen.get("sql") or "")),
        "represents": seen.get("represents"),
        "answered": seen.get("answered"),
        "sent_later": seen.get("sent_later"),
        "sessions_gone_s": rounded(seen.get("gone_s")),
        "revisions_left": seen.get("revisions"),
        "left": list(seen.get("left") or ()),
        "after": f"{after}{f' after {remedy}' if remedy else ''}{f': {wrong}' if wrong else ''}",
        "rerun_s": rounded(seen.get("rerun_s")),
        "grade": grade,
        "why": safe_text(why),
    }


def _graded(seen: Mapping[str, Any]) -> tuple[Grade | None, str]:
    if not seen.get("done"):
        return None, str(seen.get("why") or "it was not killed there")
    if seen.get("sent_later"):
        later = counted(seen["sent_later"], "statement was", "statements were")
        return None, f"{later} sent after the one at which it was killed"
    wrong = tuple(seen.get("wrong") or ())
    return graded(
        Aftermath(
            gone_s=seen.get("gone_s"),
            left=tuple(seen.get("left") or ()),
            completed=not wrong,
            left_after=wrong,
            remedy=tuple(seen.get("remedy") or ()),
        )
    )
