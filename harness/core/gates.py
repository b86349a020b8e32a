"""The gates of a plan: the built-in ones and those written in it, parsed and checked before any load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.core.advice import RULES
from harness.core.builtin_gates import BUILT_IN
from harness.core.expressions import GRAMMAR, LABELS, OPERATORS, Expression, parse
from harness.core.gate import Gate, expressed
from harness.core.metrics import METRICS, OF_A_MIGRATION, Selector
from harness.core.plan import Plan
from harness.errors import UsageError

__all__ = ["BUILT_IN", "METRICS", "asked_of_baseline_run", "check_gates", "explain"]


def check_gates(plan: Plan) -> tuple[Gate, ...]:
    """All gates of the plan, those that are not applicable with the reason.

    A gate written under a built-in's name replaces it; one without a name is called by its expression. Raises
    UsageError for what is unknown, and for a `--require` of a gate that the plan gives nothing to judge.
    """
    written = tuple(_written(plan))
    names = {gate.name for gate in written}
    built_in = tuple(_built_in(plan, replaced=names))
    gates = (*built_in, *written)
    _check_known("--no-gate", plan.no_gates, gates)
    _check_known("--require", plan.required, gates)
    _check_required(plan, gates)
    _check_ignored(plan)
    return tuple(gate for gate in gates if gate.name not in plan.no_gates)


def _built_in(plan: Plan, replaced: set[str]) -> Iterator[Gate]:
    for row in BUILT_IN:
        if row.name not in replaced:
            why = _nothing_to_judge(plan, row.needs)
            yield from (replace(gate, not_applicable=why) for gate in row.make(plan))


def _written(plan: Plan) -> Iterator[Gate]:
    built_in = {row.name for row in BUILT_IN}
    seen: set[str] = set()
    for text in plan.gates:
        own, expression = parse(text)
        name = own or expression.text
        if name in seen:
            raise UsageError(f"Two gates are called {name!r}.", "Give them different names.")
        seen.add(name)
        _check_runs(plan, text, expression)
        note = f"Gate {name}: the plan's expression replaces the built-in gate." if name in built_in else ""
        yield expressed(name, expression, _no_facts_for(plan, expression), note)


def asked_of_baseline_run(plan: Plan) -> tuple[tuple[str, Selector], ...]:
    """What the plan's gates ask of another run, each with the gate's text."""
    return tuple(
        (text, selector) for text in plan.gates for selector in parse(text)[1].selectors if selector.run
    )


def _check_runs(plan: Plan, text: str, expression: Expression) -> None:
    if plan.baseline_run is None and any(selector.run for selector in expression.selectors):
        raise UsageError(
            f"--gate {text!r}: the label run needs another run to compare with, and none is given.",
            "Give its directory with --baseline-run, or compare with {phase=baseline} of the same run.",
        )


def _no_facts_for(plan: Plan, expression: Expression) -> str:
    for selector in (selector for selector in expression.selectors if selector.run is None):
        metric = METRICS[selector.metric]
        if why := _nothing_to_judge(plan, metric.needs, selector.phase or metric.phase):
            return why
    return ""


_DECLARED = {
    "drills": "the plan has no drill: --drill is not given",
    "ledger": "the locustfile's users keep no ledger",
    "totals": "the locustfile's users declare no Totals",
    "isolation": "the locustfile's users check no isolation",
    "authentication": "the locustfile's users log in nowhere",
    "tokens": "the locustfile's users bear no token",
    "websocket": "the locustfile's users hold no WebSocket",
}
"""Fields of a plan by which it has a kind of facts at all, and what is said where one is empty or false."""


def _nothing_to_judge(plan: Plan, needs: str, phase: str | None = None) -> str:
    """Why the plan gives facts of this kind, or this phase, no chance; "" when it does."""
    if phase is not None and phase.startswith("rollback") and not plan.rolls_back:
        return "the plan has no rollback: --downgrade is not given"
    if phase is not None and phase.startswith("deploy") and not plan.deploys:
        return "the plan deploys nothing: --deploy-when is not given"
    if needs in OF_A_MIGRATION and plan.placebo:
        return "a placebo migrates nothing"
    if needs == "replica" and not plan.may_have_replicas:
        return "the reference service has no replica: --standby is not given"
    if (
        needs in ("observer", "catalog", "replica")
        and plan.host is not None
        and plan.service_database_url is None
    ):
        return "the run is given no database to look at"
    if needs == "shapes":
        return _nothing_to_judge(plan, "ledger") or ("a placebo migrates nothing" if plan.placebo else "")
    if needs in _DECLARED and not getattr(plan, needs):
        return _DECLARED[needs]
    if needs in ("authentication", "tokens") and plan.probe_s <= 0:
        return "tokens and logins are not tried: --probe-time is 0"
    if needs == "broadcast":
        return _nobody_told(plan)
    return ""


def _nobody_told(plan: Plan) -> str:
    if plan.placebo:
        return "a placebo migrates nothing"
    if plan.host is not None:
        return "only the reference service is told of the migration"
    return "" if plan.websocket else "the locustfile's users hold no WebSocket"


def _check_known(flag: str, names: Iterable[str], gates: Iterable[Gate]) -> None:
    known = list(dict.fromkeys([row.name for row in BUILT_IN] + [gate.name for gate in gates]))
    for name in names:
        if name not in known:
            raise UsageError(f"{flag} {name}: there is no such gate.", f"Known gates: {', '.join(known)}.")


def _check_required(plan: Plan, gates: Iterable[Gate]) -> None:
    gates = tuple(gates)
    for name in plan.required:
        if name not in {gate.name for gate in gates}:
            raise UsageError(
                f"--require {name}: the plan gives it nothing to judge.",
                "Change the plan, or drop --require.",
            )
    for gate in gates:
        if gate.name in plan.required and gate.not_applicable:
            raise UsageError(
                f"--require {gate.name}: the plan gives it nothing to judge, because {gate.not_applicable}.",
                "Change the plan, or drop --require.",
            )


def _check_ignored(plan: Plan) -> None:
    known = [rule.id for rule in RULES]
    for rule in plan.ignored:
        if rule not in known:
            raise UsageError(f"--ignore {rule}: there is no such rule.", f"Known rules: {', '.join(known)}.")


def explain() -> str:
    """The built-in gates, the metrics and the grammar, as Markdown; README has the same text."""
    gates = [(f"`{row.name}`", row.red_when) for row in BUILT_IN]
    metrics = [
        (f"`{m.name}`", m.meaning, m.unit, m.phase or "whole run", str(m.minimum)) for m in METRICS.values()
    ]
    return "\n".join(
        (
            *_table(("built-in gate", "red when"), gates),
            "",
            *_table(("metric", "meaning", "unit", "default phase", "samples needed"), metrics),
            "",
            f"    {GRAMMAR}",
            "",
            f"Operators: `{' '.join(OPERATORS)}`. Labels: `{' '.join(LABELS)}`. Units: `ms s min % /s`.",
            "`{run=baseline}` is the run of `--baseline-run`. A gate named as a built-in one replaces it.",
            "",
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
