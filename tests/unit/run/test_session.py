"""What a session ends of its migrations; and how what is left to do then never costs the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clock import utc_now
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import Identity
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run import session as session_module
from harness.run.databases import Database
from harness.run.preparation import Prepared
from harness.run.services import Services
from harness.run.session import Session
from harness.run.steps import Step
from harness.store import RunDirectory
from tests.fix_controller import FakeClock, FakeLoad
from tests.fix_record import a_plan


@pytest.fixture
def prepared(tmp_path: Any) -> Iterator[Prepared]:
    plan: Plan = a_plan(run_root=str(tmp_path), placebo=True)
    directory = RunDirectory.create(plan, utc_now())
    services = SimpleNamespace(host="http://127.0.0.1:1", ours=False, database_url=None, pids=dict)
    yield Prepared(plan, directory, cast(Services, services), (), ())
    directory.close()


@pytest.fixture
def session(prepared: Prepared, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A run that has nothing to walk through."""
    session = Session(prepared, FakeLoad(), clock.sleep, lambda _: None)
    monkeypatch.setattr(session.controller, "run", lambda *_: None)
    return session


@pytest.mark.parametrize(
    "trouble",
    [
        OSError(28, "No space left on device"),
        SetupError("The lock could not be released."),
        ValueError("odd"),
    ],
)
def test_what_cannot_be_undone_costs_a_warning(
    session: Session, prepared: Prepared, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise trouble

    prepared.undo.callback(fail)
    finished = session.run()
    assert finished.verdict.exit_code == finished.exit_code
    assert (finished.directory / "verdict.json").is_file()
    assert str(trouble) in caplog.text


def test_an_observer_that_cannot_be_stopped_keeps_nothing_else_running(
    session: Session, prepared: Prepared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the observer hangs")

    ended: list[str] = []
    prepared.undo.callback(ended.append, "services")
    monkeypatch.setattr(session._observing, "stop", fail)
    finished = session.run()
    assert ended == ["services"]
    assert (finished.directory / "verdict.json").is_file()
    assert "the observer hangs" in caplog.text


def test_what_cannot_be_looked_at_does_not_end_the_run(
    session: Session, prepared: Prepared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("odd hashes")

    monkeypatch.setattr(prepared.rows, "launch", fail)
    session._entered("launch")
    assert "odd hashes" in caplog.text


def test_a_rollback_that_is_a_drill_begins_and_ends_with_its_phases(
    tmp_path: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(run_root=str(tmp_path), downgrade="v1", drills=("rollback",))
    directory = RunDirectory.create(plan, utc_now())
    services = SimpleNamespace(host="http://127.0.0.1:1", ours=False, database_url=None, pids=dict)
    session = Session(
        Prepared(plan, directory, cast(Services, services), (), ()), FakeLoad(), clock.sleep, lambda _: None
    )
    for phase in ("launch", "rollback_launch", "final_read"):
        session._entered(phase)
    directory.close()
    lines = map(json.loads, (directory.path / "events.ndjson").read_text().splitlines())
    assert [line["event"] for line in lines] == ["drill_begin", "drill_end"]


SHOP_URL = "postgresql://a@127.0.0.1/shop"


def test_its_backends_are_ended_in_every_database_that_it_may_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[str, list[int], list[str]]] = []

    def terminate(url: DatabaseUrl, pids: Sequence[int], databases: Sequence[str] = ()) -> int:
        ended.append((url.resolved().dbname, list(pids), list(databases)))
        return len(pids)

    monkeypatch.setattr(session_module, "terminate_backends", terminate)
    shop, archive = Identity("1", 5, 180000, "shop"), Identity("1", 6, 180000, "archive")
    migrator = DatabaseMigrator(SHOP_URL, script_location="migrations")
    step = Step(MigrationPlan(), Database("", SHOP_URL, shop), SHOP_URL, migrator, (shop, archive))
    session_module._terminate(step, [7, 8])
    assert ended == [("shop", [7, 8], ["shop", "archive"])]
