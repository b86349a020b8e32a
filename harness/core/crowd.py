"""The crowd: how many users there were, and what a gate decides when a load shape changed that.

A gate that compares with the baseline takes for granted that as many people used the service then. Where the
locustfile's LoadTestShape had it otherwise, a result is inconclusive if the different number of users alone
could have made it: any result about how much was done, a red latency or error ratio while there were more
users, a green one while there were fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.core.expressions import Expression, parse
from harness.core.facts import Facts
from harness.core.gate import Gate
from harness.core.metrics import METRICS
from harness.core.record import HealthPoint
from harness.core.timeline import WALK, Window
from harness.core.verdict import GateResult

__all__ = ["UNEQUAL_RATIO", "Crowd", "crowd_in", "limits_of_crowd", "with_equal_crowds"]

UNEQUAL_RATIO = 0.1
"""By how much the numbers of users may differ before they are different crowds."""

VOLUMES = ("throughput", "rate", "requests", "errors")
"""Metrics that grow with the number of users by themselves; more users may also be too many."""


@dataclass(frozen=True)
class Crowd:
    """The fewest and the most users that lived at once in a window, over all workers."""

    fewest: int
    most: int

    def __str__(self) -> str:
        return str(self.most) if self.fewest == self.most else f"{self.fewest} to {self.most}"

    def grew_from(self, before: Crowd) -> bool:
        """Whether there ever were clearly more users than at some time before."""
        return self.most > before.fewest * (1 + UNEQUAL_RATIO)

    def shrank_from(self, before: Crowd) -> bool:
        """Whether there ever were clearly fewer users than at some time before."""
        return self.fewest < before.most * (1 - UNEQUAL_RATIO)


def crowd_in(health: Sequence[HealthPoint], window: Window | None) -> Crowd | None:
    """The crowd of a window; None where no worker told of its users by its end.

    Each worker tells about once a second, so what it said last holds until it says something else.
    """
    if window is None:
        return None
    told: dict[str, int] = {}
    sums: list[int] = []
    for point in sorted(health, key=lambda point: point.at):
        if point.at >= window.end:
            break
        if point.at >= window.start and told:
            sums.append(sum(told.values()))
        told[point.worker] = point.users
    if not told:
        return None
    sums.append(sum(told.values()))
    return Crowd(min(sums), max(sums))


def with_equal_crowds(gates: Sequence[Gate], results: Sequence[GateResult], facts: Facts) -> list[GateResult]:
    """The results, those that a different number of users could have made inconclusive."""
    return [_decided(gate, result, facts) for gate, result in zip(gates, results, strict=True)]


def _decided(gate: Gate, result: GateResult, facts: Facts) -> GateResult:
    if facts.record.plan.shape is None or gate.family != "client" or result.status not in ("pass", "fail"):
        return result
    for expression in _comparison(gate):
        now, before = _crowds(expression, facts)
        if now is None or before is None:
            return replace(result, status="inconclusive", why="how many users there were is not recorded")
        if _excused(expression, result.status, now, before) and not _plain(expression, result, facts):
            return replace(result, status="inconclusive", why=_why(result, expression, now, before))
    return result


def _comparison(gate: Gate) -> Iterator[Expression]:
    """The gate's expression if it compares two phases."""
    if "phase=baseline" in gate.expression:
        yield parse(gate.expression)[1]


def _crowds(expression: Expression, facts: Facts) -> tuple[Crowd | None, Crowd | None]:
    phase = _phase(expression)
    windows = (facts.timeline.window(name) for name in (phase, "baseline"))
    now, before = (crowd_in(facts.record.health, window) for window in windows)
    return now, before


def _phase(expression: Expression) -> str:
    return expression.left.phase or METRICS[expression.left.metric].phase or "migrate"


def _excused(expression: Expression, status: str, now: Crowd, before: Crowd) -> bool:
    grew, shrank = now.grew_from(before), now.shrank_from(before)
    if expression.left.metric in VOLUMES:
        return grew or shrank
    return grew if status == "fail" else shrank


def _plain(expression: Expression, result: GateResult, facts: Facts) -> bool:
    """Whether a ratio of errors speaks for itself: hardly any at all, or errors that the migration began."""
    if expression.left.metric != "error_ratio":
        return False
    if result.status == "pass":
        return (result.observed or 0.0) <= expression.value
    phase = _phase(expression)
    return any(error.statement is not None and error.phase == phase for error in facts.errors)


def _why(result: GateResult, expression: Expression, now: Crowd, before: Crowd) -> str:
    was = "passed" if result.status == "pass" else "was red"
    told = (
        f"it {was}, but the load shape had {before} users in the baseline and {now} in {_phase(expression)}, "
        "which alone could have made it so; keep the shape level from the baseline on"
    )
    return f"{told}; {result.why}" if result.why else told


def limits_of_crowd(facts: Facts) -> Iterator[str]:
    """That there were fewer users than asked for, or that a load shape moved them between compared phases."""
    plan = facts.record.plan
    before = crowd_in(facts.record.health, facts.timeline.window("baseline"))
    if before is None:
        return
    if plan.shape is not None:
        yield from _moved(plan.shape, before, facts)
    elif before.fewest < plan.users:
        yield (
            f"Only {before.fewest} of {plan.users} users lived in the baseline: one whose on_start fails, or"
            " that stops itself, is gone for good."
        )


def _moved(shape: str, before: Crowd, facts: Facts) -> Iterator[str]:
    phases = [p.name for p in facts.timeline.phases if p.name not in ("warmup", "drain", "final_read", WALK)]
    found = {name: crowd_in(facts.record.health, facts.timeline.window(name)) for name in phases}
    crowds = {name: crowd for name, crowd in found.items() if crowd is not None}
    if any(crowd.grew_from(before) or crowd.shrank_from(before) for crowd in crowds.values()):
        said = ", ".join(f"{crowd} in {name}" for name, crowd in crowds.items())
        yield (
            f"The load shape {shape} moved the number of users: {said}. "
            "Gates that compare with the baseline decide only what this cannot have made."
        )
