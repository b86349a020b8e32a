"""A gate: a named rule over facts. Most are an expression of the grammar; the others say in words what they
ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.core.expressions import OPERATORS, Expression
from harness.core.facts import Facts
from harness.core.measured import Interval
from harness.core.metrics import METRICS, Measured, Selector, measure, window_of
from harness.core.timeline import SLICE_S, Window
from harness.core.verdict import FINAL, GateResult, safe_text

__all__ = ["Gate", "expressed", "inconclusive", "judge_expression", "worst_of"]

Judge = Callable[[Facts], GateResult]


@dataclass(frozen=True)
class Gate:
    """`expression` is what is printed. `family`: client, ledger, shapes, totals, isolation, authentication,
    websocket, migration, deploy, observer, catalog, replica, drills or generator.

    `not_applicable` says why the plan gives it nothing to judge, "" when it does; `note` is for the verdict's
    limits.
    """

    name: str
    expression: str
    family: str
    judge: Judge
    not_applicable: str = ""
    note: str = ""

    def result(self, facts: Facts) -> GateResult:
        """Its status and what it saw; a gate whose computation fails is inconclusive, never a pass."""
        if self.not_applicable:
            return GateResult(self.name, self.expression, "not_applicable", why=self.not_applicable)
        try:
            found = self.judge(facts)
        except Exception as error:  # noqa: BLE001 - one gate's fault must not hide what the others found
            what = safe_text(f"{type(error).__name__}: {error}")
            found = inconclusive(f"it could not be computed: {what}")
        return replace(found, name=self.name, expression=self.expression)


def expressed(name: str, expression: Expression, not_applicable: str = "", note: str = "") -> Gate:
    """The gate of an expression."""
    family = METRICS[expression.left.metric].needs
    return Gate(
        name, expression.text, family, lambda facts: judge_expression(expression, facts), not_applicable, note
    )


def inconclusive(why: str, samples: int | None = None) -> GateResult:
    """A result that decides nothing, and why."""
    return GateResult("", "", "inconclusive", samples=samples, why=why)


def worst_of(results: Sequence[tuple[str, GateResult]]) -> GateResult:
    """Of the results of several migrations, by their names, the worst, which its `why` names; of equals the
    first.
    """
    name, worst = max(results, key=lambda named: FINAL.index(named[1].status))
    return replace(worst, why=f"{name}: {worst.why}") if name and worst.why else worst


def judge_expression(expression: Expression, facts: Facts) -> GateResult:
    """Compare what was observed with the limit; inconclusive if either is unknown."""
    observed = _observed(expression.left, facts)
    limit = _limit(expression, facts)
    if observed.value is not None and expression.hold_s is not None:
        observed = _held(expression, expression.hold_s, facts, observed, limit)
    result = GateResult(
        "",
        "",
        "inconclusive",
        observed.value,
        limit.value,
        expression.unit,
        observed.samples,
        observed.why or limit.why,
        observed.confidence,
    )
    if observed.value is None or limit.value is None:
        return result
    holds = OPERATORS[expression.op](observed.value, limit.value)
    why = result.why or _near(observed.confidence, limit.value)
    return replace(result, status="pass" if holds else "fail", why=why)


def _near(confidence: Interval | None, limit: float) -> str:
    """That chance alone may have put the value on its side of the limit, "" where it hardly can have."""
    if confidence is None or not confidence[0] <= limit <= confidence[1] or confidence[0] == confidence[1]:
        return ""
    return "the limit lies within the confidence interval: chance may have decided it"


def _observed(selector: Selector, facts: Facts) -> Measured:
    window = window_of(facts, selector)
    few = METRICS[selector.metric].few_is_evidence and window is not None and window.duration >= SLICE_S
    return measure(facts, selector, enough=not few)


def _limit(expression: Expression, facts: Facts) -> Measured:
    if expression.right is None:
        return Measured(expression.value)
    found = measure(facts, expression.right)
    if found.value is None:
        phase = expression.right.phase or METRICS[expression.right.metric].phase
        of = f"{phase or 'the run'}{' in the baseline run' if expression.right.run else ''}"
        return replace(found, why=f"{expression.right.metric} of {of}: {found.why}")
    return replace(found, value=expression.factor * found.value + expression.value, why="")


def _held(expression: Expression, hold_s: float, facts: Facts, whole: Measured, limit: Measured) -> Measured:
    """The mildest value of the worst stretch of `hold_s` seconds: it breaks the limit if all of the stretch
    does.
    """
    window = window_of(facts, expression.left)
    length = math.ceil(hold_s)
    values = [measure(facts, expression.left, piece, enough=False).value for piece in _seconds(window)]
    stretches = [values[first : first + length] for first in range(len(values) - length + 1)]
    known = [[v for v in stretch if v is not None] for stretch in stretches if None not in stretch]
    if not known:
        why = f"no {length} s in a row have requests in every second"
        return Measured(None, whole.samples, why)
    if expression.op in ("<", "<="):
        return Measured(max(min(stretch) for stretch in known), whole.samples, limit.why)
    return Measured(min(max(stretch) for stretch in known), whole.samples, limit.why)


def _seconds(window: Window | None) -> Sequence[Window]:
    """The whole seconds of a window, from its start."""
    if window is None:
        return ()
    count = math.floor(window.duration)
    return [Window(window.name, window.start + n, window.start + n + 1) for n in range(count)]
