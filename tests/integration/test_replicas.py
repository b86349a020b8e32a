"""A real streaming replica: how far it is behind, what it cancels, and what becomes of the gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness.clock import monotonic, wait_until
from harness.core.error_kinds import said
from harness.core.judge import judge
from harness.core.observation import ObserverLine, ReplicaPoint, observer_line
from harness.core.replica_lag import replicas_of
from harness.core.replication import PRIMARY, REPLICA
from harness.core.verdict import GateResult
from harness.db.guard import connect, identify
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import SetupError, UsageError
from harness.run.databases import check_replica
from tests.fix_record import a_plan, a_record

pytestmark = pytest.mark.integration

MIGRATES_AT = 27.0
"""When the first statement runs in a record of `a_record`."""


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    log = tmp_path_factory.mktemp("primary") / "postgres.log"
    with EmbeddedServer.start(log=log) as server:
        server.create_database("shop")
        with psycopg.connect(server.database_url("shop")) as connection:
            connection.execute("CREATE TABLE notes (id int)")
        yield server


@pytest.fixture(scope="module")
def replica(primary: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    log = tmp_path_factory.mktemp("replica") / "postgres.log"
    settings = {"max_standby_streaming_delay": "500ms"}
    with EmbeddedServer.start(replica_of=primary, log=log, settings=settings) as server:
        yield server


class Seen:
    """A running observer, and what it has written of replicas."""

    def __init__(self, folder: Path, url: str, replica_url: str | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.zero = monotonic()
        order = Order(folder, url, self.zero, None, {}, "mul-migration test", replica_url)
        self.child = ObserverChild(order, folder / "observer.log")

    def __enter__(self) -> Seen:
        self.child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    @property
    def now(self) -> float:
        return monotonic() - self.zero

    def lines(self) -> list[ObserverLine]:
        file = self.folder / "database.ndjson"
        written = file.read_text().splitlines() if file.exists() else []
        return [observer_line(json.loads(line)) for line in written]

    def last(self, source: str) -> ReplicaPoint | None:
        points = (line for line in reversed(self.lines()) if isinstance(line, ReplicaPoint))
        return next((point for point in points if point.source == source), None)

    def comes(self, source: str, within: float = 15.0, **wanted: object) -> bool:
        """Whether the newest point comes to say this; `behind` is a lag of at least so many seconds."""
        behind = wanted.pop("behind", None)

        def said_so() -> bool:
            point = self.last(source)
            if point is None or any(getattr(point, name) != value for name, value in wanted.items()):
                return False
            return behind is None or (point.lag_s or 0.0) >= float(str(behind))

        return wait_until(said_so, within)

    def gate(self, phase: str, began: float, ended: float) -> GateResult:
        """The gate of a run whose first statement ran at `began` of this observer's time."""
        shift = MIGRATES_AT - began
        lines = tuple(replace(line, at=line.at + shift) for line in self.lines() if line.at < ended)
        record = a_record(a_plan(standby=True), database=lines)
        found = [gate for gate in judge(record).gates if gate.name == "replica_lag"]
        return next(gate for gate in found if f"phase={phase}}}" in gate.expression)


@pytest.fixture
def watching(primary: EmbeddedServer, replica: EmbeddedServer, tmp_path: Path) -> Iterator[Seen]:
    with Seen(tmp_path / "run", primary.database_url("shop"), replica.database_url("shop")) as seen:
        assert seen.comes(PRIMARY, lag_s=0.0), (tmp_path / "run" / "observer.log").read_text()
        assert seen.comes(REPLICA, lag_s=0.0)
        yield seen


def write(primary: EmbeddedServer) -> None:
    with psycopg.connect(primary.database_url("shop")) as connection:
        connection.execute("INSERT INTO notes SELECT generate_series(1, 1000)")


