"""Services broken on purpose: each turns its own gate red, and no other.

pytest -m e2e -k broken
"""

from __future__ import annotations

import pytest

from tests.fix_run import UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

BROKEN = {
    "skip-events": "ws_missed",
    "break-transfers": "totals",
}
"""By fault (`harness/target/faults.py`): the gate that must find it."""

JUDGED = (*BROKEN.values(), "unexpected_writes", "continuity", "migration", "catalog", "deadlocks")
"""Gates that no busy machine turns red."""

BRIEF = (
    *("--warmup-time", "1s", "--baseline-time", "5s", "--recover-time", "5s", "--probe-time", "1s"),
    *("--target-rate", "120", "--rows", "5000"),
)


def unquiet(run: Run) -> dict[str, str]:
    """The gates that are not green, and what they are."""
    gates = run.verdict["gates"]
    return {gate["name"]: gate["status"] for gate in gates if gate["status"] in ("fail", "inconclusive")}


@pytest.mark.parametrize(("fault", "gate"), BROKEN.items(), ids=BROKEN)
def test_a_broken_service_turns_its_own_gate_red_and_no_other(runs: Runs, fault: str, gate: str) -> None:
    run = runs(*BRIEF, *UNTIMED, environment={"MUL_TARGET_FAULT": fault})
    assert run.process.returncode == 1, run.output
    assert unquiet(run) == {gate: "fail"}, run.output
    assert run.gate(gate)["observed"] >= 3, "found again and again, not by luck"
