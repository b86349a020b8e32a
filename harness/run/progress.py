"""How far a run is: what a progress line and the web page show of it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.plan import Plan
from harness.core.timeline import IMPACT_MINIMUM_S

__all__ = ["Progress", "planned_s"]

ISOLATION_ABOUT_S = 2.5
"""How long probes of records and tokens take on the reference service."""


@dataclass(frozen=True)
class Progress:
    """Seconds, users, requests per second."""

    phase: str
    elapsed_s: float
    planned_s: float
    users: int
    rate_per_s: float
    p95_s: float | None
    errors: int
    migration: str


def planned_s(plan: Plan) -> float:
    """About how long the run will last: its phases, three seconds to start each migration, and its end."""
    migrations = len(plan.steps) + sum(step.downgrade is not None for step in plan.steps)
    there_and_back = 2 if plan.rolls_back else 1
    probed = plan.authentication and plan.probe_s > 0
    probes_s = min(plan.probe_s, plan.users / 5.0) + ISOLATION_ABOUT_S if probed else 0.0
    impact_s = there_and_back * (IMPACT_MINIMUM_S + plan.recover_s) + migrations * 3.0
    drills_s = sum(plan.recover_s + 3.0 for drill in plan.planned_drills if drill.has_own_phase)
    deploy_s = IMPACT_MINIMUM_S + plan.recover_s if plan.deploys else 0.0
    return plan.warmup_s + plan.baseline_s + impact_s + deploy_s + probes_s + drills_s + 3.0
