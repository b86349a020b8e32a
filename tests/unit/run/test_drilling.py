"""Drills have their turn, and none outlasts the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.run.drilling import STRIKES_AFTER_S, Drilling, Planned


@dataclass
class FakeDrill:
    """Ends at its `steps`-th step."""

    steps: int = 1
    ended: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def doing(self) -> str:
        return "drilling" if self.asked and not self.ended else ""

    def begin(self) -> None:
        self.asked.append("begin")

    def step(self) -> None:
        self.asked.append("step")
        self.ended = self.asked.count("step") >= self.steps

    def abort(self) -> None:
        self.asked.append("abort")


def test_what_goes_before_keeps_the_migration_waiting() -> None:
    before, beside = FakeDrill(steps=2), FakeDrill(steps=9)
    drilling = Drilling([Planned(before, "before"), Planned(beside, "beside")])
    drilling.step(0.0)
    assert before.asked == []
    drilling.prepare()
    waited = 0
    while drilling.keeps_waiting:
        drilling.step(0.0)
        waited += 1
    assert (waited, beside.ended) == (2, False)


def test_a_fault_in_the_migration_strikes_a_second_after_its_first_statement() -> None:
    fault, looked = FakeDrill(steps=2), list[Any]()
    drilling = Drilling([Planned(fault, "migrate", lambda: looked.append(1))])
    drilling.look()
    drilling.first_statement(10.0)
    drilling.first_statement(90.0)
    drilling.step(10.0 + STRIKES_AFTER_S / 2)
    assert (fault.asked, looked) == ([], [])
    for _ in range(5):
        drilling.step(10.0 + STRIKES_AFTER_S)
    assert fault.asked == ["begin", "step", "step"]
    drilling.look()
    assert looked == [1]


def test_what_has_its_own_phase_waits_for_it() -> None:
    fault = FakeDrill()
    drilling = Drilling([Planned(fault, "after")])
    drilling.prepare()
    drilling.first_statement(0.0)
    drilling.step(100.0)
    assert fault.asked == []
    assert [one.run for one in drilling.after] == [fault]
    drilling.begin(drilling.after[0])
    assert drilling.doing == "drilling"


def test_all_are_aborted() -> None:
    drills = [FakeDrill(), FakeDrill()]
    Drilling([Planned(drills[0], "after"), Planned(drills[1], "migrate")]).abort()
    assert [drill.asked for drill in drills] == [["abort"], ["abort"]]
