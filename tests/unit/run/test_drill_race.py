"""Several processes of the migration as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from harness.core.drills import Drill
from harness.core.events import Kind
from harness.db.guard import RunLock
from harness.db.migration import MigrationChild
from harness.errors import UsageError
from harness.run.drill_race import RaceMigrators
from harness.run.drills import Noted
from tests.fix_controller import FakeChild

EARLY = {"kind": "hello", "process": 11, "mono": 1.0}
LATE = {"kind": "hello", "process": 12, "mono": 2.0}


class Held:
    """The run's lock, which is held, or which is free."""

    def __init__(self, held: bool) -> None:
        self.held = held
        self.released = 0

    def __call__(self) -> RunLock:
        if self.held:
            raise UsageError("Another run is using the database mul.")
        return cast(RunLock, self)

    def release(self) -> None:
        self.released += 1


def _race(
    children: Sequence[FakeChild], held: Held | None = None
) -> tuple[RaceMigrators, list[tuple[str, dict[str, Any]]], list[str]]:
    written: list[tuple[str, dict[str, Any]]] = []
    made: list[str] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        written.append((kind, data))
        return 1.0

    def make(variables: Mapping[str, str], more: str) -> MigrationChild:
        made.append(more)
        return cast(MigrationChild, children[len(made) - 1])

    noted = Noted(1, Drill("race-migrators", value=str(len(children))), note)
    race = RaceMigrators(noted, held or Held(True))
    _run(race.child(1, make))
    return race, written, made


def _run(racers: Any) -> None:
    racers.start()
    for _ in range(10):
        found = racers.poll()
        racers.seen = [*getattr(racers, "seen", []), *racers.records()]
        if found is not None:
            racers.ended = found
            return
    raise AssertionError("they did not end")


def test_all_start_at_once_and_it_ends_with_the_last() -> None:
    children = [FakeChild([[LATE]], 1), FakeChild([[EARLY], [], []], 0)]
    race, written, made = _race(children)
    racers: Any = race._racers
    assert made == ["", "-racer-2"]
    assert [child.started for child in children] == [1, 1]
    assert racers.ended == 0  # one of them did it
    assert [record["process"] for record in racers.seen] == [11, 12]
    assert race.again(1) is False
    assert [kind for kind, _ in written] == [Kind.DRILL_BEGIN, Kind.DRILL_END]
    assert written[1][1]["racers"] == [
        {"exit_code": 1, "processes": [12]},
        {"exit_code": 0, "processes": [11]},
    ]
    assert written[1][1]["guard"] == ["Another run is using the database mul."]


def test_when_all_fail_the_command_is_run_once_more_alone() -> None:
    race, _, _ = _race([FakeChild([[]], 1), FakeChild([[]], 2), FakeChild([[]], 3)])
    assert race.again(1) is True
    assert race.again(2) is False
    alone = FakeChild([[]], 0)
    assert race.child(2, lambda *_: cast(MigrationChild, alone)) is cast(Any, alone)


def test_a_lock_that_nobody_holds_is_given_back_and_said() -> None:
    held = Held(False)
    _, written, _ = _race([FakeChild([[]], 0), FakeChild([[]], 0)], held)
    assert (written[1][1]["guard"], held.released) == ([""], 1)


def test_all_are_stopped() -> None:
    children = [FakeChild([[]] * 9, None), FakeChild([[]] * 9, None)]
    written: list[tuple[str, dict[str, Any]]] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        written.append((kind, data))
        return 1.0

    waiting = iter(children)
    race = RaceMigrators(Noted(1, Drill("race-migrators", value="2"), note), Held(True))
    racers = race.child(1, lambda *_: cast(MigrationChild, next(waiting)))
    racers.start()
    racers.stop(lambda _: None, sleep=lambda _: None)
    assert [child.stopped for child in children] == [1, 1]
    assert written[-1][1]["done"] is False
