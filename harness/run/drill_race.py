"""The drill `race-migrators`: the migration's command started several times at once, as instances of a
service do that each migrate when they start. Nothing of ours keeps them apart: the run's lock stands for the
harness alone, and is asked as often to show that it would.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.clock import Sleep
from harness.db.guard import RunLock
from harness.db.migration import MigrationChild, MigrationOrder
from harness.errors import HarnessError
from harness.run.drills import Make, Noted

__all__ = ["RaceMigrators", "Racers"]

Records = list[Mapping[str, Any]]


class Racers:
    """Several processes as one: it has ended when all have, with 0 if any did, else with the first's code."""

    def __init__(self, children: Sequence[MigrationChild], noted: Noted, refused: Callable[[], str]) -> None:
        self.codes: list[int | None] = [None] * len(children)
        self._children = children
        self._noted = noted
        self._refused = refused
        self._waiting: Records = []
        self._processes: list[set[int]] = [set() for _ in children]
        self._guard: list[str] = []

    @property
    def order(self) -> MigrationOrder:
        """What the first of them runs."""
        return self._children[0].order

    @property
    def backend_pids(self) -> Sequence[int]:
        """The sessions of all."""
        return sorted(itertools.chain.from_iterable(child.backend_pids for child in self._children))

    @property
    def unreadable(self) -> int:
        """Lines of their traces that could not be read."""
        return sum(child.unreadable for child in self._children)

    def start(self) -> None:
        """Start them all, then ask for the harness's own lock as often as there are others."""
        self._noted.begin(racers=len(self._children))
        for child in self._children:
            child.start()
        self._guard = [self._refused() for _ in self._children[1:]]

    def poll(self) -> int | None:
        """The exit code once all have ended."""
        self.codes = [child.poll() for child in self._children]
        ended = [code for code in self.codes if code is not None]
        if len(ended) < len(self._children):
            return None
        self._take_in()
        self._end(done=True)
        return 0 if 0 in ended else ended[0]

    def records(self) -> Sequence[Mapping[str, Any]]:
        """What their tracers wrote since the last call, in the order in which it happened."""
        self._take_in()
        found, self._waiting = self._waiting, []
        return found

    def stop(
        self, terminate: Callable[[Sequence[int]], object], *, sleep: Sleep
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """End them all."""
        how = "ended"
        for child in self._children:
            how, last = child.stop(terminate, sleep=sleep)
            self._waiting += last
        self._end(done=False, why="the migrations were stopped before all had ended")
        return how, self.records()

    def _take_in(self) -> None:
        for number, child in enumerate(self._children):
            for record in child.records():
                self._processes[number].add(int(record.get("process", 0)))
                self._waiting.append(record)
        self._waiting.sort(key=lambda record: float(record.get("mono", 0.0)))

    def _end(self, *, done: bool, why: str = "") -> None:
        racers = [
            {"exit_code": code, "processes": sorted(processes)}
            for code, processes in zip(self.codes, self._processes, strict=True)
        ]
        self._noted.end(done=done, why=why, racers=racers, guard=self._guard)


class RaceMigrators:
    """The drill on a migration under traffic: `lock` takes the run's lock and raises a HarnessError where it
    is taken. When none of the racers ended well, the command is run once more, alone.
    """

    def __init__(self, noted: Noted, lock: Callable[[], RunLock]) -> None:
        self._noted = noted
        self._lock = lock
        self._racers: Racers | None = None

    def child(self, attempt: int, make: Make) -> MigrationChild | Racers:
        """The processes of an attempt."""
        if attempt > 1:
            return make({}, "")
        names = ["", *(f"-racer-{number}" for number in range(2, self._noted.drill.count + 1))]
        self._racers = Racers([make({}, name) for name in names], self._noted, self._refused)
        return self._racers

    def again(self, attempt: int) -> bool:
        """Whether all failed in the race."""
        return attempt == 1 and self._racers is not None and 0 not in self._racers.codes

    def _refused(self) -> str:
        """What a second run of the harness would be told; "" when nothing kept it out."""
        try:
            self._lock().release()
        except HarnessError as error:
            return error.message
        return ""
