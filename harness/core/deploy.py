"""The deploy of a service's next release in the middle of a run: what a plan may ask for, what the events
tell of it, and the gate over how it ended.

Client gates are judged over its phases `deploy` and `deploy_recover` as over those of a migration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.core.events import Event, Kind
from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive
from harness.core.plan import Plan
from harness.core.verdict import GateResult, rounded, safe_text

__all__ = ["Deployed", "deploy", "deploy_json", "deployed_of"]


@dataclass(frozen=True)
class Deployed:
    """A deploy as the events tell of it; instants in seconds since the start of the run.

    `how` says in words what was done. `status` is ok, failed, deadline or stopped, None when the run's record
    ends before the deploy did; `exit_code` is that of its command, None where there is none.
    """

    when: str
    how: str
    begin_at: float
    end_at: float | None = None
    status: str | None = None
    exit_code: int | None = None
    message: str = ""

    @property
    def took_s(self) -> float | None:
        """Seconds from its begin to its end."""
        return None if self.end_at is None else self.end_at - self.begin_at


def deployed_of(events: Sequence[Event]) -> Deployed | None:
    """The run's deploy, None when it never began."""
    begin = next((event for event in events if event.kind == Kind.DEPLOY_BEGIN), None)
    end = next((event for event in events if event.kind == Kind.DEPLOY_END), None)
    if begin is None:
        return None
    found = Deployed(str(begin.data.get("when")), str(begin.data.get("how")), begin.at)
    if end is None:
        return found
    data = end.data
    status, message = data.get("status"), str(data.get("message") or "")
    return replace(
        found, end_at=end.at, status=status, exit_code=data.get("exit_code"), message=safe_text(message)
    )


def deploy_json(facts: Facts) -> dict[str, Any] | None:
    """As `verdict.json` has it; null when it never began."""
    found = deployed_of(facts.record.events)
    if found is None:
        return None
    times = {"begin_at": rounded(found.begin_at), "end_at": rounded(found.end_at)}
    return {**asdict(found), **times, "how": safe_text(found.how), "duration_s": rounded(found.took_s)}


def deploy(plan: Plan) -> Iterator[Gate]:
    """The gate of a plan that has a deploy."""
    if plan.deploys:
        words = f"deploy ends ok within {plan.deploy_deadline_s:g} s"
        yield Gate("deploy", words, "deploy", _ended_well)


def _ended_well(facts: Facts) -> GateResult:
    found = deployed_of(facts.record.events)
    if found is None:
        return inconclusive("it never began")
    told = GateResult("", "", "pass", found.took_s, facts.record.plan.deploy_deadline_s, "s")
    match found.status:
        case "ok":
            return told
        case "stopped":
            return replace(told, status="inconclusive", why=found.message)
        case None:
            return inconclusive("how it ended is not recorded")
    return replace(told, status="fail", why=found.message)
