"""A plan's gates are chosen and checked before any load, and explained."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.builtin_gates import BUILT_IN
from harness.core.gates import METRICS, check_gates, explain
from harness.errors import UsageError
from tests.fix_gates import ASKED_FOR, NAMES
from tests.fix_record import a_plan


def test_a_gate_under_a_builtin_name_replaces_it() -> None:
    gates = check_gates(a_plan(gates=("stall: stall < 9s",)))
    (stall,) = [gate for gate in gates if gate.name == "stall"]
    assert stall.expression == "stall < 9s"
    assert "replaces the built-in" in stall.note


def test_a_gate_without_a_name_is_called_by_its_expression_and_replaces_nothing() -> None:
    names = [gate.name for gate in check_gates(a_plan(gates=("stall{phase=baseline} < 9s",)))]
    assert "stall" in names
    assert names[-1] == "stall{phase=baseline} < 9s"


def test_a_gate_can_be_switched_off() -> None:
    assert "stall" not in [gate.name for gate in check_gates(a_plan(no_gates=("stall",)))]


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        ({"no_gates": ("stal",)}, "--no-gate stal: there is no such gate", "Known gates: errors, throughput"),
        ({"required": ("nope",)}, "--require nope: there is no such gate", "Known gates: errors"),
        ({"gates": ("p96 < 1s",)}, "no metric 'p96'", "Known metrics"),
        ({"gates": ("a: p95 < 1s", "a: p99 < 1s")}, "Two gates are called 'a'", "different names"),
        ({"ignore": ("no-such-rule: why",)}, "no-such-rule: there is no such rule", "Known rules"),
        ({"placebo": True, "required": ("migration",)}, "a placebo migrates nothing", "drop --require"),
        ({"ledger": False, "required": ("lost_writes",)}, "keep no ledger", "drop --require"),
    ],
)
def test_wrong_gates_are_refused_before_load(changes: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_gates(a_plan(**changes))
    assert message in refused.value.message
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "gates"),
    [
        ({"placebo": True}, {"stale_cache", "migration", "lock_wait", "deadlocks", "catalog", "ws_status"}),
        ({"ledger": False}, {"lost_writes", "unexpected_writes", "duplicates", "stale_reads", "stale_cache"}),
        ({"totals": False}, {"totals"}),
        ({"isolation": False}, {"leaks"}),
        ({"websocket": False}, {"ws_delivery", "ws_missed", "ws_status"}),
        ({"host": "http://127.0.0.1:1", "database_url": "postgresql://shop"}, {"ws_status"}),
        ({"authentication": False}, {"continuity"}),
        ({"tokens": False}, {"forged_tokens"}),
        ({"probe_s": 0.0}, {"continuity", "forged_tokens"}),
        ({"gates": ("back: stall{phase=rollback} < 1s",)}, {"back"}),
    ],
)
def test_what_the_plan_gives_nothing_to_judge(changes: dict[str, Any], gates: set[str]) -> None:
    apart = {gate.name for gate in check_gates(a_plan(**changes)) if gate.not_applicable}
    seen_by_its_primary = {"replica_lag"} if "host" in changes else set()
    assert apart == gates | ASKED_FOR - seen_by_its_primary


def test_the_explanation_names_every_gate_and_metric() -> None:
    text = explain()
    for name in (*NAMES, *METRICS):
        assert f"| `{name}` |" in text


def test_every_row_of_the_explanation_has_the_columns_of_its_head() -> None:
    widths = [line.count(" | ") for line in explain().splitlines() if line.startswith("| `")]
    assert widths == [1] * len(BUILT_IN) + [4] * len(METRICS)
