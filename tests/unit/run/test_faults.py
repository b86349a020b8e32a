"""Faults against doubles: what was broken is mended, whatever happens, and on record is what was seen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import SetupError
from harness.run import faults
from harness.run.cache import ServiceCache
from harness.run.faults import (
    DropWebSockets,
    ExpireTokens,
    Fault,
    KillCache,
    KillService,
    PauseDatabase,
    RestartDatabase,
)
from harness.run.services import Instance, Services
from tests.fix_faults import FakeServer, Stage

Make = Callable[..., Any]


@dataclass
class FakeProcess:
    code: int | None = None
    killed: int = 0
    stdin: None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -15

    def kill(self) -> None:
        self.killed += 1
        self.code = -9

    def wait(self) -> None:
        pass


@dataclass
class FakeTarget:
    process: FakeProcess
    log: Path = Path("service.log")

    def rotate_keys(self) -> FakeProcess:
        return self.process


class FakeServices(Services):
    """A service that is started again by the next process, which answers when `well`."""

    def __init__(self, following: FakeProcess, well: bool = True) -> None:
        super().__init__("http://127.0.0.1:1", None)
        self.first = FakeProcess()
        self.instances = [Instance(cast(Any, self.first), self.host)]
        self.following, self.well = following, well

    def serve(self, number: int = 0) -> None:
        self.instances[number] = Instance(cast(Any, self.following), self.host)

    def answers(self) -> bool:
        return self.well


def restart(
    stage: Stage, server: FakeServer, drill: str = "restart-database"
) -> tuple[RestartDatabase, Services]:
    services = Services("http://127.0.0.1:1", None)
    double: Any = server
    return RestartDatabase(stage.noted(drill), services, double, stage.measure, stage.clock.sleep), services


@pytest.mark.parametrize(
    ("drill", "how"),
    [("restart-database", signal.SIGINT), ("restart-database=immediate", signal.SIGQUIT)],
)
def test_a_database_is_shut_down_as_asked_and_started_again(
    stage: Stage, drill: str, how: signal.Signals
) -> None:
    server = FakeServer()
    fault, services = restart(stage, server, drill)
    assert stage.run(fault)["done"] is True
    assert server.told == [how, "launch"]
    assert stage.measured == [("postgresql", 7)]
    assert services.drilled is False


def test_a_fast_shutdown_that_takes_too_long_becomes_an_immediate_one(stage: Stage) -> None:
    server = FakeServer(shuts_down=False)
    fault, _ = restart(stage, server)
    assert stage.run(fault)["down_s"] == pytest.approx(faults.SHUTDOWN_WITHIN_S, abs=0.2)
    assert server.told == [signal.SIGINT, signal.SIGQUIT, "launch"]


def test_a_database_that_does_not_start_again_is_on_record(stage: Stage) -> None:
    fault, services = restart(stage, FakeServer(starts=False))
    end = stage.run(fault)
    assert (end["done"], end["back"]) == (True, False)
    assert "did not start again" in end["why"]
    assert services.drilled is False


def test_a_run_that_ends_meanwhile_leaves_the_database_up(stage: Stage) -> None:
    server = FakeServer()
    fault, services = restart(stage, server)
    fault.begin()
    assert services.drilled is True
    fault.abort()
    fault.abort()
    assert (server.up, server.told, services.drilled) == (True, [signal.SIGINT, "launch"], False)
    assert stage.end["done"] is False


def test_while_a_drill_has_it_down_nothing_has_died_by_itself() -> None:
    services = FakeServices(FakeProcess())
    services.first.code = -9
    services.drilled = True
    assert services.died() is None
    services.drilled = False
    assert services.died() == "service died"


def test_a_paused_database_goes_on_after_its_time(stage: Stage) -> None:
    server: Any = FakeServer()
    began = stage.clock.now
    assert stage.run(PauseDatabase(stage.noted("pause-database=3s"), server))["done"] is True
    assert server.told == ["pause", "resume"]
    assert stage.clock.now - began == pytest.approx(3.0, abs=0.1)


def test_a_pause_never_outlasts_the_run(stage: Stage) -> None:
    server: Any = FakeServer()
    fault = PauseDatabase(stage.noted("pause-database=600s"), server)
    fault.begin()
    fault.abort()
    assert server.told == ["pause", "resume"]
    fault.abort()
    assert server.told == ["pause", "resume"]


def test_nothing_is_undone_that_never_began(stage: Stage) -> None:
    server: Any = FakeServer()
    PauseDatabase(stage.noted("pause-database"), server).abort()
    assert (server.told, stage.events) == ([], [])


def kill(stage: Stage, services: FakeServices) -> KillService:
    return KillService(stage.noted("kill-service"), services, stage.measure, stage.clock.sleep)


def test_a_killed_service_is_started_again(stage: Stage) -> None:
    services = FakeServices(FakeProcess())
    services.following.pid = 8  # type: ignore[attr-defined]
    assert stage.run(kill(stage, services))["done"] is True
    assert services.first.killed == 1
    assert stage.measured == [("service", 8)]
    assert services.drilled is False


@pytest.mark.parametrize("following", [FakeProcess(code=1), FakeProcess()], ids=["ends", "never answers"])
def test_a_service_that_does_not_come_back_is_on_record(stage: Stage, following: FakeProcess) -> None:
    services = FakeServices(following, well=False)
    following.pid = 8  # type: ignore[attr-defined]
    end = stage.run(kill(stage, services))
    assert (end["done"], end["back"], services.drilled) == (True, False, False)
    assert end["why"]


@dataclass
class FakeCache:
    """A cache's server, which is started again when it `starts`, and answers when it is `well`."""

    starts: bool = True
    well: bool = True
    up: bool = True
    told: list[str] = field(default_factory=list)

    def alive(self) -> bool:
        return self.up

    def answers(self) -> bool:
        return self.up and self.well

    def kill(self) -> None:
        self.told.append("kill")
        self.up = False

    def launch(self) -> None:
        self.told.append("launch")
        self.up = self.starts


