"""Deploys, walked as the controller does it, on processes that do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.events import Kind
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.errors import UsageError
from harness.run import deploy
from harness.run.commands import check_deploy
from harness.run.deploy import LEAVE_WITHIN_S, CommandDeploy, Deploy, RollingDeploy, next_release
from harness.run.services import Instance, Services
from tests.fix_controller import FakeClock


@dataclass
class FakeProcess:
    """One that ends when it is asked to, unless it is `stubborn`."""

    pid: int
    stubborn: bool = False
    code: int | None = None
    asked: int = 0
    stdin: None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.asked += 1
        self.code = None if self.stubborn else -15

    def kill(self) -> None:
        self.code = -9


@dataclass(frozen=True)
class FakeInstance(Instance):
    """One that answers from the second look on, unless it is `unwell`."""

    unwell: bool = False
    looks: Iterator[bool] = field(default_factory=lambda: iter([False]))

    def answers(self) -> bool:
        return not self.unwell and next(self.looks, True)


@dataclass
class Stage:
    clock: FakeClock
    services: Services
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    measured: list[tuple[str, int]] = field(default_factory=list)
    started: list[FakeInstance] = field(default_factory=list)
    unwell: bool = False
    ends_at_once: bool = False

    log: Path = Path("service.log")

    def instance(self, **settings: str) -> Instance:
        """As the target's."""
        process = FakeProcess(20 + len(self.started), code=1 if self.ends_at_once else None)
        made = FakeInstance(cast(Any, process), "http://127.0.0.1:1", settings, self.unwell)
        self.started.append(made)
        return made

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return self.clock.now if at is None else at

    def measure(self, name: str, pid: int) -> None:
        self.measured.append((name, pid))

    def rolling(self, deadline_s: float = 60.0) -> RollingDeploy:
        return RollingDeploy("after", "n+1", self.services, self.note, deadline_s, self.measure)

    def walk(self, one: Deploy, seconds: float = 120.0) -> dict[str, Any]:
        one.begin()
        until = self.clock.now + seconds
        while not one.ended and self.clock.now < until:
            self.clock.sleep(0.05)
            one.step()
        return self.end

    @property
    def end(self) -> dict[str, Any]:
        [end] = [data for kind, data in self.events if kind == Kind.DEPLOY_END]
        return end


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock = FakeClock()
    monkeypatch.setattr(deploy, "monotonic", clock)
    services = Services("http://127.0.0.1:1", None)
    services.instances = [FakeInstance(cast(Any, FakeProcess(10 + n)), services.host) for n in range(2)]
    stage = Stage(clock, services)
    services.target = cast(Any, stage)
    return stage


def test_instances_are_replaced_one_by_one(stage: Stage) -> None:
    old = [cast(FakeProcess, instance.process) for instance in stage.services.instances]
    one = stage.rolling()
    one.begin()
    assert one.doing == "deploy of release n+1: instance 1 of 2"
    for _ in range(3):  # one look at the new one in vain, one that finds it well, one at the old one's end
        one.step()
    assert [process.asked for process in old] == [1, 0]
    assert [instance.process.pid for instance in stage.services.instances] == [20, 11]
    while not one.ended:
        one.step()
    assert [instance.process.pid for instance in stage.services.instances] == [20, 21]
    assert [process.asked for process in old] == [1, 1]
    assert [instance.settings for instance in stage.services.instances] == [{"RELEASE": "n+1"}] * 2
    assert stage.measured == [("service", 20), ("service-2", 21)]
    assert stage.end == {"status": "ok", "exit_code": None, "message": ""}
    assert one.doing == ""


def test_no_instance_is_asked_to_end_before_the_next_one_answers(stage: Stage) -> None:
    stage.unwell = True
    end = stage.walk(stage.rolling(deadline_s=20.0))
    assert end["status"] == "deadline"
    assert [instance.process.pid for instance in stage.services.instances] == [10, 11]
    assert stage.services.died() is None
    assert stage.started[0].process.poll() == -9


