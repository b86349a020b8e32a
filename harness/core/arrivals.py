"""Arrivals: what makes users ask, and how often, in each phase of a plan.

The words are those of the field: in a *closed* loop an arrival is triggered by a completion, in an *open*
model arrivals do not know of completions (Schroeder, Wierman, Harchol-Balter, "Open Versus Closed: A
Cautionary Tale", NSDI 2006).
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UsageError

__all__ = ["CLOSED", "MODELS", "SCHEDULED", "check_arrivals"]

SCHEDULED = "scheduled"
CLOSED = "closed"

MODELS: Mapping[str, str] = {
    SCHEDULED: "each user has slots of its own, and after a stall makes up for those that went by",
    CLOSED: "each user waits for its answer, and what it would have asked for meanwhile is never asked",
}
"""Every kind of arrivals, with what it means."""


def check_arrivals(arrivals: str) -> None:
    """Raise UsageError for what is none of `MODELS`."""
    if arrivals not in MODELS:
        raise UsageError(f"--arrivals is {arrivals!r}.", f"Give one of: {', '.join(MODELS)}.")
