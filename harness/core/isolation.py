"""Isolation: whether an account ever saw or could touch what belongs to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.record import Probe

__all__ = ["Isolation", "judge_isolation"]


@dataclass(frozen=True)
class Isolation:
    """Reads whose canary was checked (the positive control), foreign reads tried, and what came of them.

    `errors` are foreign reads that ended in neither data nor a refusal: they say nothing.
    """

    reads_checked: int
    probes: int
    refused: int
    errors: int
    leaks: int
    examples: tuple[str, ...]


def judge_isolation(reads_checked: int, probes: Sequence[Probe]) -> Isolation:
    """Count the probes; a leak is one that leaked, whether a foreign read or a wrong canary in an own one."""
    foreign = Counter(probe.outcome for probe in probes if probe.probe == "foreign_read")
    leaked = [probe for probe in probes if probe.outcome == "leaked"]
    return Isolation(
        reads_checked=reads_checked,
        probes=foreign.total(),
        refused=foreign["refused"],
        errors=foreign["error"],
        leaks=len(leaked),
        examples=tuple(f"{probe.account}: {probe.detail or probe.probe}" for probe in leaked[:5]),
    )
