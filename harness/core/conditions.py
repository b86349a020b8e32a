"""Conditions: what differs between two runs besides the result, and why a run may be no evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.facts import Facts
from harness.core.generator_gate import judge_generator
from harness.core.plan import Plan
from harness.core.record import Record

__all__ = ["GATES", "Condition", "conditions", "conditions_of_plans", "doubts"]

GATES = "gates"
"""What the condition is called that two runs were judged by other gates."""


@dataclass(frozen=True)
class Condition:
    """One thing that was not the same: its values in the old and in the new run, in words.

    `load`: it decides what is asked of the service, so that latencies of the two are of different things.
    """

    what: str
    old: str
    new: str
    load: bool = False


def conditions(old: Record, new: Record) -> tuple[Condition, ...]:
    """What differs in the plans and in the environments of two runs."""
    return (*conditions_of_plans(old.plan, new.plan), *_of_environments(old.environment, new.environment))


def conditions_of_plans(old: Plan, new: Plan) -> tuple[Condition, ...]:
    """What differs in the plans of two runs."""
    return (
        *_differing(dict(_load(old)), dict(_load(new)), load=True),
        *_differing(dict(_order(old)), dict(_order(new))),
    )


def doubts(facts: Facts) -> tuple[str, ...]:
    """Why what the clients of a run saw is no evidence of the service; empty for a sound run."""
    return tuple(_doubts(facts))


def _doubts(facts: Facts) -> Iterator[str]:
    if not facts.complete:
        yield "it was not completed"
    yield from (f"its record is not whole: {text}" for text in facts.record.missing)
    generator = judge_generator(facts)
    if generator.status == "fail" or facts.less_load:
        yield f"its generator was unfit: {generator.why}"


# plans


def _load(plan: Plan) -> Iterator[tuple[str, object]]:
    yield "service", "the reference service" if plan.host is None else "an own service"
    yield "users", plan.users
    yield "target rate", "none" if plan.target_rate is None else f"{plan.target_rate:g}/s"
    yield "arrivals", plan.arrivals
    yield "rates of phases", " and ".join(plan.phase_rates) or "the same"
    if plan.host is None:
        yield "documents", f"{plan.rows:,}"


def _order(plan: Plan) -> Iterator[tuple[str, object]]:
    yield "migration", "none (placebo)" if plan.placebo else _targets(plan)
    yield "drills", " and ".join(plan.drills) or "none"
    yield "lock_timeout", " and ".join(str(step.lock_timeout or "not given") for step in plan.steps)
    yield "statement_timeout", " and ".join(str(step.statement_timeout or "not given") for step in plan.steps)
    yield "warm-up", f"{plan.warmup_s:g} s"
    yield "baseline", f"{plan.baseline_s:g} s"
    yield "recovery", f"{plan.recover_s:g} s"
    yield (
        GATES,
        "; ".join((*plan.gates, *(f"without {name}" for name in plan.no_gates))) or "the built-in ones",
    )


def _targets(plan: Plan) -> str:
    return " and ".join(
        f"upgrade {step.upgrade}" + (f", downgrade {step.downgrade}" if step.downgrade else "")
        for step in plan.steps
    )


# environments

_MACHINE = ("system", "release", "architecture", "cores", "memory_mb")


def _of_environments(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Condition]:
    yield from _differing(_described(old), _described(new))


def _described(environment: Mapping[str, Any]) -> dict[str, object]:
    machine, packages = environment.get("machine") or {}, environment.get("packages") or {}
    database = environment.get("postgresql") or {}
    server = database.get("version")
    return {
        "machine": ", ".join(f"{name} {machine[name]}" for name in _MACHINE if name in machine) or "unknown",
        "PostgreSQL": "unknown" if server is None else f"{server // 10000}.{server % 10000}",
        "cache": (environment.get("cache") or {}).get("server", "none"),
        "harness": environment.get("harness", "unknown"),
        "Python": environment.get("python", "unknown"),
        "Locust": packages.get("locust", "unknown"),
        **{
            f"PostgreSQL's {name}": value
            for name, value in (database.get("settings") or {}).items()
            if name != "server_version"
        },
    }


def _differing(
    old: Mapping[str, object], new: Mapping[str, object], load: bool = False
) -> Iterator[Condition]:
    absent = "not given"
    for what in dict.fromkeys((*old, *new)):
        before, now = (str(values.get(what, absent)) for values in (old, new))
        if before != now:
            yield Condition(what, before, now, load)
