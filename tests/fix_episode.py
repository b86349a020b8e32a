"""Migration episodes whose processes are doubles, and the events that they write."""

from __future__ import annotations

from typing import Any

import pytest

from harness.run.migration_episode import MigrationEpisode
from tests.fix_controller import FakeChild, FakeClock

BEGIN = {"kind": "begin", "step": "migration", "sql": "ALTER TABLE  t\nADD c int", "mono": 101.5}
REVISION = {"kind": "rev_begin", "revision": "r1", "mono": 101.0}
CONN = {"kind": "conn", "backend": 4711, "mono": 101.0}
HELLO = {"kind": "hello", "mono": 100.2}
ALEMBIC = {"kind": "hooked", "library": "alembic", "mono": 100.3}


class Notes:
    """Collects events as the controller's `note` would write them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.events: list[tuple[str, float, dict[str, Any]]] = []

    def __call__(self, kind: str, at: float | None = None, **data: Any) -> float:
        at = self.clock.now - 100.0 if at is None else at
        self.events.append((kind, at, data))
        return at

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for found, _, data in self.events if found == kind]


@pytest.fixture
def notes(clock: FakeClock) -> Notes:
    return Notes(clock)


def an_episode(
    clock: FakeClock,
    notes: Notes,
    children: list[FakeChild],
    at: list[str] | None = None,
    target: str | None = "head",
    **changes: Any,
) -> MigrationEpisode:
    waiting = iter(children)
    return MigrationEpisode(
        1,
        "upgrade",
        target,
        child=lambda _: next(waiting),
        observe=lambda running, pids: notes("observe", running=running, pids=tuple(pids)),
        note=notes,
        announce=lambda *_, **__: None,
        zero=100.0,
        sleep=clock.sleep,
        **{
            "terminate": lambda _: None,
            "retries": 0,
            "deadline_s": 60.0,
            "revisions": lambda: at if at is not None else ["r1"],
            "resolve": lambda: ["r1"] if target else None,
            "relfilenodes": lambda: {16400: 16400},
            "read_schema": lambda when: notes("schema", when=when),
            **changes,
        },
    )


def walk(episode: MigrationEpisode, clock: FakeClock, limit: int = 1000) -> None:
    episode.begin()
    for _ in range(limit):
        if episode.ended:
            return
        clock.sleep(0.05)
        episode.step()
    raise AssertionError("the episode did not end")
