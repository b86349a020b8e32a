"""Several processes of one migration at once, against a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.clock import wait_until
from harness.core.drill_race import Racer, graded, racers_of
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.trace_fold import build
from harness.db.guard import RunLock
from harness.db.migration import MigrationChild, MigrationOrder, terminate_backends
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.run.drill_race import RaceMigrators
from harness.run.drills import Noted
from tests.integration.test_migration import order_for

pytestmark = [pytest.mark.integration, pytest.mark.migration]


def _race(
    url: DatabaseUrl, order: MigrationOrder, meanwhile: Callable[[], object] = lambda: None
) -> tuple[list[Racer], Mapping[str, Any]]:
    """Three of them to their ends, and what the drill wrote of it."""
    seen: dict[str, Any] = {}

    def note(kind: str, _at: float | None = None, **data: Any) -> float:
        if kind == Kind.DRILL_END:
            seen.update(data)
        return 1.0

    def make(variables: Mapping[str, str], more: str) -> MigrationChild:
        files = (order.log_file.with_name(f"racer{more}.{kind}") for kind in ("trace", "log"))
        trace, log = files
        return MigrationChild(
            replace(order, trace_file=trace, log_file=log, environment={**order.environment, **variables})
        )

    drill = Noted(1, Drill("race-migrators", value="3"), note)
    records: list[Mapping[str, Any]] = []
    with RunLock.acquire(url, "the-run"):
        racers = RaceMigrators(drill, lambda: RunLock.acquire(url, "another")).child(1, make)
        try:
            racers.start()
            meanwhile()
            assert wait_until(lambda: racers.poll() is not None, within=60)
        finally:
            _, records = racers.stop(lambda pids: terminate_backends(url, pids), sleep=time.sleep)  # type: ignore[assignment]
    return racers_of(seen, build(records)), seen


def test_with_a_lock_in_env_py_one_does_the_work_and_the_others_have_nothing_to_do(
    database: str, tmp_path: Path
) -> None:
    order = replace(order_for(database, tmp_path, "one_at_a_time"), target="k3")
    racers, seen = _race(DatabaseUrl.parse(database), order)
    assert sorted(racer.revisions for racer in racers) == [(), (), ("k1", "k2", "k3")]
    assert [racer.exit_code for racer in racers] == [0, 0, 0]
    assert graded(racers, True, "", [])[0] == "A"
    assert len(seen["guard"]) == 2
    assert all("Another run is using the database" in said for said in seen["guard"])


def test_without_one_the_others_fail_for_a_named_reason(database: str, tmp_path: Path) -> None:
    order = replace(order_for(database, tmp_path, "killed"), target="k1")
    with psycopg.connect(database) as rival, psycopg.connect(database, autocommit=True) as look:
        rival.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        rival.commit()
        rival.execute("CREATE TABLE notes ()")  # until it is rolled back all of them wait for it

        def release() -> None:
            assert wait_until(lambda: _waiting(look) == 3, within=30)
            rival.rollback()

        racers, _ = _race(DatabaseUrl.parse(database), order, release)
    assert sorted(racer.exit_code or 0 for racer in racers) == [0, 1, 1]
    assert sorted(racer.revisions for racer in racers) == [(), (), ("k1",)]
    assert {racer.reason[:5] for racer in racers} <= {"", "42P07", "23505"}
    assert graded(racers, True, "", [])[0] == "B"
    assert DatabaseMigrator(database, alembic_config=order.alembic_config).current() == ("k1",)


def _waiting(look: psycopg.Connection) -> int:
    row = look.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return 0 if row is None else int(row[0])
