"""The timeline: phases, impact windows and slices, cut from the events after the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.core.events import Event, Kind

__all__ = [
    "IMPACT_MINIMUM_S",
    "IMPACT_TAIL_S",
    "SLICE_S",
    "WALK",
    "Episode",
    "Timeline",
    "Window",
    "cut",
    "slices",
]

IMPACT_MINIMUM_S = 10.0
"""Shortest impact window: most dangerous statements last milliseconds, their consequences do not."""

IMPACT_TAIL_S = 2.0
"""How long the impact window goes on after the migration's last commit."""

SLICE_S = 5.0
"""Length of a slice of the impact window."""

WALK = "drill_walk"
"""The phase of a drill that follows when the load is over and read back: nothing is asked of the service."""


@dataclass(frozen=True)
class Window:
    """A half-open stretch `[start, end)` of the run, in seconds since its start."""

    name: str
    start: float
    end: float

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Episode:
    """One migration of the run: an upgrade, or a rollback; retries belong to the same episode.

    All instants are seconds since the start of the run, None when it never came to that. A placebo's
    episode has a pretended `first_statement_at`, so that it is judged over a window of the same length.
    `last_commit_at` is None for a migration that failed, even if it had committed before.
    """

    number: int
    direction: str  # upgrade | downgrade
    begin_at: float
    first_statement_at: float | None = None
    last_commit_at: float | None = None
    end_at: float | None = None

    @property
    def phase(self) -> str:
        """The name of the phase it happens in."""
        return "migrate" if self.direction == "upgrade" else "rollback"

    @property
    def statement_window(self) -> Window | None:
        """`[first statement, last commit)`."""
        if self.first_statement_at is None or self.last_commit_at is None:
            return None
        return Window(f"{self.phase} statements", self.first_statement_at, self.last_commit_at)

    @property
    def impact_window(self) -> Window | None:
        """What gates judge: `[first statement, max(last commit + 2 s, first statement + 10 s))`.

        Where nothing was committed, or the migration did not end ok, the end of its process takes the last
        commit's place.
        """
        return _impact([self])


def _impact(episodes: Sequence[Episode]) -> Window | None:
    """The impact window of one episode, or of all in a phase: from the first statement of the first to the
    last commit of the last.
    """
    ran = [(e.first_statement_at, e) for e in episodes if e.first_statement_at is not None]
    if not ran:
        return None
    start = min(first for first, _ in ran)
    lasts = (e.end_at if e.last_commit_at is None else e.last_commit_at for _, e in ran)
    ends = [start + IMPACT_MINIMUM_S, *(last + IMPACT_TAIL_S for last in lasts if last is not None)]
    return Window(ran[0][1].phase, start, max(ends))


@dataclass(frozen=True)
class Timeline:
    """The run's phases in order, its episodes, and the instant of its last event."""

    phases: tuple[Window, ...]
    episodes: tuple[Episode, ...]
    end_at: float

    @property
    def load_end(self) -> float:
        """The instant from which no user begins new work: the drain's start, or the end of the run."""
        return min((p.start for p in self.phases if p.name in ("drain", "final_read")), default=self.end_at)

    @property
    def of_the_load(self) -> Timeline:
        """Without the walk of a drill after it, which may last many times as long."""
        walk = next((phase.start for phase in self.phases if phase.name == WALK), self.end_at)
        return replace(self, phases=tuple(p for p in self.phases if p.name != WALK), end_at=walk)

    def window(self, name: str) -> Window | None:
        """The window a gate means by `phase=name`: for `migrate` and `rollback` the impact window.

        An impact window that the run cut short ends with the load: nothing was asked of the service after it.
        """
        episodes = [episode for episode in self.episodes if episode.phase == name]
        if episodes:
            return self._cut_short(_impact(episodes))
        return next((phase for phase in self.phases if phase.name == name), None)

    def _cut_short(self, impact: Window | None) -> Window | None:
        if impact is None or impact.start >= self.load_end:
            return None
        return Window(impact.name, impact.start, min(impact.end, self.load_end))

    def phase_at(self, at: float) -> str | None:
        """The name of the phase at an instant."""
        return next((p.name for p in self.phases if p.start <= at < p.end), None)


def cut(events: Sequence[Event], episodes: Sequence[Episode] = ()) -> Timeline:
    """Cut the phases: each lasts until the next begins, the last one until the last event."""
    end_at = max((event.at for event in events), default=0.0)
    starts = [(str(event.data["name"]), event.at) for event in events if event.kind == Kind.PHASE]
    lasting = pairwise([*starts, ("", end_at)])
    phases = tuple(Window(name, at, until) for (name, at), (_, until) in lasting)
    return Timeline(phases, tuple(episodes), end_at)


def slices(window: Window, length: float = SLICE_S) -> tuple[Window, ...]:
    """The window in slices of `length` seconds; a remainder shorter than half of one joins the last."""
    count = max(1, round(window.duration / length)) if window.duration > 0 else 0
    edges = [window.start + number * length for number in range(count)] + [window.end]
    return tuple(Window(window.name, a, b) for a, b in pairwise(edges))
