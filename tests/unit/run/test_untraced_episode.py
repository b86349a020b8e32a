"""An episode with sessions of which no tracer tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.core.events import Kind
from tests.fix_controller import FakeChild, FakeClock
from tests.fix_episode import ALEMBIC, BEGIN, CONN, HELLO, REVISION, Notes, an_episode, walk

RUNNING: list[list[Mapping[str, Any]]] = [[] for _ in range(100)]


def test_a_session_that_no_tracer_tells_of_stops_a_command_that_must_be_traced(
    clock: FakeClock, notes: Notes
) -> None:
    ended: list[int] = []
    child = FakeChild([*RUNNING], None, backend_pids=())
    episode = an_episode(
        clock,
        notes,
        [child],
        target=None,
        seen=lambda: {900: "port"},
        must_announce=True,
        terminate=ended.extend,
    )
    walk(episode, clock)
    assert (episode.status, child.stopped, ended) == ("untraced", 1, [900])
    assert clock.now - 100.0 < 0.2  # no Python of its has said hello, so none will tell
    assert "session 900" in notes.of(Kind.MIGRATION_END)[0]["message"]


def test_where_that_is_allowed_it_goes_on_and_its_impact_begins_with_its_process(
    clock: FakeClock, notes: Notes
) -> None:
    episode = an_episode(clock, notes, [FakeChild([*RUNNING], 0)], target=None, seen=lambda: {900: "port"})
    walk(episode, clock)
    assert (episode.status, episode.first_statement_at) == ("ok", 0.0)
    assert notes.of(Kind.MIGRATION_END)[0]["reached"] is True


def test_a_session_that_only_time_tells_is_no_proof_that_it_did_anything(
    clock: FakeClock, notes: Notes
) -> None:
    """Somebody's pgAdmin may have begun while a command ran that did nothing."""
    episode = an_episode(clock, notes, [FakeChild([*RUNNING], 0)], target=None, seen=lambda: {900: "time"})
    walk(episode, clock)
    assert (episode.status, notes.of(Kind.MIGRATION_END)[0]["reached"]) == ("ok", None)


def test_a_session_that_its_tracer_tells_of_a_little_later_is_no_stranger(
    clock: FakeClock, notes: Notes
) -> None:
    script: list[list[Mapping[str, Any]]] = [
        [HELLO, ALEMBIC],
        *RUNNING[:10],
        [CONN, REVISION, BEGIN],
        *RUNNING,
    ]
    episode = an_episode(
        clock, notes, [FakeChild(script, 0)], seen=lambda: {4711: "name"}, must_announce=True
    )
    walk(episode, clock)
    assert (episode.status, episode.first_statement_at) == ("ok", 1.5)


def test_one_that_its_tracer_never_tells_of_is_a_stranger_after_a_second(
    clock: FakeClock, notes: Notes
) -> None:
    child = FakeChild([[HELLO, CONN], *RUNNING], None)
    episode = an_episode(clock, notes, [child], seen=lambda: {4711: "name", 900: "port"}, must_announce=True)
    walk(episode, clock)
    assert (episode.status, child.stopped) == ("untraced", 1)
    assert clock.now - 100.0 == pytest.approx(1.1, abs=0.1)


def test_what_only_time_tells_counts_while_no_tracer_has_said_hello(clock: FakeClock, notes: Notes) -> None:
    def status(first: list[Mapping[str, Any]]) -> str:
        child = FakeChild([first, *RUNNING, [CONN, REVISION, BEGIN]], 0)
        episode = an_episode(clock, notes, [child], seen=lambda: {900: "time"}, must_announce=True)
        walk(episode, clock)
        return episode.status

    assert status([HELLO]) == "ok"  # a Python that takes its time to connect, while somebody else does
    assert status([]) == "untraced"


def test_a_session_that_only_time_tells_is_not_ended(clock: FakeClock, notes: Notes) -> None:
    ended: list[int] = []
    children = [FakeChild([*RUNNING], None)]
    episode = an_episode(
        clock,
        notes,
        children,
        seen=lambda: {900: "time", 901: "name"},
        must_announce=True,
        terminate=ended.extend,
    )
    walk(episode, clock)
    assert ended == [901]


def test_one_that_ends_ok_without_a_session_was_not_traced_either(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[]], 0)], target=None, must_announce=True)
    walk(episode, clock)
    assert episode.status == "untraced"
    episode = an_episode(clock, notes, [FakeChild([[]], 1)], target=None, must_announce=True)
    walk(episode, clock)
    assert episode.status == "failed"
