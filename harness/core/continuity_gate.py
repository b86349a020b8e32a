"""The gate over sessions: tokens from before the migration, and logins after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.continuity import NO_ACCOUNT, OLD_TOKEN, RIGHTLY_GONE, Continuity
from harness.core.facts import Facts
from harness.core.gate import Gate
from harness.core.plan import Plan
from harness.core.verdict import GateResult

__all__ = ["continuity"]

CONTINUITY_ACCOUNTS = 3


def continuity(_plan: Plan) -> Iterator[Gate]:
    words = "old tokens, fresh logins and the first use of theirs work after the migration"
    yield Gate("continuity", words, "authentication", _goes_on)


def _goes_on(facts: Facts) -> GateResult:
    found = facts.continuity
    tried = sum(kind.tried for kind in found.kinds.values())
    result = GateResult("", "", "pass", found.failed, 0, "count", tried)
    if found.failed:
        return replace(result, status="fail", why=f"{found.failed} of {tried}; {found.examples[0]}")
    if why := _cannot_tell(found, min(CONTINUITY_ACCOUNTS, facts.record.plan.users)):
        return replace(result, status="inconclusive", observed=None, why=why)
    return result


def _cannot_tell(found: Continuity, needed: int) -> str:
    """Why the probes decide nothing, "" when they do."""
    reasons = {kind.why_not for kind in found.kinds.values()}
    if not found.accounts and reasons != {NO_ACCOUNT}:
        return "nothing was tried: " + ", ".join(sorted(reasons))
    if found.accounts < needed:
        return f"needs {needed} accounts that were logged in before the migration, has {found.accounts}"
    for name, kind in found.kinds.items():
        if kind.failed:
            return f"{name} failed, but had not worked before the migration either: {found.examples[0]}"
        if kind.unclear and not kind.worked:
            return f"{name} says nothing: every one was limited by rate, or not answered in time"
    why_not = found.kinds[OLD_TOKEN].why_not
    if why_not and why_not not in RIGHTLY_GONE:
        return f"no old token was tried: {why_not}"
    return ""