def kill_cache(stage: Stage, cache: ServiceCache | None) -> tuple[KillCache, Services]:
    services = Services("http://127.0.0.1:1", None, cache=cache)
    return KillCache(stage.noted("kill-cache"), services, stage.measure, stage.clock.sleep), services


def test_a_killed_cache_is_started_again(stage: Stage) -> None:
    cache: Any = FakeCache()
    fault, services = kill_cache(stage, ServiceCache(cache))
    assert stage.run(fault)["done"] is True
    assert (cache.told, services.drilled) == (["kill", "launch"], False)


@pytest.mark.parametrize("cache", [FakeCache(starts=False), FakeCache(well=False)], ids=["ends", "is mute"])
def test_a_cache_that_does_not_come_back_is_on_record(stage: Stage, cache: Any) -> None:
    end = stage.run(kill_cache(stage, ServiceCache(cache))[0])
    assert (end["done"], end["back"]) == (True, False)
    assert end["why"]


@pytest.mark.parametrize("cache", [None, ServiceCache(None, "no wheel")])
def test_where_there_is_no_cache_none_is_killed(stage: Stage, cache: ServiceCache | None) -> None:
    end = stage.run(kill_cache(stage, cache)[0])
    assert (end["done"], "The service has no cache" in end["why"]) == (False, True)


def test_how_many_websockets_were_dropped_is_on_record(stage: Stage) -> None:
    answers = iter([None, None, 30])
    fault = DropWebSockets(stage.noted("drop-websockets"), Dropper(lambda: next(answers)))
    assert stage.run(fault)["connections"] == 30


def test_workers_that_do_not_tell_make_it_undone(stage: Stage) -> None:
    end = stage.run(DropWebSockets(stage.noted("drop-websockets"), Dropper(lambda: None)))
    assert (end["done"], "back" in end) == (False, False)


@dataclass
class Dropper:
    answer: Callable[[], int | None]

    def drop_websockets(self) -> Callable[[], int | None]:
        return self.answer


def test_tokens_are_expired_when_the_key_is_rotated(stage: Stage) -> None:
    target: Any = FakeTarget(FakeProcess(code=0))
    assert stage.run(ExpireTokens(stage.noted("expire-tokens"), target))["done"] is True


def test_a_key_that_cannot_be_rotated_makes_it_undone(stage: Stage) -> None:
    target: Any = FakeTarget(FakeProcess(code=1))
    end = stage.run(ExpireTokens(stage.noted("expire-tokens"), target))
    assert end["done"] is False
    assert "could not be rotated" in end["why"]


def test_a_rotation_does_not_outlast_the_run(stage: Stage) -> None:
    process = FakeProcess()
    target: Any = FakeTarget(process)
    fault = ExpireTokens(stage.noted("expire-tokens"), target)
    fault.begin()
    fault.abort()
    assert process.killed == 1


class Refusing(Fault):
    def _strike(self) -> None:
        raise SetupError("permission denied")


def test_what_cannot_be_done_is_on_record_with_its_reason(stage: Stage) -> None:
    assert stage.run(Refusing(stage.noted("terminate-backends"))) == {
        "drill": 1,
        "name": "terminate-backends",
        "done": False,
        "why": "permission denied",
    }
