"""The built-in gates: what each is red for, and how it is judged.

Client gates are judged for each migration of the run: the upgrade's over `migrate` and `recover`, the
rollback's over `rollback` and `rollback_recover`; and for a deploy over `deploy` and `deploy_recover`. They
compare with the baseline, so without an ok answer
there they decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.core.client import inside, tail_with
from harness.core.continuity import NO_ACCOUNT, OLD_TOKEN, RIGHTLY_GONE, Continuity
from harness.core.database_gates import catalog, deadlocks, lock_wait, replica_lag
from harness.core.deploy import deploy
from harness.core.drill_grades import drills
from harness.core.durations import format_duration
from harness.core.expressions import Expression, parse
from harness.core.facts import Facts
from harness.core.gate import Gate, expressed, inconclusive, judge_expression, worst_of
from harness.core.generator import BUSY_RATIO, HUB_LATE_S, Fitness, fitness
from harness.core.invariants import invariant_gates
from harness.core.metrics import METRICS
from harness.core.migrations import Migration
from harness.core.offered import asked_rate, not_reached
from harness.core.plan import Plan
from harness.core.quantiles import quantile_samples
from harness.core.resampling import resampled_quantiles
from harness.core.round_trip import rollback_data, rollback_schema
from harness.core.samples import Floats, Ints, Outcome, SampleTable
from harness.core.verdict import GateResult
from harness.core.websocket_gates import status

__all__ = ["BUILT_IN", "BuiltIn", "judge_generator"]

ENDPOINT_EXCESS = 0.05
ENDPOINT_FAILURES = 5
CONTINUITY_ACCOUNTS = 3
_SAME_RATE = 0.01


@dataclass(frozen=True)
class BuiltIn:
    """A row of the table of built-in gates: its name, when it is red, and the gates it makes of a plan."""

    name: str
    red_when: str
    needs: str
    make: Callable[[Plan], Iterator[Gate]]


def _migrations(plan: Plan) -> tuple[tuple[str, str], ...]:
    """The phases of each migration, its own and the one in which everything has to recover."""
    upgrade = (("migrate", "recover"),)
    return (*upgrade, ("rollback", "rollback_recover")) if plan.rolls_back else upgrade


def _phases(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Those in which clients must not suffer."""
    deploy = (("deploy", "deploy_recover"),) if plan.deploys else ()
    return (*_migrations(plan), *deploy)


def _client(name: str, red_when: str, expression: str) -> BuiltIn:
    """A gate by an expression in which `MIGRATE` and `RECOVER` stand for the phases."""

    def make(plan: Plan) -> Iterator[Gate]:
        for migrate, recover in _phases(plan):
            own = parse(expression.replace("MIGRATE", migrate).replace("RECOVER", recover))[1]
            yield _against_baseline(expressed(name, own))

    return BuiltIn(name, red_when, "client", make)


def _whole_run(name: str, red_when: str, expression: str) -> BuiltIn:
    own = parse(expression)[1]
    return BuiltIn(
        name, red_when, METRICS[own.left.metric].needs, lambda _plan: iter((expressed(name, own),))
    )


def _against_baseline(gate: Gate) -> Gate:
    def judge(facts: Facts) -> GateResult:
        if not facts.answered_in("baseline"):
            return inconclusive(
                "no request was answered ok in the baseline, so there is nothing to compare with"
            )
        return gate.judge(facts)

    return replace(gate, judge=judge)


# errors


def _errors(plan: Plan) -> Iterator[Gate]:
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


def _throughput(plan: Plan) -> Iterator[Gate]:
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


def _recovery(plan: Plan) -> Iterator[Gate]:
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


# migration


def _migration(plan: Plan) -> Iterator[Gate]:
    for phase, _ in _migrations(plan):
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


# continuity


def _continuity(_plan: Plan) -> Iterator[Gate]:
    words = "old tokens, fresh logins and the first use of theirs work after the migration"
    yield Gate("continuity", words, "authentication", _goes_on)


def _goes_on(facts: Facts) -> GateResult:
    found = facts.continuity
    tried = sum(kind.tried for kind in found.kinds.values())
    result = GateResult("", "", "pass", found.failed, 0, "count", tried)
    if found.failed:
        return replace(result, status="fail", why=f"{found.failed} of {tried}; {found.examples[0]}")
    if why := _cannot_tell(found, min(CONTINUITY_ACCOUNTS, facts.record.plan.users)):
        return replace(result, status="inconclusive", observed=None, why=why)
    return result


def _cannot_tell(found: Continuity, needed: int) -> str:
    """Why the probes decide nothing, "" when they do."""
    reasons = {kind.why_not for kind in found.kinds.values()}
    if not found.accounts and reasons != {NO_ACCOUNT}:
        return "nothing was tried: " + ", ".join(sorted(reasons))
    if found.accounts < needed:
        return f"needs {needed} accounts that were logged in before the migration, has {found.accounts}"
    for name, kind in found.kinds.items():
        if kind.failed:
            return f"{name} failed, but had not worked before the migration either: {found.examples[0]}"
        if kind.unclear and not kind.worked:
            return f"{name} says nothing: every one was limited by rate, or not answered in time"
    why_not = found.kinds[OLD_TOKEN].why_not
    if why_not and why_not not in RIGHTLY_GONE:
        return f"no old token was tried: {why_not}"
    return ""


