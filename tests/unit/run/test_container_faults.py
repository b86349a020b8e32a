"""Drills on the database's container, on a server that only notes what is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.drills import LIMITED_CORES
from harness.errors import SetupError
from harness.run.container_faults import DisconnectDatabase, FillDisk, LimitCpu
from harness.run.faults import BACK_WITHIN_S, Fault
from harness.run.services import Services
from tests.fix_faults import FakeServer, Stage


@dataclass
class FakeContainer(FakeServer):
    """A server in a container; one that is not `robust` ends when it finds no room."""

    robust: bool = True
    reachable: bool = True

    def disconnect(self) -> None:
        self._told("disconnect")

    def connect(self) -> None:
        self._told("connect")

    def limit_cpu(self, cores: float | None) -> None:
        self._told(f"limit to {cores}")

    def fill_disk(self) -> None:
        self._told("fill")
        self.up = self.robust

    def free_disk(self) -> None:
        self._told("free")

    def _told(self, what: str) -> None:
        if not self.reachable:
            raise SetupError("Docker cannot do that: no such container.")
        self.told.append(what)


def _fault(stage: Stage, drill: str, server: FakeContainer) -> tuple[Fault, Services]:
    services = Services("http://127.0.0.1:1", None)
    double: Any = cast(Any, server)
    noted = stage.noted(drill)
    match noted.drill.name:
        case "disconnect-database":
            return DisconnectDatabase(noted, double), services
        case "limit-cpu":
            return LimitCpu(noted, double), services
    return FillDisk(noted, services, double, stage.measure, stage.clock.sleep), services


DONE = {
    "disconnect-database": ["disconnect", "connect"],
    "limit-cpu": [f"limit to {LIMITED_CORES}", "limit to None"],
    "fill-disk": ["fill", "free"],
}


@pytest.mark.parametrize("name", DONE)
def test_it_is_kept_up_for_its_time_and_undone(stage: Stage, name: str) -> None:
    server = FakeContainer()
    fault, services = _fault(stage, f"{name}=3s", server)
    began = stage.clock.now
    assert stage.run(fault)["done"] is True
    assert stage.clock.now - began == pytest.approx(3.0, abs=0.2)
    assert server.told == DONE[name]
    assert services.drilled is False


@pytest.mark.parametrize("name", DONE)
def test_a_run_that_ends_meanwhile_undoes_it(stage: Stage, name: str) -> None:
    server = FakeContainer()
    fault, services = _fault(stage, f"{name}=600s", server)
    fault.begin()
    fault.step()
    fault.abort()
    fault.abort()
    assert server.told == DONE[name]
    assert stage.end["done"] is False
    assert services.drilled is False


@pytest.mark.parametrize("name", DONE)
def test_an_engine_that_cannot_do_it_is_on_record(stage: Stage, name: str) -> None:
    fault, services = _fault(stage, f"{name}=3s", FakeContainer(reachable=False))
    end = stage.run(fault)
    assert (end["done"], services.drilled) == (False, False)
    assert "no such container" in end["why"]


@pytest.mark.parametrize("name", DONE)
def test_one_that_cannot_be_undone_has_not_come_back(stage: Stage, name: str) -> None:
    server = FakeContainer()
    fault, _ = _fault(stage, f"{name}=3s", server)
    fault.begin()
    server.reachable = False
    stage.clock.sleep(4.0)
    fault.step()
    assert (stage.end["done"], stage.end["back"]) == (True, False)


def test_while_the_disk_is_full_a_database_that_ends_has_not_died_by_itself(stage: Stage) -> None:
    fault, services = _fault(stage, "fill-disk=5s", FakeContainer(robust=False))
    fault.begin()
    assert services.drilled is True
    assert stage.go_on(fault)["server_ended"] is True
    assert services.drilled is False


def test_a_database_that_ended_is_started_once_there_is_room(stage: Stage) -> None:
    server = FakeContainer(robust=False)
    fault, _ = _fault(stage, "fill-disk=3s", server)
    fault.begin()
    for _ in range(20):
        stage.clock.sleep(0.1)
        fault.step()
    assert server.told == ["fill"]
    stage.go_on(fault)
    assert server.told == ["fill", "free", "launch"]
    assert stage.measured == [("postgresql", 7)]


def test_a_database_that_goes_on_is_not_started(stage: Stage) -> None:
    fault, _ = _fault(stage, "fill-disk=3s", FakeContainer())
    assert stage.run(fault)["server_ended"] is False
    assert stage.measured == []


def test_a_database_that_does_not_start_again_is_on_record(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    log.write_text("PANIC:  could not write to file\n")
    fault, _ = _fault(stage, "fill-disk=1s", FakeContainer(log=log, robust=False, starts=False))
    end = stage.run(fault)
    assert (end["done"], end["back"]) == (True, False)
    assert "did not start again: PANIC" in end["why"]


def test_a_database_that_never_answers_again_is_given_up(stage: Stage) -> None:
    server = FakeContainer()
    fault, _ = _fault(stage, "fill-disk=2s", server)
    server.answers = lambda: False  # type: ignore[method-assign]
    assert stage.run(fault)["back"] is False
    assert fault.lasted_s == pytest.approx(2.0 + BACK_WITHIN_S, abs=0.3)
