"""The drill `race-migrators`, judged: who of several that migrated at once did the work, and how the others
left it.

A: one did it all, and the others ended well, without doing anything. B: the others failed, each for a reason
that is named, and nothing is left. C: all failed, and one more run did it. D: several committed statements of
one revision, somebody left without a reason, or the database is not at its target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.drill_events import Told
from harness.core.drill_kill import completed, new_invalid
from harness.core.drills import DrillResult, Grade
from harness.core.facts import Facts
from harness.core.trace import Statement, Trace
from harness.core.verdict import rounded, safe_text

__all__ = ["Racer", "grade_race", "graded", "racers_of"]


@dataclass(frozen=True)
class Racer:
    """One of them: `revisions` are those of which it committed something; `reason` is the error that ended
    it, "" for none.
    """

    exit_code: int | None
    revisions: tuple[str, ...]
    reason: str


def grade_race(told: Told, facts: Facts) -> DrillResult:
    """The result of the race of a run."""
    migration = next(iter(facts.in_phase("migrate")), None)
    if migration is None:
        return told.ungraded("its migration is not on record")
    racers = racers_of(told.seen, migration.trace)
    wrong = list(new_invalid(*facts.schemas(migration)))
    done = completed(migration)
    grade, why = graded(racers, done, migration.message, wrong)
    guard = [safe_text(str(said)) for said in told.seen.get("guard") or ()]
    return told.result(
        grade,
        why,
        migration.end_at if done else None,
        {
            "racers": [
                {"exit_code": r.exit_code, "revisions": list(r.revisions), "reason": safe_text(r.reason)}
                for r in racers
            ],
            "attempts": migration.attempts,
            "took_s": rounded(told.end_at - told.begin_at),
            "reached": migration.reached,
            "left_after": wrong,
            "further_runs_refused": sum(bool(said) for said in guard),
            "further_runs_told": next(iter(guard), ""),
        },
    )


def graded(
    racers: Sequence[Racer], done: bool | None, message: str, wrong: Sequence[str]
) -> tuple[Grade | None, str]:
    """The grade and its reason; `done` says whether the database is at its target in the end."""
    worked = [racer for racer in racers if racer.revisions]
    others = [racer for racer in racers if not racer.revisions]
    applied = [revision for racer in racers for revision in racer.revisions]
    twice = sorted({revision for revision in applied if applied.count(revision) > 1})
    reasons = "; ".join(dict.fromkeys(racer.reason for racer in racers if racer.reason))
    if done is None:
        return None, f"how it ended is not known: {message or 'nothing tells'}"
    if not done or wrong:
        return (
            "D",
            f"it did not reach its target: {'; '.join(wrong) or message or reasons or 'nothing tells why'}",
        )
    if twice:
        told = f" ({reasons})" if reasons else ""
        return "D", f"{', '.join(twice)} was worked on by more than one of {len(racers)}{told}"
    if any(racer.exit_code != 0 and not racer.reason for racer in racers):
        return "D", "one of them failed, and nothing tells why"
    if all(racer.exit_code != 0 for racer in racers):
        return "C", f"all {len(racers)} failed ({reasons}); one more run did it"
    if any(racer.exit_code != 0 for racer in racers):
        shared = "one of them did" if len(worked) == 1 else f"{len(worked)} of them shared"
        failed = sum(racer.exit_code != 0 for racer in racers)
        return "B", f"{shared} the work, {failed} of {len(racers)} failed: {reasons}"
    return "A", f"{len(worked)} did the work, the other {len(others)} waited and had nothing to do"


def racers_of(seen: Mapping[str, Any], trace: Trace) -> list[Racer]:
    """What each did, by its processes among those of the trace of all."""
    return [_racer(one, trace) for one in seen.get("racers") or ()]


def _racer(seen: Mapping[str, Any], trace: Trace) -> Racer:
    processes = set(seen.get("processes") or ())
    own = [s for s in trace.statements if s.process in processes]
    changed = dict.fromkeys(
        str(s.revision) for s in own if s.kind == "migration" and s.committed_mono is not None
    )
    code = seen.get("exit_code")
    return Racer(code, tuple(changed), _reason(own, trace) if code != 0 else "")


def _reason(own: Sequence[Statement], trace: Trace) -> str:
    """The error that a process of these statements ended with: PostgreSQL's, or else Alembic's own."""
    failed = [s for s in own if s.error]
    if failed:
        return f"{failed[-1].sqlstate or 'error'} {failed[-1].error}"
    contexts = {s.context for s in own} - {None}
    steps = [run.error for run in trace.revisions if run.context in contexts and run.error]
    return next(reversed(steps), "") or next(
        (context.error for context in trace.contexts if context.number in contexts and context.error), ""
    )
