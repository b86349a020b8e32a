"""The gate over how the migrations of a phase ended: ok, at their target, within their deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive, worst_of
from harness.core.migrations import Migration
from harness.core.plan import Plan
from harness.core.verdict import GateResult

__all__ = ["migration"]


def migration(plan: Plan) -> Iterator[Gate]:
    for phase in ("migrate", "rollback") if plan.rolls_back else ("migrate",):
        limits = {step.deadline_s for step in plan.steps}
        within = f"{limits.pop():g} s" if len(limits) == 1 else "its deadline"
        each = " each" if plan.several else ""
        words = f"migration{{phase={phase}}}{each} ends ok, at its target, within {within}"
        yield Gate("migration", words, "migration", _ended_well(phase))


def _ended_well(phase: str) -> Callable[[Facts], GateResult]:
    def judge(facts: Facts) -> GateResult:
        migrations = facts.in_phase(phase)
        if not migrations:
            return inconclusive("it never began")
        results = [(m.name, _ended(m, facts.record.plan.step(m.name).deadline_s)) for m in migrations]
        left = facts.not_started(phase)
        if not left:
            return worst_of(sorted(results, key=lambda named: -_used(named[1])))
        never = inconclusive(f"{', '.join(left)} never began")
        found = worst_of([*results, ("", never)])
        return found if found.why == never.why else replace(found, why=f"{found.why}; {never.why}")

    return judge


def _ended(migration: Migration, deadline_s: float) -> GateResult:
    status, why = _ending(migration)
    return GateResult("", "", status, migration.process_s, deadline_s, "s", None, why)


def _used(result: GateResult) -> float:
    """The share of its deadline that a migration took."""
    return (result.observed or 0.0) / (result.limit or 1.0)


def _ending(migration: Migration) -> tuple[str, str]:
    said = migration.message
    match migration.status:
        case "ok" if migration.reached is False:
            at = ", ".join(migration.revisions_after or ()) or "base"
            return "fail", said or f"it ended, but the database is at {at}, not at {migration.target}"
        case "ok" if migration.reached is None:
            unseen = (
                "nothing of what it did was seen"
                if migration.target is None
                else "the version table could not be read"
            )
            return "inconclusive", f"it ended ok, but {unseen}"
        case "ok":
            return "pass", "" if migration.traced else f"it was not traced: {migration.why_untraced}"
        case "nothing":
            remedy = "Restore a database of the release before, or stamp it, with --prepare CMD."
            return "inconclusive", f"{said or 'the database already was at its target'}. {remedy}"
        case "stopped":
            return "inconclusive", said or "the run ended while it was running"
        case None:
            return "inconclusive", "how it ended is not recorded"
        case "deadline":
            return "fail", said or "it was still running at its deadline"
        case other:
            return "fail", said or f"it ended as {other}"
