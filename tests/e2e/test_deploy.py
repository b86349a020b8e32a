"""A release is rolled out under real traffic, and nobody notices."""

from __future__ import annotations

import json

import pytest

from tests.fix_run import COUNTED, UNTIMED, Runs

pytestmark = pytest.mark.e2e

REQUIRED = ("--require", "errors", "--require", "deploy", "--require", "ws_missed")


def test_a_release_goes_out_before_a_migration_that_needs_it(runs: Runs) -> None:
    """The running one reads a column that the migration drops, so only this order is green."""
    order = ("--instances", "2", "--upgrade", "hurried@head", "--deploy-when", "before")
    run = runs(*order, *COUNTED, *UNTIMED, *REQUIRED)
    assert run.process.returncode == 0, run.output
    phases = run.phases()
    assert phases.index("baseline") < phases.index("deploy") < phases.index("deploy_recover")
    assert phases.index("deploy_recover") < phases.index("migrate")
    verdict = run.verdict
    deploy = next(phase for phase in verdict["phases"] if phase["name"] == "deploy")
    assert (deploy["error_ratio"], deploy["requests"] > 300) == (0.0, True)
    assert (verdict["deploy"]["status"], verdict["deploy"]["when"]) == ("ok", "before")
    assert verdict["websocket"]["reconnects"] >= 30
    assert "and a deploy before it" in run.output
    plan = json.loads((run.directory / "plan.json").read_text())
    assert (plan["instances"], plan["deploy_when"]) == (2, "before")
