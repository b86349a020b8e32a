"""The run that gates with {run=baseline} compare with: found, and refused before any load where it is no use.

What changes the load is refused, since latencies under another load are of something else. What else differs
(the machine, versions, the migration itself, the lengths of phases) is listed in the verdict's limits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from harness.core.conditions import conditions_of_plans, doubts
from harness.core.facts import Facts
from harness.core.gates import asked_of_baseline_run
from harness.core.metrics import measure
from harness.core.plan import Plan
from harness.errors import UsageError
from harness.run.comparing import facts_at

__all__ = ["baseline_folder", "check_baseline_run"]


def baseline_folder(plan: Plan) -> Path | None:
    """The directory of `--baseline-run`, links such as `latest` followed; None when none is given."""
    return Path(plan.baseline_run).resolve() if plan.baseline_run else None


def check_baseline_run(plan: Plan) -> None:
    """Refuse (UsageError) a run that the plan's gates cannot compare with. Touches nothing."""
    folder = baseline_folder(plan)
    if folder is not None:
        _check(plan, folder, _written(folder))


@lru_cache(maxsize=1)
def _check(plan: Plan, folder: Path, _: frozenset[tuple[str, int, int]]) -> None:
    """Once for the same plan and the same files: a plan is checked whenever it was made and before it is run,
    and to read a run takes seconds.
    """
    flag = f"--baseline-run {plan.baseline_run}"
    asked = asked_of_baseline_run(plan)
    if not asked:
        raise UsageError(
            f"{flag} is given, but no gate asks for it.",
            "Drop it, or add one: --gate 'p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}'.",
        )
    facts = _facts(flag, folder)
    _check_evidence(flag, facts)
    _check_load(flag, facts.record.plan, plan)
    for text, selector in asked:
        found = measure(facts, replace(selector, run=None))
        if found.value is None:
            raise UsageError(
                f"{flag} cannot answer the gate {text!r}: {selector.metric} is not known there: {found.why}.",
                "Compare with another run, or drop the gate.",
            )


def _written(folder: Path) -> frozenset[tuple[str, int, int]]:
    """The files of a run directory with their sizes and times; none of what is no folder."""
    files = [file for file in folder.glob("*") if file.is_file()]
    return frozenset((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def _facts(flag: str, folder: Path) -> Facts:
    try:
        return facts_at(folder)
    except UsageError as error:
        raise UsageError(f"{flag}: {error.message}", error.remedy) from None


def _check_evidence(flag: str, facts: Facts) -> None:
    if found := doubts(facts):
        raise UsageError(f"{flag} is no evidence: {'; '.join(found)}.", "Compare with another run.")


def _check_load(flag: str, old: Plan, new: Plan) -> None:
    differing = [
        f"{condition.what} {condition.old} there, {condition.new} here"
        for condition in conditions_of_plans(old, new)
        if condition.load
    ]
    if differing:
        raise UsageError(
            f"{flag} is of another load: {'; '.join(differing)}.",
            "Run with the same load, or compare with a run that had this one.",
        )