# generator


def _generator(_plan: Plan) -> Iterator[Gate]:
    words = f"hub_late_p99 <= {HUB_LATE_S * 1000:g}ms, CPU mostly below {BUSY_RATIO:.0%}, no worker lost"
    yield Gate("generator", words, "generator", judge_generator)


def judge_generator(facts: Facts) -> GateResult:
    """Whether the generator kept time, had CPU left, and kept its workers."""
    waits = [(charge.start, charge.end) for charge in facts.attribution.service]
    found = fitness(facts.record.health, facts.judged, waits)
    result = GateResult("", "", "pass", found.late_p99_s, HUB_LATE_S, "s", found.ticks)
    less, unfit = facts.less_load, "; ".join(_unfit(found))
    if less or unfit:
        why = "; ".join(filter(None, (less, unfit)))
        return replace(result, status="fail" if unfit else "inconclusive", why=why)
    least = METRICS["hub_late_p99"].minimum
    if found.ticks < least:
        why = (
            f"needs {least} ticks of the hub, has {found.ticks}" if found.ticks else "no health was recorded"
        )
        return replace(result, status="inconclusive", observed=None, why=why)
    return result


def _unfit(found: Fitness) -> Iterator[str]:
    if found.ticks >= METRICS["hub_late_p99"].minimum and (found.late_p99_s or 0.0) > HUB_LATE_S:
        yield f"its own ticks came late: p99 {format_duration(found.late_p99_s or 0.0)}"
    if found.busy_ratio is not None and found.busy_ratio > 0.5:
        yield f"a worker's CPU was above {BUSY_RATIO:.0%} in {found.busy_ratio:.0%} of the time"


BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(
        "errors",
        "excess over baseline: > 1 % of all, or for any endpoint ≥ 5 failures and > 5 %, in the impact window"
        " or in recover",
        "client",
        _errors,
    ),
    BuiltIn("throughput", "impact window's throughput < 95 % of baseline's", "client", _throughput),
    _client(
        "latency",
        "worst slice's p95 > 3 × baseline's + 50 ms",
        "slice_p95{phase=MIGRATE} <= 3 * p95{phase=baseline} + 50ms",
    ),
    _client("stall", "> 1 s", "stall{phase=MIGRATE} <= 1s"),
    BuiltIn(
        "recovery",
        "p95 of `recover`'s last 5 s > 2 × baseline's + 25 ms, and a bootstrap interval clears it",
        "client",
        _recovery,
    ),
    BuiltIn(
        "migration",
        "it failed, did not reach the target revision, or passed its deadline",
        "migration",
        _migration,
    ),
    BuiltIn(
        "deploy",
        "the deploy's command or a replica failed, or it passed its deadline",
        "deploy",
        deploy,
    ),
    BuiltIn("lock_wait", "a client's session waited > 1 s because of the migration", "observer", lock_wait),
    BuiltIn("deadlocks", "any that the migration was one side of", "observer", deadlocks),
    BuiltIn(
        "replica_lag",
        "a streaming replica fell > 5 s behind, during the migration or after it",
        "replica",
        replica_lag,
    ),
    BuiltIn(
        "catalog",
        "new against before: an invalid index; a revision half applied",
        "catalog",
        catalog,
    ),
    BuiltIn(
        "rollback_schema",
        "after the rollback something of the schema from before the upgrade is gone or other than it was, or"
        " a constraint was left behind",
        "catalog",
        rollback_schema,
    ),
    BuiltIn(
        "rollback_data",
        "after the rollback rows from before the load are gone, or have other values, in numbers that the"
        " traffic does not explain",
        "catalog",
        rollback_data,
    ),
    BuiltIn(
        "invariant:NAME",
        "a query of `--invariant 'NAME: SELECT …'` returns a row after the migration",
        "catalog",
        invariant_gates,
    ),
    _whole_run("lost_writes", "> 0", "lost_writes == 0"),
    _whole_run("unexpected_writes", "> 0", "unexpected_writes == 0"),
    _whole_run("duplicates", "> 0", "duplicates == 0"),
    _whole_run("stale_reads", "> 0", "stale_reads == 0"),
    _whole_run("stale_cache", "> 0", "stale_cache == 0"),
    _whole_run("totals", "an account's amounts came to another sum", "wrong_totals == 0"),
    _whole_run("leaks", "> 0", "leaks == 0"),
    _whole_run("forged_tokens", "> 0", "forged_tokens == 0"),
    BuiltIn(
        "continuity",
        "after the migration an old token, a fresh login, or the first use after it does not work",
        "authentication",
        _continuity,
    ),
    _whole_run("ws_delivery", "p99 > 2 s", "ws_delivery_p99 <= 2s"),
    _whole_run("ws_missed", "any missed message", "ws_missed == 0"),
    BuiltIn(
        "ws_status",
        "the migration's status never reached somebody who was connected, or p99 > 2 s",
        "broadcast",
        status,
    ),
    BuiltIn(
        "drills", "a drill is graded D: it did not come back, or left something unknown", "drills", drills
    ),
    BuiltIn(
        "generator",
        "hub ticker late (p99 > 50 ms), CPU saturated; a worker lost makes it inconclusive",
        "generator",
        _generator,
    ),
)
"""The table, in the order in which gates are judged and printed."""
