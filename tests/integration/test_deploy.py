"""Deploys for real: instances of the reference service replaced under requests, and commands of one's own."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from harness.clock import utc_now, wait_until
from harness.core.events import Kind
from harness.core.plan import Plan
from harness.run.deploy import CommandDeploy, Deploy, RollingDeploy
from harness.run.releases import ask
from harness.run.services import Services, start_demo
from harness.store import RunDirectory
from tests.fix_target import run_alembic

pytestmark = pytest.mark.integration

PEOPLE = 12


@dataclass
class Stage:
    services: Services
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return time.monotonic() if at is None else at

    def walk(self, one: Deploy, within_s: float = 60.0) -> dict[str, Any]:
        one.begin()
        try:
            deadline = time.monotonic() + within_s
            while not one.ended and time.monotonic() < deadline:
                time.sleep(0.02)
                one.step()
        finally:
            one.abort()
        [end] = [data for kind, data in self.events if kind == Kind.DEPLOY_END]
        return end

    def roll(self, release: str) -> dict[str, Any]:
        return self.walk(RollingDeploy("after", release, self.services, self.note, 60.0, lambda *_: None))

    def bad(self, account: str) -> set[str]:
        return {what for what, status in ask(self.services.host, account).items() if status >= 300}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    plan = Plan(rows=300, instances=2, deploy_when="after", run_root=str(tmp_path_factory.mktemp("runs")))
    directory = RunDirectory.create(plan, utc_now())
    started = start_demo(plan, directory)
    yield started
    started.stop()
    directory.close()


@pytest.fixture
def stage(services: Services) -> Stage:
    return Stage(services)


@dataclass
class People:
    """Ask for something all the time, each over one kept connection."""

    host: str
    outcomes: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        with requests.Session() as session:
            while not self.over.is_set():
                try:
                    self.outcomes[str(session.get(f"{self.host}/health", timeout=10).status_code)] += 1
                except requests.RequestException as error:
                    self.outcomes[type(error).__name__] += 1


def test_a_rolling_deploy_loses_no_request(stage: Stage) -> None:
    before = [instance.process for instance in stage.services.instances]
    people = People(stage.services.host)
    threads = [threading.Thread(target=people.ask) for _ in range(PEOPLE)]
    for thread in threads:
        thread.start()
    try:
        end = stage.roll("n")
    finally:
        people.over.set()
        for thread in threads:
            thread.join()
    assert end["status"] == "ok", end
    assert set(people.outcomes) == {"200"}, people.outcomes
    assert sum(people.outcomes.values()) > 20 * PEOPLE
    assert all(process.poll() is not None for process in before)
    assert stage.services.died() is None
    assert stage.services.answers()


def test_a_release_is_deployed_that_needs_the_migration_or_comes_before_it(stage: Stage) -> None:
    """`n+1` breaks without the columns of `safe`; `n` breaks without the one that `hurried` drops."""
    url = stage.services.database_url
    assert url is not None
    assert stage.bad("rolled-0") == set()
    assert stage.roll("n+1")["status"] == "ok"
    assert stage.bad("rolled-1") >= {"create", "list"}
    run_alembic(url, "upgrade", "safe@head")
    assert stage.bad("rolled-2") == set()
    run_alembic(url, "downgrade", "v1")
    stage.events.clear()
    assert stage.roll("n+1-untagged")["status"] == "ok"
    assert stage.bad("rolled-3") == set()
    run_alembic(url, "upgrade", "hurried@head")
    assert stage.bad("rolled-4") == set()
    stage.events.clear()
    assert stage.roll("n")["status"] == "ok"
    assert stage.bad("rolled-5") >= {"create", "list"}
    run_alembic(url, "downgrade", "v1")
    assert stage.bad("rolled-6") == set()


def _command(stage: Stage, tmp_path: Path, script: str, deadline_s: float = 60.0) -> CommandDeploy:
    log = tmp_path / "logs" / "deploy.log"
    log.parent.mkdir()
    command = f"sh -c '{script}'"
    return CommandDeploy("after", command, log, stage.note, deadline_s, time.sleep)


@pytest.fixture
def alone() -> Stage:
    return Stage(Services("http://127.0.0.1:1", None))


def test_a_command_that_ends_well_has_deployed(alone: Stage, tmp_path: Path) -> None:
    end = alone.walk(_command(alone, tmp_path, "echo rolled; echo out >&2"))
    assert end == {"status": "ok", "exit_code": 0, "message": ""}
    assert (tmp_path / "logs" / "deploy.log").read_text() == "rolled\nout\n"


def test_a_command_that_fails_is_told_with_its_exit_code(alone: Stage, tmp_path: Path) -> None:
    end = alone.walk(_command(alone, tmp_path, "exit 7"))
    assert (end["status"], end["exit_code"]) == ("failed", 7)
    assert end["message"] == "Its command ended with exit code 7; its output is in logs/deploy.log."


@pytest.mark.parametrize("trap", ["", 'trap "" TERM; '])
def test_a_command_that_lasts_too_long_is_ended_with_all_it_started(
    alone: Stage, tmp_path: Path, trap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.deploy.STOP_WITHIN_S", 0.3)
    pids = tmp_path / "pids"
    script = f"{trap}sleep 60 & echo $! $$ >{pids}; wait; wait; sleep 60"
    one = _command(alone, tmp_path, script, deadline_s=1.0)
    end = alone.walk(one)
    assert end["status"] == "deadline"
    assert wait_until(lambda: not any(map(_lives, map(int, pids.read_text().split()))), within=5)


def test_what_a_command_leaves_in_the_background_is_the_new_release(alone: Stage, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert alone.walk(_command(alone, tmp_path, f"sleep 60 & echo $! >{pid}"))["status"] == "ok"
    left = int(pid.read_text())
    try:
        assert _lives(left)
    finally:
        os.kill(left, 9)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
