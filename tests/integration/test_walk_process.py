"""The walk over a migration's statements as a process: told of, ended, and gone with whoever started it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from harness.clock import wait_until
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.db.guard import connect
from harness.db.migration import MigrationOrder
from harness.db.server import EmbeddedServer
from harness.db.template import Recreated, maintenance
from harness.db.url import DatabaseUrl
from harness.run.copies import RecreatedCopies, SeededCopies
from harness.run.drill_walk import WalkDrill
from harness.run.drills import Noted
from harness.run.services import REFERENCE_ALEMBIC
from harness.run.walk import WalkOrder

pytestmark = [pytest.mark.integration, pytest.mark.migration]


class Stage:
    """A walk over the reference service's first revision, and what is written of it."""

    def __init__(self, server_url: str, folder: Path) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        order = MigrationOrder(
            "upgrade",
            "safe1",
            REFERENCE_ALEMBIC,
            run_id="walked",
            trace_file=folder / "copy.trace",
            log_file=folder / "copy.log",
        )
        walk = WalkOrder.of(order, server_url, seeded_rows=20, target="safe1", within_s=120)
        noted = Noted(1, Drill("kill-migrator", "each"), self._note)
        self.log = folder / "walk.log"
        self.drill = WalkDrill(noted, walk, folder / "lines", self.log, time.sleep)

    def _note(self, kind: str, _at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return 1.0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found == kind]

    def until(self, condition: Callable[[], object], within_s: float = 60) -> bool:
        def stepped() -> bool:
            self.drill.step()
            return bool(condition())

        return wait_until(stepped, within_s)


def _below() -> list[psutil.Process]:
    """The walk's process and the migration's, below this one."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if {"harness.run.walk", "alembic"} & set(process.cmdline())
    ]


def _gone(process: psutil.Process) -> bool:
    """Whether it has ended; nobody may have asked yet how."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_walk_that_is_ended_leaves_no_process_and_no_session(
    postgres: EmbeddedServer, tmp_path: Path
) -> None:
    stage = Stage(postgres.url, tmp_path)
    stage.drill.begin()
    try:
        assert stage.until(lambda: stage.of(Kind.DRILL_CELL)), stage.log.read_text()
        assert wait_until(lambda: len(_below()) == 2, within=10)  # in the middle of the next place
        running = _below()
    finally:
        stage.drill.abort()
    assert stage.drill.ended
    [end] = stage.of(Kind.DRILL_END)
    assert (end["done"], end["why"][:16]) == (False, "the run ended af")
    assert wait_until(lambda: all(map(_gone, running)), within=5)
    with psycopg.connect(postgres.url) as connection:
        left = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'mul_walk'"
        assert wait_until(lambda: connection.execute(left).fetchone() == (0,), within=5)


def test_a_walk_that_cannot_begin_says_why(tmp_path: Path) -> None:
    stage = Stage("postgresql://postgres@127.0.0.1:1/postgres", tmp_path)
    stage.drill.begin()
    assert stage.until(lambda: stage.drill.ended)
    stage.drill.abort()
    [end] = stage.of(Kind.DRILL_END)
    assert end["done"] is False
    assert "127.0.0.1 (port 1)" in end["why"]


def test_a_walk_that_crashes_is_told_with_the_end_of_its_complaints(
    postgres: EmbeddedServer, tmp_path: Path
) -> None:
    stage = Stage(postgres.url, tmp_path)
    stage.drill.begin()
    [walk] = _below()
    walk.kill()
    assert stage.until(lambda: stage.drill.ended)
    stage.drill.abort()
    [end] = stage.of(Kind.DRILL_END)
    assert (end["done"], "exit code -9" in end["why"]) == (False, True)


def test_each_copy_of_the_reference_service_is_as_it_was_seeded(
    postgres: EmbeddedServer, tmp_path: Path
) -> None:
    copies = SeededCopies(postgres.url, 20, tmp_path / "seed.log")
    for _ in range(2):
        with psycopg.connect(DatabaseUrl.parse(copies.fresh()).libpq(), autocommit=True) as copy:
            assert copy.execute("SELECT count(*) FROM documents").fetchone() == (20,)
            copy.execute("DROP TABLE documents CASCADE")


def test_each_copy_of_a_database_that_is_made_anew_takes_its_place(postgres: EmbeddedServer) -> None:
    name = f"shop_{time.monotonic_ns()}"
    text = postgres.create_database(name)
    url = DatabaseUrl.parse(text)
    with psycopg.connect(text) as connection:
        connection.execute("CREATE TABLE notes (id int)")
    with connect(maintenance(url), "test") as outside:
        database = Recreated(name, outside)
        database.keep("a test", time.sleep)
        database.copy()
    copies = RecreatedCopies(text)
    used = psycopg.connect(text)  # as a service that is connected
    for _ in range(2):
        with psycopg.connect(copies.fresh(), autocommit=True) as copy:
            assert copy.execute("SELECT to_regclass('notes') IS NOT NULL").fetchone() == (True,)
            copy.execute("DROP TABLE notes")
    with pytest.raises(psycopg.OperationalError):
        used.execute("SELECT 1")
    used.close()
