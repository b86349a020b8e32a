"""A deploy in the record: its gate, the client gates over its phases, and what the verdict says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.judge import judge
from harness.core.record import Record
from harness.core.samples import Outcome, SampleTable
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import PHASES, a_plan, a_record, events, healthy, watched
from tests.fix_samples import joined, steady, without

DEPLOY_PHASES = {
    **{name: at for name, at in PHASES.items() if at < 52.0},
    "deploy": 52.0,
    "deploy_recover": 62.0,
    "drain": 72.0,
    "final_read": 73.0,
}
BEGIN = Event(52.0, Kind.DEPLOY_BEGIN, {"when": "after", "how": "kubectl rollout restart deployment/api"})


def _ended(at: float = 57.0, **data: Any) -> Event:
    return Event(at, Kind.DEPLOY_END, {"status": "ok", "exit_code": 0, "message": "", **data})


def _record(*more: Event, table: SampleTable | None = None, **changes: Any) -> Record:
    plan = a_plan(deploy_when="after", **changes)
    return a_record(
        plan,
        table=steady(end=72.0) if table is None else table,
        events=events(plan, phases=DEPLOY_PHASES, more=more),
        health=healthy(72.0),
        observed=watched(74.0),
    )


def _gates(record: Record, name: str) -> dict[str, GateResult]:
    facts = facts_of(record)
    return {g.expression: g.result(facts) for g in check_gates(record.plan) if g.name == name}


def test_a_deploy_that_ended_ok_is_green() -> None:
    [result] = _gates(_record(BEGIN, _ended()), "deploy").values()
    assert (result.status, result.observed, result.limit) == ("pass", 5.0, 600.0)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (
            {"status": "failed", "exit_code": 3, "message": "Its command ended with exit code 3"},
            "exit code 3",
        ),
        ({"status": "deadline", "message": "It was still going on"}, "still going on"),
    ],
)
def test_a_deploy_that_failed_or_took_too_long_is_red(end: dict[str, Any], why: str) -> None:
    record = _record(BEGIN, _ended(**end))
    [result] = _gates(record, "deploy").values()
    assert result.status == "fail"
    assert why in result.why
    assert judge(record).status == "fail"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "it never began"),
        ((BEGIN,), "how it ended is not recorded"),
        ((BEGIN, _ended(status="stopped", message="The run ended while it was going on.")), "The run ended"),
    ],
)
def test_a_deploy_that_was_not_done_decides_nothing(more: tuple[Event, ...], why: str) -> None:
    [result] = _gates(_record(*more), "deploy").values()
    assert result.status == "inconclusive"
    assert why in result.why


def _with(start: float, end: float, **what: Any) -> SampleTable:
    """Steady samples, others between two instants."""
    return joined(without(steady(end=72.0), start, end), steady(start, end, **what))


@pytest.mark.parametrize(
    ("gate", "phase", "table"),
    [
        ("errors", "deploy", _with(55.0, 56.0, outcome=Outcome.ERROR)),
        ("errors", "deploy_recover", _with(64.0, 65.0, outcome=Outcome.ERROR)),
        ("throughput", "deploy", _with(53.0, 56.0, outcome=Outcome.ERROR)),
        ("latency", "deploy", _with(55.0, 56.0, latency=0.9)),
        ("stall", "deploy", _with(55.0, 55.1, latency=1.5)),
        ("recovery", "deploy_recover", _with(66.0, 72.0, latency=0.9)),
    ],
)
def test_what_clients_suffer_from_a_deploy_is_red(gate: str, phase: str, table: SampleTable) -> None:
    record = _record(BEGIN, _ended(), table=table)
    by_phase = {text: one for text, one in _gates(record, gate).items() if f"phase={phase}}}" in text}
    [result] = by_phase.values()
    assert result.status == "fail"
    others = [one for text, one in _gates(record, gate).items() if text not in by_phase]
    assert [one.status for one in others] == ["pass"] * len(others)


def test_a_deploy_that_nobody_noticed_is_green() -> None:
    verdict = judge(_record(BEGIN, _ended()))
    own = [gate for gate in verdict.gates if "phase=deploy" in gate.expression]
    assert {gate.name for gate in own} == {"errors", "throughput", "latency", "stall", "recovery"}
    assert {gate.status for gate in own} == {"pass"}
    told = verdict.details["deploy"]
    assert (told["when"], told["status"], told["duration_s"]) == ("after", "ok", 5.0)
    assert {row["phase"] for row in verdict.details["endpoints"]} >= {"deploy", "deploy_recover"}


def test_a_red_deploy_is_not_blamed_on_the_migration() -> None:
    verdict = judge(_record(BEGIN, _ended(), table=_with(55.0, 55.1, latency=1.5)))
    [stall] = [g for g in verdict.gates if g.name == "stall" and "phase=deploy}" in g.expression]
    assert stall.status == "fail"
    assert "database" not in stall.why


def test_a_run_without_a_deploy_has_no_gate_of_it() -> None:
    assert not any("deploy" in gate.name + gate.expression for gate in check_gates(a_plan()))
    assert "deploy" not in judge(a_record()).details
    with pytest.raises(UsageError, match="gives it nothing to judge"):
        check_gates(a_plan(required=("deploy",)))
    [own] = [g for g in check_gates(a_plan(gates=("mine: p95{phase=deploy} < 1s",))) if g.name == "mine"]
    assert own.not_applicable == "the plan deploys nothing: --deploy-when is not given"


def test_the_path_of_a_command_does_not_reach_the_verdict() -> None:
    begin = replace(BEGIN, data={"when": "after", "how": "/srv/ada/bin/roll --all"})
    assert judge(_record(begin, _ended())).details["deploy"]["how"] == "…/roll --all"
