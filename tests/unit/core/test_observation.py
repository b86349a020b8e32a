"""What the observer wrote reads back as what it meant."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from harness.core.observation import (
    BackendSeen,
    DatabasePoint,
    Held,
    LogEntry,
    Observed,
    ObserverLine,
    Progress,
    ReplicaPoint,
    as_line,
    observed,
    observer_line,
)
from harness.core.waits import Blocker, Wait


@pytest.mark.parametrize(
    "value",
    [
        DatabasePoint(1.0, {"active": 2}, waiting=1, cpu={"service": 0.5}),
        LogEntry(1.0, "deadlock", 5, "40P01", pids=(5, 6), queries=("UPDATE a", "UPDATE b"), count=2),
        BackendSeen(1.0, 5, "port"),
        ReplicaPoint(1.0, "r1", "replica", 2.5, 4096, conflicts={"confl_lock": 1}),
        Progress(1.0, 5, "CREATE INDEX CONCURRENTLY", "building index", 0.5, "busy", 9),
        Held(1.0, 5, (("busy", "r", "ShareUpdateExclusiveLock", True), ("7", None, "ShareLock", False))),
    ],
)
def test_a_line_of_the_database_reads_back(value: ObserverLine) -> None:
    assert observer_line(json.loads(json.dumps(as_line(value)))) == value


def test_a_newer_versions_keys_are_ignored() -> None:
    assert observer_line({"what": "point", "at": 2.0, "moon": "full"}) == DatabasePoint(2.0)
    wait = Wait(5, 1.0, 2.0, 2.0, "relation", "ShareLock", root=Blocker(9))
    line = asdict(wait)
    assert Wait.from_json({**line, "root": {**line["root"], "moon": "full"}, "moon": "full"}) == wait


def test_what_the_observer_says_of_itself_reads_back() -> None:
    said = Observed(0.5, 9.0, backends=(5, 6), gaps=((1.0, 1.5),), blind=((3.0, 4.0),), waits=2, lines=9)
    assert observed(json.loads(json.dumps(asdict(said)))) == said
    assert said.complete


@pytest.mark.parametrize(
    "said", [{}, {"began_at": 0.5}, {"began_at": 0.5, "ended_at": 9.0, "why_blind": "no"}]
)
def test_one_that_never_began_that_died_or_that_was_blind_is_not_complete(said: dict[str, object]) -> None:
    assert not observed(said).complete
