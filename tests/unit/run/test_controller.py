"""The controller: phases in order, an end in every case."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.plan import Plan
from harness.run.controller import ISOLATION_WITHIN_S, PROBES_LEFT_S, Controller
from harness.run.drilling import Drilling, Planned
from harness.run.progress import Progress
from harness.run.services import Services
from harness.store import RunDirectory
from tests.fix_controller import FakeClock, FakeLoad

PLAN = Plan(warmup_s=2, baseline_s=5, recover_s=5, drain_s=7)


@dataclass
class FakeEpisode:
    """A migration whose first statement comes a second after its begin, and which ends after `lasts_s`."""

    clock: FakeClock
    direction: str = "upgrade"
    status: str = "ok"
    doing: str = "working"
    ended: bool = False
    first_statement_at: float | None = None
    impact_until: float = 0.0
    aborted: int = 0
    statements: bool = True
    lasts_s: float = 3.0
    began: float | None = None

    def begin(self) -> None:
        self.began = self.clock.now - 100.0

    def step(self) -> None:
        now = self.clock.now - 100.0
        assert self.began is not None
        if self.statements and self.first_statement_at is None and now - self.began >= 1:
            self.first_statement_at = now
        self.ended = now - self.began >= self.lasts_s
        self.impact_until = now + 2.0

    def abort(self) -> None:
        self.aborted += 1


class Died(Services):
    """Services whose process ends at an instant."""

    def __init__(self, clock: FakeClock, at: float) -> None:
        super().__init__("http://127.0.0.1:1", None)
        self.clock, self.at = clock, at

    def died(self) -> str | None:
        return "service died" if self.clock.now >= 100.0 + self.at else None


@dataclass
class Stage:
    controller: Controller
    load: FakeLoad
    directory: RunDirectory
    shown: list[Progress]
    entered: list[str]

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.directory.path / "events.ndjson").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def phases(self) -> list[tuple[str, float]]:
        return [(event["name"], round(event["at"], 1)) for event in self.events("phase")]


@pytest.fixture
def stage(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Stage]]:
    directory = RunDirectory(tmp_path)

    def make(services: Services | None = None, plan: Plan = PLAN) -> Stage:
        load, shown, entered = FakeLoad(), list[Progress](), list[str]()
        controller = Controller(
            plan,
            directory,
            load,
            services or Services("http://127.0.0.1:1", None),
            zero=100.0,
            sleep=clock.sleep,
            progress=shown.append,
            look=lambda: "3 sessions waiting" if clock.now >= 110.0 else "",
            entered=entered.append,
        )
        return Stage(controller, load, directory, shown, entered)

    yield make
    directory.close()


def test_it_walks_the_phases_in_order(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock)])
    names = [name for name, _ in found.phases()]
    assert names == ["warmup", "baseline", "launch", "migrate", "recover", "probe", "drain", "final_read"]
    assert dict(found.phases())["migrate"] == pytest.approx(8.0, abs=0.1)
    assert dict(found.phases())["recover"] == pytest.approx(18.0, abs=0.2)
    assert found.events("stop")[0]["cause"] == "completed"
    assert found.events("run_end")[0]["complete"] is True


@dataclass
class FakeDeploy:
    """A deploy that ends at the first look."""

    clock: FakeClock
    status: str = ""
    ends: str = "ok"
    doing: str = "deploying"
    ended: bool = False
    begun: int = 0
    aborted: int = 0

    def begin(self) -> None:
        self.begun += 1

    def step(self) -> None:
        self.ended, self.status = True, self.ends

    def abort(self) -> None:
        self.aborted += 1


DEPLOY = ["deploy", "deploy_recover"]


@pytest.mark.parametrize(
    ("when", "downgrade", "walked"),
    [
        ("before", False, [*DEPLOY, "launch", "migrate", "recover"]),
        ("after", False, ["launch", "migrate", "recover", *DEPLOY]),
        (
            "after",
            True,
            [
                *("launch", "migrate", "recover"),
                *DEPLOY,
                *("rollback_launch", "rollback", "rollback_recover"),
            ],
        ),
    ],
)
def test_a_deploy_comes_before_or_after_the_upgrade(
    stage: Callable[..., Stage], clock: FakeClock, when: str, downgrade: bool, walked: list[str]
) -> None:
    found = stage(plan=replace(PLAN, deploy_when=when))
    one = FakeDeploy(clock)
    episodes = [FakeEpisode(clock), *([FakeEpisode(clock, "downgrade")] if downgrade else [])]
    found.controller.run(episodes, deploy=cast(Any, one))
    names = [name for name, _ in found.phases()]
    assert names == ["warmup", "baseline", *walked, "probe", "drain", "final_read"]
    began = dict(found.phases())
    assert began["deploy_recover"] - began["deploy"] == pytest.approx(10.0, abs=0.2)
    assert (one.begun, one.aborted) == (1, 1)


def test_nothing_is_migrated_when_the_deploy_before_it_failed(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage(plan=replace(PLAN, deploy_when="before"))
    episode = FakeEpisode(clock)
    found.controller.run([episode], deploy=cast(Any, FakeDeploy(clock, ends="failed")))
    assert episode.began is None
    assert found.events("run_end")[0]["complete"] is True


def test_nothing_is_deployed_when_the_migration_before_it_failed(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage(plan=replace(PLAN, deploy_when="after"))
    one = FakeDeploy(clock)
    found.controller.run([FakeEpisode(clock, status="failed")], deploy=cast(Any, one))
    assert one.begun == 0
    assert "deploy" not in dict(found.phases())


def test_the_rate_changes_with_the_phases_that_have_their_own(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    plan = replace(PLAN, target_rate=80.0, phase_rates=("warmup=80 over 2s", "migrate=20", "recover=20"))
    found = stage(plan=plan)
    found.controller.run([FakeEpisode(clock)])
    assert found.load.rates == [(80.0, 2.0), (20.0, 0.0), (80.0, 0.0)]


@pytest.mark.parametrize("changes", [{"target_rate": None}, {"arrivals": "closed"}])
def test_users_with_a_pace_of_their_own_are_told_no_rate(
    stage: Callable[..., Stage], clock: FakeClock, changes: dict[str, Any]
) -> None:
    found = stage(plan=replace(PLAN, **changes))
    found.controller.run([FakeEpisode(clock)])
    assert found.load.rates == []


def test_a_rollback_has_phases_of_its_own(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock), FakeEpisode(clock, direction="downgrade")])
    names = [name for name, _ in found.phases()]
    assert names[4:9] == ["recover", "rollback_launch", "rollback", "rollback_recover", "probe"]


def test_it_says_when_the_database_can_be_looked_at(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock), FakeEpisode(clock, direction="downgrade")])
    assert found.entered == ["launch", "migrated", "rollback_launch", "migrated", "final_read"]


def test_a_run_that_is_stopped_does_not_look_at_the_end(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    found.controller.stop("SIGINT")
    found.controller.run([FakeEpisode(clock)])
    assert found.entered == []
    assert [name for name, _ in found.phases()][-1] == "final_read"


def test_the_migrations_of_a_phase_run_one_after_the_other_in_it(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    first, second = FakeEpisode(clock), FakeEpisode(clock)
    found.controller.run([first, second])
    phases = dict(found.phases())
    assert [name for name, _ in found.phases()][2:5] == ["launch", "migrate", "recover"]
    assert phases["migrate"] == pytest.approx(8.0, abs=0.1)
    assert second.began == pytest.approx(10.0, abs=0.1)  # when the first had ended
    assert phases["recover"] == pytest.approx(18.0, abs=0.2)  # ten seconds after the first statement


def test_the_phase_lasts_until_the_impact_of_the_last_is_over(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock), FakeEpisode(clock, lasts_s=20.0)])
    assert dict(found.phases())["recover"] == pytest.approx(10.0 + 20.0 + 2.0, abs=0.2)


def test_none_is_started_after_one_that_failed(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found, second, back = stage(), FakeEpisode(clock), FakeEpisode(clock, direction="downgrade")
    found.controller.run([FakeEpisode(clock, status="failed"), second, back])
    assert (second.began, back.began) == (None, None)
    assert dict(found.phases())["recover"] == pytest.approx(18.0, abs=0.2)


def test_the_first_statement_of_all_begins_the_phase(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock, statements=False), FakeEpisode(clock)])
    assert dict(found.phases())["migrate"] == pytest.approx(11.0, abs=0.2)


def test_no_rollback_after_a_failed_upgrade(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock, status="failed"), FakeEpisode(clock, direction="downgrade")])
    assert "rollback_launch" not in [name for name, _ in found.phases()]


def test_a_migration_without_a_statement_has_no_migrate_phase(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock, statements=False)])
    assert "migrate" not in [name for name, _ in found.phases()]
    assert found.events("run_end")[0]["complete"] is True


def test_a_stop_ends_it_early_and_still_reads_back(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found, episode = stage(), FakeEpisode(clock)
    begin = episode.begin

    def begin_and_interrupt() -> None:
        begin()
        found.controller.stop("SIGINT")
        found.controller.stop("SIGTERM")

    episode.begin = begin_and_interrupt  # type: ignore[method-assign]
    found.controller.run([episode])
    assert found.events("stop")[0]["cause"] == "SIGINT"
    assert found.events("run_end")[0]["complete"] is False
    assert episode.aborted == 1
    assert [name for name, _ in found.load.asked] == ["isolate", "drain", "read_back", "finish"]
    assert found.load.asked[0][1] < PLAN.drain_s


def test_a_service_that_died_is_not_read_back(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage(Died(clock, at=4.0))
    found.controller.run([FakeEpisode(clock)])
    assert found.events("stop")[0]["cause"] == "service died"
    assert [name for name, _ in found.load.asked] == ["isolate", "drain", "finish"]


def test_it_says_once_a_second_how_it_goes(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock)])
    seconds = [progress.elapsed_s for progress in found.shown]
    assert len(seconds) == pytest.approx(24, abs=3)
    assert found.shown[0].phase == "warmup"
    assert any(progress.migration == "working" for progress in found.shown)


def test_it_says_what_the_database_is_seen_to_do(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock)])
    said = [progress.migration for progress in found.shown]
    assert "working" in said
    assert "3 sessions waiting, working" in said
    assert said[-1] == "3 sessions waiting"


def test_sessions_from_before_the_migration_are_tried_until_that_is_over(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    found.controller.run([FakeEpisode(clock, status="failed")])
    launched = dict(found.phases())["launch"]
    (first, within_s), (name, before_at), (last, _) = found.load.asked[:3]
    assert (first, name, last) == ("isolate", "probe", "isolate at the end")
    assert within_s == PLAN.baseline_s
    assert before_at == pytest.approx(launched, abs=0.1)
    assert list(found.load.probes) == list(found.load.isolation) == []


def test_probes_that_never_end_are_given_up(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found = stage()
    found.load.probes = found.load.isolation = repeat(False)
    found.controller.run([FakeEpisode(clock)])
    phases = dict(found.phases())
    found_s = phases["drain"] - phases["probe"]
    assert found_s == pytest.approx(PLAN.probe_s + PROBES_LEFT_S + ISOLATION_WITHIN_S, abs=0.3)
    assert found.events("run_end")[0]["complete"] is True


@pytest.mark.parametrize("change", [{"authentication": False}, {"probe_s": 0.0}])
def test_users_without_sessions_have_no_probe_phase(
    stage: Callable[..., Stage], clock: FakeClock, change: dict[str, Any]
) -> None:
    found = stage(plan=replace(PLAN, **change))
    found.controller.run([FakeEpisode(clock)])
    assert "probe" not in dict(found.phases())
    assert found.load.asked[0][0] == "drain"


@dataclass
class FakeDrill:
    """A drill that lasts three steps."""

    clock: FakeClock
    ended: bool = False
    doing: str = "killed at 1 of 3 places"
    begun_at: float | None = None
    steps: int = 0
    aborted: int = 0

    def begin(self) -> None:
        self.begun_at = self.clock.now - 100.0

    def step(self) -> None:
        self.steps += 1
        self.ended = self.steps == 3

    def abort(self) -> None:
        self.aborted += 1


def test_a_drill_afterwards_begins_when_the_load_is_over(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found, drill = stage(), FakeDrill(clock)
    found.controller.run([FakeEpisode(clock)], drill)
    assert [name for name, _ in found.phases()][-3:] == ["drain", "final_read", "drill_walk"]
    assert [asked for asked, _ in found.load.asked][-3:] == ["drain", "read_back", "finish"]
    assert (drill.steps, drill.aborted) == (3, 1)
    assert [event["cause"] for event in found.events("stop")] == ["completed"]
    assert [event["complete"] for event in found.events("run_end")] == [True]


def test_an_interruption_of_it_ends_it_and_the_run_is_not_whole(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found = stage()
    drill = FakeDrill(clock)
    drill.step = lambda: found.controller.stop("SIGINT")  # type: ignore[method-assign]
    found.controller.run([FakeEpisode(clock)], drill)
    assert drill.aborted == 1
    assert [event["cause"] for event in found.events("stop")] == ["SIGINT"]
    assert [event["complete"] for event in found.events("run_end")] == [False]
    assert [asked for asked, _ in found.load.asked].count("drain") == 1


def test_a_run_that_is_stopped_before_never_begins_it(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found, drill = stage(), FakeDrill(clock)
    found.controller.stop("SIGTERM")
    found.controller.run([FakeEpisode(clock)], drill)
    assert drill.begun_at is None
    assert [event["cause"] for event in found.events("stop")] == ["SIGTERM"]


class FakeFault:
    """Lasts a second; notes in which phase it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.ended, self.began = clock, False, 0.0
        self.asked: list[str] = []

    @property
    def doing(self) -> str:
        return "breaking it"

    def begin(self) -> None:
        self.began = self.clock.now
        self.asked.append("begin")

    def step(self) -> None:
        self.ended = self.clock.now - self.began >= 1.0

    def abort(self) -> None:
        self.asked.append("abort")


