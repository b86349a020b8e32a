"""How long a run is planned to last."""

from __future__ import annotations

from dataclasses import replace

from harness.core.plan import Plan
from harness.run.progress import planned_s

PLAN = Plan(warmup_s=2, baseline_s=5, recover_s=5, drain_s=7)


def test_a_deploy_takes_its_time_of_the_plan() -> None:
    assert planned_s(replace(PLAN, deploy_when="after")) == planned_s(PLAN) + 15.0


def test_probes_at_the_end_are_planned_for_where_there_are_any() -> None:
    without = planned_s(replace(PLAN, authentication=False))
    assert planned_s(replace(PLAN, authentication=True, probe_s=0.0)) == without
    assert planned_s(replace(PLAN, authentication=True, probe_s=4.0, users=1000)) == without + 4.0 + 2.5
