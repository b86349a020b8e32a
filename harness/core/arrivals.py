"""Arrivals: what makes users ask, and how often, in each phase of a plan.

The words are those of the field: in a *closed* loop an arrival is triggered by a completion, in an *open*
model arrivals know nothing of completions (Schroeder, Wierman, Harchol-Balter, "Open Versus Closed: A
Cautionary Tale", NSDI 2006).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.durations import parse_duration
from harness.core.events import PHASES
from harness.errors import UsageError

__all__ = [
    "CLOSED",
    "LOADED",
    "MODELS",
    "OPEN",
    "OPEN_MODELS",
    "POISSON",
    "SCHEDULED",
    "PhaseRate",
    "phase_rates",
]

SCHEDULED = "scheduled"
OPEN = "open"
POISSON = "poisson"
CLOSED = "closed"

MODELS: Mapping[str, str] = {
    SCHEDULED: "each user has slots of its own, and after a stall makes up for those that went by",
    OPEN: "at even intervals, whether or not a user is free: one that is busy then opens a further session",
    POISSON: "as open, at random intervals, as people who know nothing of each other come",
    CLOSED: "each user waits for its answer, and what it would have asked for meanwhile is never asked",
}
"""Every kind of arrivals, with what it means."""

OPEN_MODELS = (OPEN, POISSON)

LOADED = PHASES[: PHASES.index("drain")]
"""The phases in which users ask."""

_PHASE_RATE = re.compile(r"(\w+)\s*=\s*(\d+(?:\.\d+)?)(?:/s)?(?:\s+over\s+(\S+))?")


@dataclass(frozen=True)
class PhaseRate:
    """The target rate of a phase, per second, reached in a straight ramp of `over_s` seconds from the rate
    before: 0, where the phase is the first.
    """

    rate: float
    over_s: float = 0.0


def phase_rates(texts: Iterable[str]) -> dict[str, PhaseRate]:
    """`migrate=120` and `warmup=80 over 8s`, by phase; raises UsageError for what is none."""
    found: dict[str, PhaseRate] = {}
    for text in texts:
        match = _PHASE_RATE.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"--phase-rate is {text!r}.", "Give PHASE=RATE, or PHASE=RATE over DURATION: migrate=120."
            )
        phase, rate, over = match.groups()
        if phase not in LOADED:
            raise UsageError(
                f"--phase-rate {text!r} names no phase in which users ask.", f"Known: {', '.join(LOADED)}."
            )
        if phase in found:
            raise UsageError(f"--phase-rate is given twice for {phase}.", "Drop one of them.")
        found[phase] = PhaseRate(float(rate), parse_duration(over, "--phase-rate") if over else 0.0)
        if not (math.isfinite(found[phase].rate) and found[phase].rate > 0):
            raise UsageError(f"--phase-rate is {text!r}.", "Give a rate above 0 per second.")
    return found