def test_each_drill_has_phases_of_its_own_after_the_probes(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found, looked = stage(), list[float]()
    first, second = FakeFault(clock), FakeFault(clock)
    drills = [Planned(one, "after", lambda: looked.append(clock.now)) for one in (first, second)]
    found.controller.run([FakeEpisode(clock)], drilling=Drilling(drills))
    phases = found.phases()
    names = [name for name, _ in phases]
    assert names[5:] == ["probe", *["drill", "drill_recover"] * 2, "drain", "final_read"]
    assert phases[7][1] - phases[6][1] == pytest.approx(1.0, abs=0.1)
    assert phases[8][1] - phases[7][1] == pytest.approx(PLAN.recover_s, abs=0.1)
    assert len(looked) == 2
    assert first.asked == second.asked == ["begin", "abort"]


def test_the_migration_waits_for_what_goes_before_it(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found, episode = stage(), FakeEpisode(clock)
    found.controller.run([episode], drilling=Drilling([Planned(FakeFault(clock), "before")]))
    assert episode.began == pytest.approx(8.0, abs=0.1)


def test_a_fault_in_the_migration_strikes_while_that_runs(
    stage: Callable[..., Stage], clock: FakeClock
) -> None:
    found, fault = stage(), FakeFault(clock)
    found.controller.run([FakeEpisode(clock, lasts_s=6.0)], drilling=Drilling([Planned(fault, "migrate")]))
    assert fault.began - 100.0 == pytest.approx(dict(found.phases())["migrate"] + 1.0, abs=0.1)
    assert "drill" not in dict(found.phases())


def test_a_drill_never_outlasts_a_run_that_is_stopped(stage: Callable[..., Stage], clock: FakeClock) -> None:
    found, fault = stage(), FakeFault(clock)
    begin = fault.begin

    def begin_and_interrupt() -> None:
        begin()
        found.controller.stop("SIGINT")

    fault.begin = begin_and_interrupt  # type: ignore[method-assign]
    found.controller.run([FakeEpisode(clock)], drilling=Drilling([Planned(fault, "after")]))
    assert fault.asked == ["begin", "abort"]
    assert found.events("run_end")[0]["complete"] is False
