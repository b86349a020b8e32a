"""CPU that was wanted and not had: the run's processes were ready, and its machine had none to spare.

It delays answers as a lock does, and no lock explains it. A service and a database on machines of their own
are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.facts import Facts
from harness.core.observation import DatabasePoint, ObserverLine
from harness.core.timeline import Window

__all__ = ["SCARCE_POINTS", "SCARCE_RATIO", "Scarcity", "explained_by_cpu", "limits_of_cpu", "scarcity"]

SCARCE_RATIO = 0.25
"""A process that waits for a CPU for this share of its time answers late by what people notice."""

SCARCE_POINTS = 3
"""Points, one a second, from which on it was no passing thing."""

_NOT_ANSWERING = "migration"  # nobody waits for its answers


@dataclass(frozen=True)
class Scarcity:
    """How often a process that answers waited for a CPU, in `seen` points: `scarce` of them for at least
    `SCARCE_RATIO` of the time, `worst` the largest share, and by which group's process.
    """

    seen: int
    scarce: int
    worst: float
    group: str

    def __str__(self) -> str:
        return f"a process of {self.group} waited for a CPU for up to {self.worst:.0%} of a second"


def scarcity(lines: Iterable[ObserverLine], window: Window | None) -> Scarcity | None:
    """Of the points in a window; None where nothing was measured."""
    if window is None:
        return None
    worst = [max(shares) for line in lines if (shares := list(_shares(line, window)))]
    if not worst:
        return None
    ratio, group = max(worst)
    return Scarcity(len(worst), sum(share >= SCARCE_RATIO for share, _ in worst), ratio, group)


def _shares(line: ObserverLine, window: Window) -> Iterator[tuple[float, str]]:
    if isinstance(line, DatabasePoint) and window.start <= line.at < window.end:
        yield from ((share, group) for group, share in line.cpu_wait.items() if group != _NOT_ANSWERING)


def explained_by_cpu(facts: Facts, phase: str) -> str:
    """What a lack of CPU has to do with slow answers in a phase; "" where nothing."""
    found = scarcity(facts.record.database, facts.timeline.window(phase))
    return f"; meanwhile {found}" if found and found.scarce else ""


def limits_of_cpu(facts: Facts) -> Iterator[str]:
    """That latencies are the machine's as well, where it had no CPU to spare again and again."""
    found = scarcity(facts.record.database, facts.judged)
    if found and found.scarce >= SCARCE_POINTS:
        yield (
            f"The machine was short of CPU in {found.scarce} of {found.seen} seconds of the load: {found}."
            " Latencies are the machine's as well."
        )