def test_a_release_that_does_not_start_fails_the_deploy_and_leaves_the_service(
    stage: Stage, tmp_path: Path
) -> None:
    stage.ends_at_once, stage.log = True, tmp_path / "service.log"
    stage.log.write_text("ImportError: no module named documents\n")
    end = stage.walk(stage.rolling())
    assert end["status"] == "failed"
    assert "Instance 1 of release n+1 ended at once: ImportError" in end["message"]
    assert stage.services.died() is None


def test_an_instance_that_does_not_leave_is_killed_and_fails_the_deploy(stage: Stage) -> None:
    old = cast(FakeProcess, stage.services.instances[0].process)
    old.stubborn = True
    end = stage.walk(stage.rolling())
    assert (end["status"], old.code) == ("failed", -9)
    assert f"did not end within {LEAVE_WITHIN_S:g} s" in end["message"]
    assert stage.services.died() is None


def test_a_run_that_ends_meanwhile_leaves_no_instance_beside_the_service(stage: Stage) -> None:
    one = stage.rolling()
    one.begin()
    one.abort()
    one.abort()
    assert stage.end["status"] == "stopped"
    assert stage.started[0].process.poll() == -9


def test_an_instance_that_is_started_again_later_is_of_the_release_that_was_deployed(stage: Stage) -> None:
    stage.walk(stage.rolling())
    stage.services.serve(1)
    assert [instance.process.pid for instance in stage.services.instances] == [20, 22]
    assert stage.services.instances[1].settings == {"RELEASE": "n+1"}


def test_one_instance_that_ended_is_a_service_that_died(stage: Stage) -> None:
    assert stage.services.died() is None
    cast(FakeProcess, stage.services.instances[1].process).code = -9
    assert stage.services.died() == "service died"


def test_instances_are_measured_by_name(stage: Stage) -> None:
    assert stage.services.pids() == {"service": 10, "service-2": 11}


def test_a_service_answers_when_each_of_its_instances_does(stage: Stage) -> None:
    assert [stage.services.answers() for _ in range(3)] == [False, False, True]


def test_what_has_not_begun_is_not_aborted(stage: Stage) -> None:
    stage.rolling().abort()
    assert stage.events == []


def _command(stage: Stage, tmp_path: Path, command: str, deadline_s: float = 60.0) -> CommandDeploy:
    log = tmp_path / "logs" / "deploy.log"
    log.parent.mkdir()
    return CommandDeploy("after", command, log, stage.note, deadline_s, stage.clock.sleep)


def test_a_secret_in_a_command_is_not_written_down(stage: Stage, tmp_path: Path) -> None:
    one = _command(stage, tmp_path, "no-such-program --url postgresql://ada:s3cret@db/shop")
    one.begin()
    assert stage.events[0][1]["how"] == "no-such-program --url postgresql://ada:***@db/shop"
    assert stage.end["status"] == "failed"
    assert "no-such-program cannot be run" in stage.end["message"]


@pytest.mark.parametrize(
    ("step", "release"),
    [
        (MigrationPlan(upgrade="safe@head"), "n+1"),
        (MigrationPlan(upgrade="hurried@head"), "n+1-untagged"),
        (MigrationPlan(upgrade="head", alembic_config="elsewhere/alembic.ini"), "n"),
        (None, "n"),
    ],
)
def test_the_release_that_is_deployed_belongs_to_the_migration(
    step: MigrationPlan | None, release: str
) -> None:
    assert next_release(step) == release


def test_a_migration_of_somebody_else_has_the_release_that_is_asked_for() -> None:
    elsewhere = MigrationPlan(upgrade="hurried@head", alembic_config="elsewhere/alembic.ini")
    assert next_release(elsewhere, of_others="n+1") == "n+1"


def test_a_command_that_is_not_there_is_refused() -> None:
    plan = Plan(host="http://127.0.0.1:1", deploy_when="after", deploy_command="no-such-program --all")
    with pytest.raises(UsageError, match="--deploy: there is no program no-such-program in PATH"):
        check_deploy(plan)
    check_deploy(replace(plan, deploy_command="sh -c true"))
    check_deploy(Plan())
