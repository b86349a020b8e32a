"""The gates over what clients saw: errors, throughput, latency, stall and recovery.

They are judged for each migration of the run: the upgrade's over `migrate` and `recover`, the rollback's over
`rollback` and `rollback_recover`; and for a deploy over `deploy` and `deploy_recover`. They compare with the
baseline, so without an ok answer there they decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from harness.core.client import inside, tail_with
from harness.core.durations import format_duration
from harness.core.expressions import Expression, parse
from harness.core.facts import Facts
from harness.core.gate import Gate, expressed, inconclusive, judge_expression
from harness.core.offered import asked_rate, not_reached
from harness.core.plan import Plan
from harness.core.quantiles import quantile_samples
from harness.core.resampling import resampled_quantiles
from harness.core.samples import Floats, Ints, Outcome, SampleTable
from harness.core.verdict import GateResult

__all__ = ["compared", "errors", "recovery", "throughput"]

ENDPOINT_EXCESS = 0.05
ENDPOINT_FAILURES = 5
_SAME_RATE = 0.01


def _phases(plan: Plan) -> Iterator[tuple[str, str]]:
    """Those in which clients must not suffer, each with the one in which everything has to recover."""
    yield "migrate", "recover"
    if plan.rolls_back:
        yield "rollback", "rollback_recover"
    if plan.deploys:
        yield "deploy", "deploy_recover"


def compared(name: str, expression: str) -> Callable[[Plan], Iterator[Gate]]:
    """A gate by an expression in which `MIGRATE` and `RECOVER` stand for the phases."""

    def make(plan: Plan) -> Iterator[Gate]:
        for migrate, recover in _phases(plan):
            own = parse(expression.replace("MIGRATE", migrate).replace("RECOVER", recover))[1]
            yield _against_baseline(expressed(name, own))

    return make


def _against_baseline(gate: Gate) -> Gate:
    def judge(facts: Facts) -> GateResult:
        if not facts.answered_in("baseline"):
            return inconclusive(
                "no request was answered ok in the baseline, so there is nothing to compare with"
            )
        return gate.judge(facts)

    return replace(gate, judge=judge)


def errors(plan: Plan) -> Iterator[Gate]:
    for migrate, recover in _phases(plan):
        yield _against_baseline(_errors_of(migrate))
        yield _against_baseline(_errors_of(recover))


def _errors_of(phase: str) -> Gate:
    expression = parse(f"error_ratio{{phase={phase}}} <= 1 * error_ratio{{phase=baseline}} + 1%")[1]

    def judge(facts: Facts) -> GateResult:
        red = _worst_endpoint(facts, phase)
        return red if red is not None else judge_expression(expression, facts)

    return Gate("errors", expression.text, "client", judge)


def _worst_endpoint(facts: Facts, phase: str) -> GateResult | None:
    """The endpoint whose errors alone are red, the worst if there are several."""
    windows = facts.timeline.window(phase), facts.timeline.window("baseline")
    if windows[0] is None or windows[1] is None:
        return None
    samples = facts.record.samples
    now, before = inside(samples, windows[0]), inside(samples, windows[1])
    failures, requests = _by_endpoint(now)
    ratio_before = _ratio(*_by_endpoint(before))
    excess = _ratio(failures, requests) - ratio_before
    red = np.flatnonzero((failures >= ENDPOINT_FAILURES) & (excess > ENDPOINT_EXCESS))
    if not len(red):
        return None
    worst = int(red[np.argmax(excess[red])])
    why = f"{samples.endpoints[worst]}: {failures[worst]} of {requests[worst]} requests failed"
    return GateResult(
        "",
        "",
        "fail",
        float(failures[worst] / requests[worst]),
        float(ratio_before[worst]) + ENDPOINT_EXCESS,
        "ratio",
        int(requests[worst]),
        f"{why}; {ENDPOINT_FAILURES} failures and {ENDPOINT_EXCESS:.0%} above the baseline make it red",
    )


def _by_endpoint(samples: SampleTable) -> tuple[Ints, Ints]:
    size = len(samples.endpoints)
    failed = samples.endpoint[samples.outcome == Outcome.ERROR]
    return np.bincount(failed, minlength=size), np.bincount(samples.endpoint, minlength=size)


def _ratio(part: Ints, whole: Ints) -> Floats:
    ratio: Floats = part / np.maximum(whole, 1)
    return ratio


# throughput


def throughput(plan: Plan) -> Iterator[Gate]:
    for phase, _ in _phases(plan):
        own = parse(f"throughput{{phase={phase}}} >= 0.95 * throughput{{phase=baseline}}")[1]
        yield _against_baseline(replace(expressed("throughput", own), judge=_as_asked(own, phase)))


def _as_asked(expression: Expression, phase: str) -> Callable[[Facts], GateResult]:
    """Compared as shares of what the plan asks for in each phase; a baseline short of it decides nothing."""

    def judge(facts: Facts) -> GateResult:
        windows = facts.timeline.window(phase), facts.timeline.window("baseline")
        now, before = (asked_rate(facts.record, window) if window else None for window in windows)
        if not now or not before or abs(now / before - 1) < _SAME_RATE:
            result = judge_expression(expression, facts)
        else:
            result = judge_expression(replace(expression, factor=expression.factor * now / before), facts)
            asked = f"{now:.3g}/s were due here and {before:.3g}/s in the baseline"
            result = replace(result, why=f"{result.why}; {asked}" if result.why else asked)
        short = not_reached(facts, "baseline")
        if short and result.status == "pass":
            return replace(result, status="inconclusive", why=short)
        return result

    return judge


# recovery


def recovery(plan: Plan) -> Iterator[Gate]:
    for _, phase in _phases(plan):
        own = parse(f"tail_p95{{phase={phase}}} <= 2 * p95{{phase=baseline}} + 25ms")[1]
        yield _against_baseline(replace(expressed("recovery", own), judge=_clearly(own, phase)))


def _clearly(expression: Expression, phase: str) -> Callable[[Facts], GateResult]:
    """Red only if the difference to the limit is clear of what resampling makes of it by chance."""

    def judge(facts: Facts) -> GateResult:
        result = judge_expression(expression, facts)
        if result.status != "fail":
            return result
        low, high = _excess_interval(facts, phase, expression)
        interval = f"it is {format_duration(abs(low))} to {format_duration(abs(high))} above the limit"
        if low > 0:
            return replace(result, why=f"with 95 % confidence {interval}")
        return replace(result, status="pass", why="above the limit, but not clearly so: within noise")

    return judge


def _excess_interval(facts: Facts, phase: str, expression: Expression) -> tuple[float, float]:
    """The 95 % bootstrap interval of observed − limit, seeded by the plan."""
    samples = facts.record.samples
    recover, baseline = facts.timeline.window(phase), facts.timeline.window("baseline")
    if recover is None or baseline is None:
        return -np.inf, np.inf
    random = np.random.default_rng(facts.record.plan.seed)
    tail = inside(samples, tail_with(samples, recover, quantile_samples(0.95)))
    observed = resampled_quantiles(tail, (0.95,), random)[:, 0]
    before = resampled_quantiles(inside(samples, baseline), (0.95,), random)[:, 0]
    low, high = np.quantile(observed - (expression.factor * before + expression.value), (0.025, 0.975))
    return float(low), float(high)
