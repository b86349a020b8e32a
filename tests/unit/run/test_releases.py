"""Two releases beside each other: the second is started, asked with the first, and ended in every case."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from harness.clock import wait_until
from harness.core.drills import parse
from harness.core.events import Kind
from harness.run import releases
from harness.run.drills import Noted
from harness.run.releases import NEXT, AfterMigration, BeforeMigration, Releases
from harness.run.services import Services


class FakeProcess:
    """Lives until it is ended."""

    stdin = None

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -15

    def kill(self) -> None:
        self.code = -9


class FakeTarget:
    def __init__(self, process: FakeProcess) -> None:
        self.process = process
        self.started: list[dict[str, str]] = []

    def serve(self, _port: int, _log: Path, **settings: str) -> FakeProcess:
        self.started.append(settings)
        return self.process


class Stage:
    """The drill with a release N+1 that is `process`."""

    def __init__(self, process: FakeProcess, target: bool = True, release: str = NEXT) -> None:
        self.process, self.events = process, list[tuple[str, dict[str, Any]]]()
        self.target = cast(Any, FakeTarget(process))
        services = Services("http://n", None, target=self.target)
        if not target:
            services.target = None
        noted = Noted(1, parse("old-code-new-schema"), self.note)
        self.undo = ExitStack()
        both = Releases(noted, services, "somebody", Path("service-next.log"), self.undo, release)
        self.before, self.after = BeforeMigration(both), AfterMigration(both)

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return 0.0 if at is None else at

    @property
    def end(self) -> dict[str, Any]:
        [end] = [data for kind, data in self.events if kind == Kind.DRILL_END]
        return end


Half = BeforeMigration | AfterMigration


def walk(half: Half) -> None:
    def over() -> bool:
        half.step()
        return half.ended

    half.begin()
    assert wait_until(over, 5)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has both releases answer, the second of them badly."""
    monkeypatch.setattr(Services, "answers", lambda _: True)
    monkeypatch.setattr(releases, "ask", lambda base, _: {"list": 200 if base == "http://n" else 500})


@pytest.mark.usefixtures("answering")
def test_the_release_that_is_started_is_the_one_of_the_migration() -> None:
    stage = Stage(FakeProcess(), release="n+1-untagged")
    walk(stage.before)
    assert stage.target.started == [{"RELEASE": "n+1-untagged"}]


@pytest.mark.usefixtures("answering")
def test_both_are_asked_before_and_after_and_the_second_is_ended() -> None:
    stage = Stage(FakeProcess())
    walk(stage.before)
    assert stage.target.started == [{"RELEASE": "n+1"}]
    assert stage.process.code is None
    walk(stage.after)
    assert stage.end["done"] is True
    assert stage.end["cells"] == {
        "n on old": {"list": 200},
        "n+1 on old": {"list": 500},
        "n on new": {"list": 200},
        "n+1 on new": {"list": 500},
    }
    assert stage.process.code == -15


def test_a_release_that_does_not_start_is_on_record_and_nothing_follows() -> None:
    stage = Stage(FakeProcess(code=1))
    walk(stage.before)
    assert (stage.end["done"], "ended at once" in stage.end["why"]) == (False, True)
    stage.after.begin()
    assert stage.after.ended


def test_a_service_of_somebody_elses_has_no_other_release() -> None:
    stage = Stage(FakeProcess(), target=False)
    walk(stage.before)
    assert "cannot start another release" in stage.end["why"]


def test_a_release_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Services, "answers", lambda _: False)
    monkeypatch.setattr(BeforeMigration, "within_s", 0.05)
    stage = Stage(FakeProcess())
    walk(stage.before)
    assert stage.end["done"] is False
    assert stage.process.code == -15


@pytest.mark.usefixtures("answering")
def test_a_run_that_ends_between_the_two_ends_the_second_release() -> None:
    stage = Stage(FakeProcess())
    walk(stage.before)
    stage.before.abort()
    stage.after.abort()
    assert stage.end["done"] is False
    assert stage.process.code == -15


def test_nothing_is_on_record_of_a_drill_that_never_began() -> None:
    stage = Stage(FakeProcess())
    stage.before.abort()
    stage.after.abort()
    assert stage.events == []


@pytest.mark.usefixtures("answering")
def test_whatever_happens_the_second_release_goes_with_the_run() -> None:
    stage = Stage(FakeProcess())
    stage.before.begin()
    stage.undo.close()
    assert stage.process.code == -15
