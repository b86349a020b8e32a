"""The verdict in one sentence, with its cause."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.report.blame import Blame
from harness.report.gates import MARKS, Gate, word
from harness.report.statements import SHORT_SQL, Span, Statement
from harness.report.words import ABSENT, clean, plural, seconds, shorten

__all__ = ["Headline", "counts_alone", "culprit", "fatal", "headline_of", "named_by", "title_of"]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Headline:
    """The verdict: its status as in `verdict.json`, a sign, a word, and one sentence with the cause."""

    status: str
    mark: str
    word: str
    sentence: str
    exit_code: str


def headline_of(verdict: Json, gates: Sequence[Gate], cause: str) -> Headline:
    """`cause` is added to a failure; the gates are in the order they are shown in."""
    status = str(verdict.get("status", "inconclusive"))
    sentence = _sentence(status, verdict, gates)
    if status == "fail":
        sentence += cause
    if not verdict.get("complete", True):
        phase = verdict.get("interrupted_in")
        where = f" in {clean(phase)}" if phase else ""
        sentence += "" if sentence.endswith(".") else "."
        sentence += f" The run was interrupted{where}; only what was finished is judged."
    code = verdict.get("exit_code")
    return Headline(
        status,
        MARKS.get(status, "?"),
        word(status).upper(),
        sentence,
        ABSENT if code is None else str(code),
    )


def named_by(gates: Sequence[Gate], blame: Sequence[Blame]) -> Blame | None:
    """The blamed statement that a red gate names as its cause; others made somebody wait, and no more."""
    red = [gate.why for gate in gates if gate.status == "fail"]
    return next((b for b in blame if any(_names(why, b) for why in red)), None)


def _names(why: str, blame: Blame) -> bool:
    """Whether a gate's reason names the statement: `statement 3 of b2 (…)`, or `… of b2 in billing (…)`."""
    return f"{blame.statement.partition(' of ')[0]} of " in why and f"{blame.where} (" in why


_ENDS = " ends ok"
"""Of a gate that asks how something ended: one that failed in a second is told by its end, not by that."""

_GENERATOR = "generator"

_PHASE = re.compile(r"\{[^}]*\bphase=(\w+)")

_OF_TIME = ("s", "/s", "ratio")
"""Units of what a statement that lasts long makes worse."""


def counts_alone(verdict: Json) -> bool:
    """Whether what is red was only counted, as lost writes are: no statement explains it by lasting long."""
    red = [gate for gate in verdict.get("gates") or () if gate.get("status") == "fail"]
    return bool(red) and all(gate.get("unit") not in _OF_TIME for gate in red)


def culprit(blame: Blame | None, failed: Span | None, statements: Sequence[Statement]) -> str:
    """The statement to look at: the blamed one, the one that failed, or else the longest."""
    if blame is not None:
        return f" Blamed on {blame.statement}."
    if failed is not None:
        sql = shorten(failed.sql, SHORT_SQL)
        where = f"{failed.revision}{f' in {failed.migration}' if failed.migration else ''}"
        return f" The migration failed in revision {where} with {failed.error}: {sql}"
    longest = max(statements, key=lambda s: s.longest_s, default=None)
    if longest is None:
        return ""
    took = "was never seen to end" if longest.unfinished else f"ran {longest.longest}"
    return f" The migration's longest statement {took}, in revision {longest.place}: {longest.short}"


def fatal(migrations: Sequence[Json], executed: Sequence[Sequence[Span]]) -> Span | None:
    """The statement in which a migration failed: its last, if it ended in an error. An earlier error is one
    that the migration itself got over.
    """
    for migration, own in zip(migrations, executed, strict=True):
        last = max(reversed(own), key=lambda span: span.start, default=None)
        if migration.get("status") == "failed" and last is not None and last.error:
            return last
    return None


def title_of(plan: Plan) -> str:
    """What the run was about."""
    service = "the reference service" if plan.host is None else clean(plan.as_json()["host"])
    return f"{_migrates(plan)}{_deploys(plan)}, {service} under load"


def _deploys(plan: Plan) -> str:
    if not plan.deploys:
        return ""
    return ", but a deploy" if plan.placebo else f" and a deploy {clean(plan.deploy_when)} it"


def _migrates(plan: Plan) -> str:
    if plan.placebo:
        return "Placebo: no migration"
    if plan.several:
        ways = [f"{clean(step.name)} {_target(step)}" for step in plan.steps]
        back = ", and back" if plan.rolls_back else ""
        return f"Upgrade {', then '.join(ways)}{back}"
    [step] = plan.steps
    if not step.scripts_known and step.upgrade == "head":
        return "The migration command"
    back = f", then downgrade to {clean(step.downgrade)}" if step.downgrade else ""
    return f"Upgrade to {clean(step.upgrade)}{back}"


def _target(step: MigrationPlan) -> str:
    named = step.scripts_known or step.upgrade != "head"
    return f"to {clean(step.upgrade)}" if named else "by its command"


def _sentence(status: str, verdict: Json, gates: Sequence[Gate]) -> str:
    if status == "pass":
        return _passed(verdict, gates)
    return _failed(gates) if status == "fail" else _undecided(gates)


def _failed(gates: Sequence[Gate]) -> str:
    red = [gate for gate in gates if gate.status == "fail"]
    if not red:
        return "The run failed."
    red.sort(key=lambda gate: gate.name != _GENERATOR)  # an unfit one is a cause of what its users saw
    others = [_which(gate, red[:n]) for n, gate in enumerate(red) if n]
    also = f" Also red: {', '.join(others)}." if others else ""
    return f"{_told(red[0])}.{also}"


def _which(gate: Gate, before: Sequence[Gate]) -> str:
    """The gate's name, with its phase where one of that name was told of before."""
    phase = _PHASE.search(gate.expression)
    if phase is None or all(gate.name != other.name for other in before):
        return gate.name
    return f"{gate.name} in {phase[1]}"


def _undecided(gates: Sequence[Gate]) -> str:
    unclear = [gate for gate in gates if gate.status == "inconclusive"]
    if not unclear:
        return "Nothing could be judged."
    return f"{unclear[0].name} could not be judged: {unclear[0].why.rstrip('.') or 'no reason is recorded'}."


def _passed(verdict: Json, gates: Sequence[Gate]) -> str:
    green = sum(gate.status == "pass" for gate in gates)
    migration: Json = verdict.get("migration") or {}
    if not migration.get("to"):
        return f"All {plural(green, 'gate')} passed."
    upgrades = [m for m in verdict.get("migrations") or (migration,) if m.get("direction") != "downgrade"]
    ways = [_way(upgrade) for upgrade in upgrades]
    return f"All {plural(green, 'gate')} passed while {' and '.join(ways)}."


def _way(migration: Json) -> str:
    what = f"the schema{' of ' + clean(migration['name']) if migration.get('name') else ''}"
    path = f"{clean(migration.get('from') or 'base')} to {clean(migration.get('to') or 'base')}"
    return f"{what} went from {path} in {seconds(migration.get('duration_s'))}"


def _told(gate: Gate) -> str:
    if gate.observed == ABSENT or ((gate.name == _GENERATOR or _ENDS in gate.expression) and gate.why):
        return f"{gate.name}: {gate.why.rstrip('.') or gate.expression}"
    against = f", the limit is {gate.limit}" if gate.limit != ABSENT else ""
    return f"{gate.name} is {gate.observed}{against}"
