"""The gate over the generator itself: an unfit one is no witness of the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.gate import Gate
from harness.core.generator import BUSY_RATIO, HUB_LATE_S, Fitness, fitness
from harness.core.metrics import METRICS
from harness.core.plan import Plan
from harness.core.verdict import GateResult

__all__ = ["generator", "judge_generator"]


def generator(_plan: Plan) -> Iterator[Gate]:
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