@contextmanager
def paused(replica: EmbeddedServer) -> Iterator[None]:
    """The replica receives, and does not replay."""
    with psycopg.connect(replica.url, autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        assert wait_until(lambda: connection.execute(paused).fetchone() == (True,), 10)
        try:
            yield
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")


def test_a_replica_that_stops_to_replay_falls_behind_though_nothing_more_is_written(
    watching: Seen, primary: EmbeddedServer, replica: EmbeddedServer
) -> None:
    began = watching.now
    with paused(replica):
        write(primary)
        for source in (PRIMARY, REPLICA):
            assert watching.comes(source, behind=5.5)
            point = watching.last(source)
            assert point is not None
            assert (point.behind_bytes or 0) > 50_000
            assert (point.lag_s or 0.0) <= watching.now - began
    ended = watching.now
    assert watching.comes(PRIMARY, lag_s=0.0, behind_bytes=0)
    assert watching.comes(REPLICA, lag_s=0.0)

    red = watching.gate("migrate", began, ended)

    assert (red.status, red.limit) == ("fail", 5.0)
    assert "behind" in red.why


def test_the_gate_is_green_on_a_replica_that_keeps_up(watching: Seen, primary: EmbeddedServer) -> None:
    began = watching.now

    def written_for_ten_seconds() -> bool:
        write(primary)
        return watching.now > began + 11.0

    assert wait_until(written_for_ten_seconds, 20)

    green = watching.gate("migrate", began, watching.now)

    assert green.status == "pass"
    assert green.observed is not None


def test_a_query_that_the_replica_cancels_is_counted_and_has_its_class(
    watching: Seen, primary: EmbeddedServer, replica: EmbeddedServer
) -> None:
    with psycopg.connect(replica.database_url("shop")) as reader:
        reader.execute("SELECT count(*) FROM notes")
        with psycopg.connect(primary.database_url("shop")) as migration:
            migration.execute("ALTER TABLE notes ADD COLUMN body text")
        with pytest.raises(psycopg.Error) as canceled:
            reader.execute("SELECT pg_sleep(20)")

    kind = said(f"{type(canceled.value).__name__}: {canceled.value}")
    assert kind is not None
    assert kind.name == "conflict with recovery"
    counts = wait_until(lambda: (watching.last(REPLICA) or _NOTHING).conflicts.get("confl_lock") == 1, 10)
    assert counts, watching.last(REPLICA)


_NOTHING = ReplicaPoint(0.0, "", "")


def test_a_replica_that_hangs_does_not_blind_the_observer(watching: Seen, replica: EmbeddedServer) -> None:
    replica.pause()
    try:
        write_at = watching.now
        assert wait_until(lambda: any(line.at > write_at + 3.0 for line in watching.lines()), 15)
        read = watching.last(REPLICA)
        assert read is not None
        assert read.at < write_at + 1.5
        watching.child.stop()
        assert not watching.child.died
    finally:
        replica.resume()
    record = a_record(database=tuple(watching.lines()))
    assert {found.source for found in replicas_of(record)} == {PRIMARY, REPLICA}


def test_a_replica_that_is_lost_says_why_and_decides_nothing(
    primary: EmbeddedServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("lost") / "postgres.log"
    with (
        EmbeddedServer.start(replica_of=primary, log=log) as lost,
        Seen(tmp_path / "run", primary.database_url("shop"), lost.database_url("shop")) as seen,
    ):
        assert seen.comes(REPLICA, lag_s=0.0)
        began = seen.now
        lost.stop()
        assert seen.comes(REPLICA, lag_s=None)
        assert wait_until(lambda: seen.now > began + 5.0, 10)

    gate = seen.gate("migrate", began, seen.now)

    assert gate.status == "inconclusive"
    assert "was not seen for" in gate.why


def test_a_role_that_may_not_see_replicas_sees_that_there_are_some(
    primary: EmbeddedServer, replica: EmbeddedServer, tmp_path: Path
) -> None:
    assert replica.alive()
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
    url = f"postgresql://app:app@127.0.0.1:{primary.port}/shop"
    with Seen(tmp_path / "run", url, None) as seen:
        assert seen.comes(PRIMARY, lag_s=None)
        point = seen.last(PRIMARY)
    assert point is not None
    assert "GRANT pg_monitor" in point.why


def test_only_a_standby_of_the_database_is_its_replica(
    primary: EmbeddedServer, replica: EmbeddedServer, postgres: EmbeddedServer
) -> None:
    with connect(DatabaseUrl.parse(primary.database_url("shop")), "test") as connection:
        identity = identify(connection)

    check_replica(replica.database_url("shop"), identity)
    with pytest.raises(UsageError, match="is no standby") as refused:
        check_replica(primary.database_url("shop"), identity)
    assert "***" in str(refused.value)
    with pytest.raises(UsageError, match="of another server"):
        check_replica(postgres.url, identity)


def test_without_the_program_that_makes_one_there_is_no_replica(
    primary: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "binaries", replace(primary.binaries, bin_dir=tmp_path))
    with pytest.raises(SetupError, match="pg_basebackup"):
        EmbeddedServer.start(replica_of=primary)
