"""The migration's process that is killed at one statement, and what is looked at before it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.kill_points import KillPoint
from harness.db.migration import MigrationChild
from harness.errors import SetupError
from harness.run.drill_kill import ENDED_WITHIN_S, KilledChild, KillMigrator, Place, halted, kill_point
from harness.run.drills import Noted
from tests.fix_controller import FakeChild, FakeClock

POINT = KillPoint("migration", 2, "during")
BEGIN = {"kind": "begin", "step": "migration", "sql": "ALTER TABLE t ADD a int"}
HALT = {"kind": "halt", "point": "during", "revision": "r1", "sql": "ALTER TABLE t ADD b int"}
ANSWERED = {"kind": "halt", "point": "answered"}


@dataclass
class Killable(FakeChild):
    """One that ends when it is killed, with a record more that it had written before."""

    last: list[Mapping[str, Any]] = field(default_factory=list)
    kills: int = 0

    def kill(self) -> None:
        self.kills += 1
        self.script = [self.last]
        self.code = -9

    def poll(self) -> int | None:
        return self.code if self.kills or not self.script else None


@dataclass
class Scene:
    """What a killed child has around it."""

    clock: FakeClock
    child: Killable
    living: list[list[int]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    terminated: list[Sequence[int]] = field(default_factory=list)
    kept: int = 0
    trouble: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        noted = Noted(1, Drill("kill-migrator", "during", "2"), self._note)
        place = Place(self._living, self.terminated.append, lambda: ["r0"], self._keep)
        self.killed = KilledChild(cast(MigrationChild, self.child), POINT, noted, place)

    def _note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return 1.0

    def _living(self, pids: Sequence[int]) -> Sequence[int]:
        self.trouble()
        return self.living.pop(0) if len(self.living) > 1 else (self.living or [[]])[0]

    def _keep(self) -> None:
        self.kept += 1

    def run(self, steps: int = 2000) -> tuple[int, list[Mapping[str, Any]]]:
        """As an episode does: poll, then records, until it has ended."""
        records: list[Mapping[str, Any]] = []
        for _ in range(steps):
            code = self.killed.poll()
            records += self.killed.records()
            if code is not None:
                return code, records
            self.clock.sleep(0.05)
        raise AssertionError("it did not end")

    @property
    def end(self) -> dict[str, Any]:
        [found] = [data for kind, data in self.events if kind == Kind.DRILL_END]
        return found


@pytest.fixture
def time(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setattr("harness.run.drill_kill.monotonic", clock)
    return clock


def test_it_is_killed_where_the_tracer_halts_and_all_it_told_is_kept(time: FakeClock) -> None:
    scene = Scene(time, Killable([[BEGIN], [BEGIN, HALT]], None, last=[ANSWERED]))
    code, records = scene.run()
    assert (code, scene.child.kills) == (-9, 1)
    assert records == [BEGIN, BEGIN, HALT, ANSWERED]
    (begin,) = [data for kind, data in scene.events if kind == Kind.DRILL_BEGIN]
    assert (begin["point"], begin["statement"], begin["revision"], begin["sql"]) == (
        "during",
        2,
        "r1",
        "ALTER TABLE t ADD b int",
    )
    assert (scene.end["done"], scene.end["answered"], scene.end["sent_later"]) == (True, True, 0)
    assert (scene.end["revisions"], scene.end["sessions"], scene.kept) == (["r0"], [4711], 1)


def test_it_has_not_ended_before_its_sessions_have(time: FakeClock) -> None:
    scene = Scene(time, Killable([[HALT]], None), living=[[4711]] * 20 + [[]])
    scene.run()
    assert scene.end["gone_s"] == pytest.approx(2.0, abs=0.2)
    assert not scene.terminated


def test_sessions_that_live_on_are_ended_and_this_is_said(time: FakeClock) -> None:
    scene = Scene(time, Killable([[HALT]], None), living=[[4711]])
    began = time.now
    scene.run()
    assert scene.terminated == [[4711]]
    assert scene.end["gone_s"] is None
    assert time.now - began < ENDED_WITHIN_S + 1


def test_a_statement_sent_after_the_halt_is_counted(time: FakeClock) -> None:
    scene = Scene(time, Killable([[HALT]], None, last=[BEGIN]))
    scene.run()
    assert scene.end["sent_later"] == 1


def test_one_that_never_comes_there_ends_by_itself_and_the_drill_was_not_done(time: FakeClock) -> None:
    scene = Scene(time, Killable([[BEGIN], []], 0))
    code, _ = scene.run()
    assert (code, scene.child.kills, scene.kept) == (0, 0, 0)
    assert scene.end["done"] is False
    assert "exit code 0 after 1 statement, and never came to during statement 2" in scene.end["why"]


def test_a_database_that_does_not_answer_leaves_the_drill_undone(time: FakeClock) -> None:
    def trouble() -> None:
        raise SetupError("too many clients already")

    scene = Scene(time, Killable([[HALT]], None), trouble=trouble)
    code, _ = scene.run()
    assert (code, scene.end["done"], scene.end["why"]) == (-9, False, "too many clients already")


def test_one_that_is_stopped_before_says_so(time: FakeClock) -> None:
    scene = Scene(time, Killable([[BEGIN], [], []], None))
    scene.killed.poll()
    scene.killed.records()
    how, _ = scene.killed.stop(lambda _: None, sleep=time.sleep)
    assert how == "interrupted"
    assert scene.end["why"] == "the migration was stopped before it was killed during statement 2"


def test_the_first_attempt_is_killed_and_the_next_is_a_plain_one(time: FakeClock) -> None:
    made: list[Mapping[str, str]] = []
    children = [Killable([[HALT]], None), Killable([[]], 0)]

    def make(variables: Mapping[str, str], more: str) -> MigrationChild:
        made.append(variables)
        return cast(MigrationChild, children[len(made) - 1])

    place = Place(lambda _: [], lambda _: None, lambda: ["r0"], lambda: None)
    drill = KillMigrator(Noted(1, Drill("kill-migrator"), lambda *_, **__: 0.0), place, POINT)
    first = drill.child(1, make)
    assert drill.again(1) is False
    first.records()
    assert drill.again(1) is True
    assert drill.child(2, make) is cast(MigrationChild, children[1])
    assert made == [{"MUL_TRACE_HALT": "migration 2 during"}, {}]
    assert drill.again(2) is False


@dataclass
class Indexes:
    """A database whose indexes the drill may drop."""

    names: list[str]
    revision: str = "r0"
    mended: list[str] = field(default_factory=list)
    trouble: bool = False

    def shape(self) -> dict[str, str]:
        return {f"index {name}": "INVALID CREATE INDEX" if name == "half" else "" for name in self.names}

    def mend(self, statements: Sequence[str]) -> None:
        if self.trouble:
            raise SetupError("The remedy failed: canceling statement due to statement timeout.")
        self.mended += statements


def _failing_re_run(
    time: FakeClock, database: Indexes, left: Sequence[str], code: int = 1
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether another attempt follows a re-run that ended with the code, and the remedies that are told."""
    told: list[dict[str, Any]] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        if kind == Kind.DRILL_REMEDY:
            told.append(data)
        return 0.0

    earlier = {
        "kind": "begin",
        "step": "migration",
        "revision": "r0",
        "sql": "CREATE INDEX of_an_earlier_one",
    }
    sent = {"kind": "begin", "step": "migration", "revision": "r1", "sql": 'CREATE INDEX "whole" ON t (a)'}
    children = iter([Killable([[earlier, sent, HALT]], None), Killable([], code)])

    def make(variables: Mapping[str, str], more: str) -> MigrationChild:
        return cast(MigrationChild, next(children))

    place = Place(
        lambda _: [], lambda _: None, lambda: [database.revision], lambda: None, database.shape, database.mend
    )
    drill = KillMigrator(Noted(1, Drill("kill-migrator"), note), place, POINT)
    drill.child(1, make).records()
    database.names += left
    drill.child(2, make)
    return drill.again(2), told


