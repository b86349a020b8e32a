"""The gate of the migration's status: whether everybody who was connected was told, and in time."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive
from harness.core.plan import Plan
from harness.core.verdict import GateResult
from harness.core.websocket import STATUS_WITHIN_S, Broadcasts

__all__ = ["status"]


def status(_plan: Plan) -> Iterator[Gate]:
    """Red when a status never came to a connection that was open, or p99 of those that came was late."""
    words = f"the migration's status reaches every connected user, p99 within {STATUS_WITHIN_S:g} s"
    yield Gate("ws_status", words, "websocket", _told)


def _told(facts: Facts) -> GateResult:
    found = facts.broadcasts
    if why := _cannot_tell(found):
        return inconclusive(why, found.due or None)
    if never := found.due - found.delivered:
        why = f"{never} of {found.due} never came: {', '.join(found.missing)}"
        return GateResult("", "", "fail", never, 0, "count", found.due, why)
    late = found.p99_s is None or found.p99_s > STATUS_WITHIN_S
    return GateResult("", "", "fail" if late else "pass", found.p99_s, STATUS_WITHIN_S, "s", found.due)


def _cannot_tell(found: Broadcasts) -> str:
    """Why nothing can be said, "" when something can."""
    if not found.announced:
        return "nothing was announced"
    if found.refused == found.announced:
        return f"the service took none of {found.announced} announcements"
    if not found.due:
        return "nobody was connected long enough to be told"
    return ""
