"""Several processes of one migration at once, against a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.drill_race import Racer, graded
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.trace_fold import build
from harness.db.guard import RunLock
from harness.db.migration import MigrationChild, terminate_backends
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.run.drill_race import RaceMigrators
from harness.run.drills import Noted
from tests.integration.test_migration import order_for

pytestmark = [pytest.mark.integration, pytest.mark.migration]


def test_one_of_three_does_the_work_and_the_others_leave_for_a_named_reason(
    database: str, tmp_path: Path
) -> None:
    url, order = DatabaseUrl.parse(database), order_for(database, tmp_path, "safe")
    written: list[tuple[str, dict[str, Any]]] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        written.append((kind, data))
        return 1.0

    def make(variables: Mapping[str, str], more: str) -> MigrationChild:
        own = replace(order, trace_file=tmp_path / f"{more}.trace", log_file=tmp_path / f"{more}.log")
        return MigrationChild(replace(own, environment={**order.environment, **variables}))

    with RunLock.acquire(url, "the-run"):
        drill = Noted(1, Drill("race-migrators", value="3"), note)
        racers = RaceMigrators(drill, lambda: RunLock.acquire(url, "another")).child(1, make)
        records: list[Mapping[str, Any]] = []
        try:
            racers.start()
            until = time.monotonic() + 60
            while racers.poll() is None and time.monotonic() < until:
                records += racers.records()
                time.sleep(0.02)
            code = racers.poll()
            records += racers.records()
        finally:
            racers.stop(lambda pids: terminate_backends(url, pids), sleep=time.sleep)

    assert DatabaseMigrator(database, alembic_config=order.alembic_config).current() == ("d4",)
    assert code == 0
    seen = next(data for kind, data in written if kind == Kind.DRILL_END)
    assert all("Another run is using the database" in said for said in seen["guard"])
    assert len(seen["guard"]) == 2
    trace = build(records)
    told = [
        Racer(
            one["exit_code"],
            tuple(
                dict.fromkeys(
                    str(s.revision)
                    for s in trace.migration_statements
                    if s.process in one["processes"] and s.committed_mono is not None
                )
            ),
            next((str(s.error) for s in trace.statements if s.process in one["processes"] and s.error), ""),
        )
        for one in seen["racers"]
    ]
    grade, why = graded(told, True, "", [])
    assert grade in ("A", "B"), why
    assert sorted(revision for racer in told for revision in racer.revisions) == ["a1", "b2", "c3", "d4"]