def test_an_index_in_the_way_of_the_re_run_is_dropped_and_it_is_run_once_more(time: FakeClock) -> None:
    database = Indexes(["documents_pkey"])
    again, told = _failing_re_run(time, database, ["half", "whole"])
    assert (again, database.mended) == (
        True,
        ["DROP INDEX CONCURRENTLY half", "DROP INDEX CONCURRENTLY whole"],
    )
    assert told == [{"drill": 1, "statements": database.mended, "failed": ""}]


def test_nothing_is_mended_where_it_ended_well_or_left_no_index(time: FakeClock) -> None:
    assert _failing_re_run(time, Indexes(["documents_pkey"]), ["half"], code=0) == (False, [])
    assert _failing_re_run(time, Indexes(["documents_pkey"]), []) == (False, [])


def test_an_index_that_another_revision_made_is_none_of_it(time: FakeClock) -> None:
    database = Indexes([])
    again, _ = _failing_re_run(time, database, ["half", "of_an_earlier_one", "whole_too"])
    assert (again, database.mended) == (True, ["DROP INDEX CONCURRENTLY half"])


def test_a_remedy_that_fails_is_told_and_nothing_follows(time: FakeClock) -> None:
    again, told = _failing_re_run(time, Indexes([], trouble=True), ["half"])
    assert again is False
    assert told[0]["failed"].startswith("The remedy failed: canceling statement")


@pytest.mark.parametrize(
    ("drill", "halt"),
    [
        (Drill("kill-migrator", "statement", "3"), "migration 3 before"),
        (Drill("kill-migrator", "during", "3"), "migration 3 during"),
        (Drill("kill-migrator", "p50"), "migration 8 before"),
        (Drill("kill-migrator"), "migration 8 before"),
    ],
)
def test_the_plan_says_where(drill: Drill, halt: str) -> None:
    assert halted(kill_point(drill, 8)) == {"MUL_TRACE_HALT": halt}
