"""What differs between two runs, and why a run is no evidence."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.conditions import Condition, conditions, doubts
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from tests.fix_record import a_plan, a_record, events, healthy

MACHINE = {"system": "Linux", "release": "6.8", "architecture": "x86_64", "cores": 4, "memory_mb": 8000}
ENVIRONMENT: dict[str, Any] = {
    "harness": "0.1.0",
    "python": "3.12.1",
    "packages": {"locust": "2.47.0"},
    "machine": MACHINE,
    "postgresql": {"version": 180006, "settings": {"fsync": "on"}},
}


def test_a_run_differs_in_nothing_from_itself() -> None:
    record = a_record(environment=ENVIRONMENT)
    assert conditions(record, record) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"users": 60}, Condition("users", "30", "60", load=True)),
        ({"target_rate": None}, Condition("target rate", "80/s", "none", load=True)),
        ({"rows": 10}, Condition("documents", "200,000", "10", load=True)),
        ({"upgrade": "a1"}, Condition("migration", "upgrade head", "upgrade a1")),
        ({"placebo": True}, Condition("migration", "upgrade head", "none (placebo)")),
        ({"drills": ("race-migrators=2",)}, Condition("drills", "none", "race-migrators=2")),
        ({"lock_timeout": "2s"}, Condition("lock_timeout", "not given", "2s")),
        ({"recover_s": 20.0}, Condition("recovery", "15 s", "20 s")),
        ({"no_gates": ("stall",)}, Condition("gates", "the built-in ones", "without stall")),
    ],
)
def test_another_plan_is_told(changes: dict[str, Any], expected: Condition) -> None:
    old = a_record()
    assert conditions(old, a_record(plan=a_plan(**changes))) == (expected,)


def test_the_services_host_makes_another_load_of_it() -> None:
    own = a_plan(host="http://127.0.0.1:8000")
    assert [c.what for c in conditions(a_record(), a_record(plan=own)) if c.load] == ["service", "documents"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"python": "3.13.0"}, ("Python", "3.12.1", "3.13.0")),
        ({"packages": {"locust": "2.50.0"}}, ("Locust", "2.47.0", "2.50.0")),
        (
            {"postgresql": {"version": 160004, "settings": {"fsync": "on"}}},
            ("PostgreSQL", "18.6", "16.4"),
        ),
        (
            {"postgresql": {"version": 180006, "settings": {"fsync": "off"}}},
            ("PostgreSQL's fsync", "on", "off"),
        ),
    ],
)
def test_another_environment_is_told(changes: dict[str, Any], expected: tuple[str, str, str]) -> None:
    old, new = a_record(environment=ENVIRONMENT), a_record(environment={**ENVIRONMENT, **changes})
    assert conditions(old, new) == (Condition(*expected),)


def test_another_machine_is_told_whole() -> None:
    other = {**ENVIRONMENT, "machine": {**MACHINE, "cores": 2}}
    (found,) = conditions(a_record(environment=ENVIRONMENT), a_record(environment=other))
    assert (found.what, "cores 2" in found.new) == ("machine", True)


def test_a_sound_run_leaves_no_doubt() -> None:
    assert doubts(facts_of(a_record())) == ()


def test_a_run_that_is_no_evidence_says_why() -> None:
    stopped = facts_of(a_record(events=events(stop="SIGINT", stop_at=30.0)))
    assert doubts(stopped) == ("it was not completed",)
    torn = facts_of(a_record(missing=("samples.blocks: torn",)))
    assert doubts(torn) == ("its record is not whole: samples.blocks: torn",)
    lost = events(more=[Event(30.0, Kind.WORKER_LOST, {"worker": "w1"})])
    assert "unfit: workers lost: w1" in doubts(facts_of(a_record(events=lost)))[0]


def test_a_busy_generator_is_a_doubt() -> None:
    late = facts_of(a_record(health=healthy(52.0, late_ms=120.0)))
    assert "its own ticks came late" in doubts(late)[0]
