"""A migration that is killed at a statement, against a real PostgreSQL: what it had sent, what it left, and
the walk over all its statements.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.clock import wait_until
from harness.core.drill_events import Told
from harness.core.drill_walk import grade_walk
from harness.core.drills import Drill, parse
from harness.core.events import Event, Kind
from harness.core.kill_points import KillPoint
from harness.db.leftovers import find_leftovers, living_backends
from harness.db.migration import MigrationChild, MigrationOrder
from harness.db.migrator import DatabaseMigrator
from harness.db.remedies import mend
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.run.drill_kill import KillMigrator, Place
from harness.run.drills import Noted
from harness.run.rehearsal import Rehearsal, read_shape
from harness.run.walk import Walk
from tests.integration.test_migration import order_for

pytestmark = [pytest.mark.integration, pytest.mark.migration]


class Empty:
    """Copies of an empty database."""

    def __init__(self, postgres: EmbeddedServer, driver: str) -> None:
        self._postgres = postgres
        self._driver = driver
        self._made: list[str] = []

    def fresh(self) -> str:
        self.drop()
        name = f"copy_{time.monotonic_ns()}"
        url = self._postgres.create_database(name)
        self._made.append(name)
        return DatabaseUrl.parse(url).sqlalchemy(self._driver)

    def drop(self) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            while self._made:
                connection.execute(f'DROP DATABASE "{self._made.pop()}" WITH (FORCE)'.encode())


@pytest.fixture
def copies(postgres: EmbeddedServer) -> Iterator[Empty]:
    made = Empty(postgres, "psycopg")
    yield made
    made.drop()


def _rehearsal(order: MigrationOrder) -> Rehearsal:
    return Rehearsal(order, order.target, time.sleep, ("TEST_DATABASE_URL",), within_s=60)


def _to_k3(copies: Empty, tmp_path: Path) -> MigrationOrder:
    return replace(order_for(copies.fresh(), tmp_path, "killed"), target="k3")


@pytest.mark.parametrize(
    ("driver", "ini"),
    [
        ("psycopg", "alembic.ini"),
        ("psycopg2", "alembic.ini"),
        ("asyncpg", "async.ini"),
        ("psycopg", "async.ini"),
    ],
)
@pytest.mark.parametrize("point", ["before", "during"])
def test_nothing_is_sent_after_the_statement_at_which_it_is_killed(
    postgres: EmbeddedServer, tmp_path: Path, driver: str, ini: str, point: str
) -> None:
    copies = Empty(postgres, driver)
    url = copies.fresh()
    rehearsal = _rehearsal(order_for(url, tmp_path, "safe", driver, ini))
    undisturbed = rehearsal.upgrade(url, counted=True)
    second = undisturbed.trace.migration_statements[1]
    url = copies.fresh()
    killed = rehearsal.kill(url, KillPoint("migration", 2, point))
    copies.drop()
    assert killed.seen["done"], killed.seen["why"]
    assert (undisturbed.code, killed.seen["sent_later"]) == (0, 0)
    sent = [statement.sql for statement in killed.trace.migration_statements]
    assert sent == [s.sql for s in undisturbed.trace.migration_statements[: 1 if point == "before" else 2]]
    assert " ".join(second.sql.split()) == " ".join(killed.seen["sql"].split())
    assert killed.seen["gone_s"] is not None


def test_repeats_count_each_for_itself(copies: Empty, tmp_path: Path) -> None:
    url = copies.fresh()
    rehearsal = _rehearsal(order_for(url, tmp_path, "safe"))
    counted = rehearsal.upgrade(url, counted=True).trace.migration_statements
    assert len(counted) > 32  # 30 of them alike, of which a trace sums up all but the first 20
    assert {statement.executions for statement in counted} == {1}
    killed = rehearsal.kill(copies.fresh(), KillPoint("migration", 30, "before"))
    assert len(killed.trace.migration_statements) == 29


def test_one_that_nobody_kills_in_time_ends_by_itself_and_changes_nothing(
    copies: Empty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = copies.fresh()
    order = replace(order_for(url, tmp_path, "killed"), target="k1")
    short = replace(order, environment={**order.environment, "MUL_TRACE_HALT_S": "0.5"})
    monkeypatch.setattr("harness.run.drill_kill.KilledChild._kill", lambda *_: None)
    killed = _rehearsal(short).kill(url, KillPoint("migration", 2, "before"))
    assert "exit code 1" in killed.seen["why"]
    assert DatabaseMigrator(url, alembic_config=order.alembic_config).current() == ()
    assert "table notes" not in read_shape(url)


@contextmanager
def _old_snapshot(url: str) -> Iterator[None]:
    """A transaction for whose end CREATE INDEX CONCURRENTLY waits."""
    with psycopg.connect(DatabaseUrl.parse(url).libpq()) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


def test_a_session_that_outlives_its_killed_client_is_ended_and_what_it_left_is_seen(
    copies: Empty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.drill_kill.ENDED_WITHIN_S", 1.0)
    url = copies.fresh()
    order = replace(order_for(url, tmp_path, "killed"), target="k2")
    rehearsal = _rehearsal(order)
    rehearsal.upgrade(url, "k1")
    with _old_snapshot(url):
        killed = rehearsal.kill(url, KillPoint("migration", 1, "during"))
        assert living_backends(DatabaseUrl.parse(url), killed.seen["sessions"]) == []
    assert (killed.seen["answered"], killed.seen["gone_s"]) == (False, None)
    assert killed.seen["revisions"] == ["k1"]
    assert killed.seen["shape"]["index notes_body"].startswith("INVALID")


def test_an_index_that_was_built_behind_the_killed_clients_back_is_dropped_for_a_third_run(
    copies: Empty, tmp_path: Path
) -> None:
    url = copies.fresh()
    order, parsed = replace(order_for(url, tmp_path, "killed"), target="k2"), DatabaseUrl.parse(url)
    told: list[tuple[str, dict[str, Any]]] = []

    def note(kind: str, _at: float | None = None, **data: Any) -> float:
        told.append((kind, data))
        return 0.0

    def make(variables: Mapping[str, str], _more: str) -> MigrationChild:
        trace = tmp_path / f"{len(codes)}.trace"
        return MigrationChild(
            replace(order, trace_file=trace, environment={**order.environment, **variables})
        )

    place = Place(
        living=lambda pids: living_backends(parsed, pids),
        terminate=lambda _: None,
        revisions=DatabaseMigrator(url, alembic_config=order.alembic_config).current,
        keep_schema=lambda: None,
        shape=lambda: read_shape(url),
        mend=lambda statements: mend(parsed, statements, 10),
    )
    noted = Noted(1, Drill("kill-migrator", "during", "3"), note)
    drill, codes = KillMigrator(noted, place, KillPoint("migration", 3, "during")), list[int | None]()
    again = True
    while again:
        child = drill.child(len(codes) + 1, make)
        child.start()
        assert wait_until(lambda: child.records() is not None and child.poll() is not None, within=30)  # noqa: B023
        codes.append(child.poll())
        again = drill.again(len(codes))
    assert codes == [-9, 1, 0]
    [remedy] = [data for kind, data in told if kind == Kind.DRILL_REMEDY]
    assert remedy["statements"] == ["DROP INDEX CONCURRENTLY notes_body"]
    assert place.revisions() == ("k2",)


def test_the_walk_finds_what_each_kill_leaves_and_what_the_re_run_makes_of_it(
    copies: Empty, tmp_path: Path
) -> None:
    order = _to_k3(copies, tmp_path)
    lines = list(Walk(_rehearsal(order), copies, within_s=300).lines())
    plan, *cells, end = lines
    assert (plan["statements"], plan["places"], len(cells), end["why"]) == (4, 11, 11, "")
    result = _graded(lines)
    grades = {(c["revision"], _settled(c["place"])): c["grade"] for c in result.evidence["cells"]}
    written = "before the commit"
    assert grades == {
        ("k1", "before statement 1"): "A",
        ("k1", "after statement 1"): "A",
        ("k1", "before statement 2"): "A",
        ("k1", "after statement 2"): "A",
        ("k1", written): "A",
        ("k2", "before statement 3"): "A",
        ("k2", "after statement 3"): "C",
        ("k2", written): "C",
        ("k3", "before statement 4"): "A",
        ("k3", "after statement 4"): "D",
        ("k3", written): "D",
    }
    assert (result.grade, result.evidence["grades"]["D"]) == ("D", 2)
    [index] = [c for c in result.evidence["cells"] if c["revision"] == "k2" and c["place"] == written]
    assert index["left"] == [
        "index notes_body is there",
        "1 statement of k2, which is not applied, stayed committed",
    ]
    assert index["after"] == "at k3 after DROP INDEX CONCURRENTLY notes_body"
    url = DatabaseUrl.parse(copies.fresh())
    assert not find_leftovers(url, order.application_name, [])


def test_rows_that_the_re_run_adds_once_more_are_counted(copies: Empty, tmp_path: Path) -> None:
    order = replace(order_for(copies.fresh(), tmp_path, "killed"), target="rows@head")
    walk = Walk(_rehearsal(order), copies, within_s=300)
    walk._rehearse()
    cell = walk._cell(KillPoint("version", 3, "during", "k4"))
    assert "rows of notes is 1001, not 1000" in cell["left"]
    assert cell["wrong"] == ["rows of notes is 1002, not 1001"]


def _settled(place: str) -> str:
    """Whether a fast statement was answered before the kill is chance, and here makes no difference."""
    return re.sub(r"^during (statement \d+)$", r"after \1", place)


def _graded(lines: list[dict[str, Any]]) -> Any:
    events = [Event(70.0 + n, Kind.DRILL_CELL, line) for n, line in enumerate(lines[1:-1])]
    return grade_walk(
        Told(
            1,
            parse("kill-migrator@each"),
            Event(60.0, Kind.DRILL_BEGIN, lines[0]),
            Event(90.0, Kind.DRILL_END, {"done": True, "why": lines[-1]["why"]}),
            tuple(events),
        )
    )


def test_a_walk_that_has_no_more_time_says_how_far_it_came(copies: Empty, tmp_path: Path) -> None:
    order = _to_k3(copies, tmp_path)
    lines = list(Walk(_rehearsal(order), copies, within_s=0).lines())
    assert lines[-1]["why"] == "after 0 s 0 of 11 places were walked"
