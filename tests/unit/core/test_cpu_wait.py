"""CPU that was wanted and not had is told, and explains what no lock does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.cpu_wait import Scarcity, scarcity
from harness.core.judge import judge
from harness.core.observation import DatabasePoint
from harness.core.record import Record
from harness.core.timeline import Window
from tests.fix_record import a_record
from tests.fix_samples import joined, samples, steady

WINDOW = Window("w", 10.0, 20.0)


def points(*shares: Mapping[str, float], start: float = 10.0) -> tuple[DatabasePoint, ...]:
    """One a second, with what each group waited for a CPU."""
    return tuple(DatabasePoint(start + at, cpu_wait=one) for at, one in enumerate(shares))


def slow(**changes: Any) -> Record:
    """A run in which one request took 1.5 s during the migration."""
    return a_record(table=joined(steady(), samples([(27.0, 1.5)])), **changes)


def why(record: Record) -> str:
    [stall] = [gate for gate in judge(record).gates if gate.name == "stall"]
    return stall.why


def test_the_process_that_waited_longest_is_told() -> None:
    found = scarcity(
        points({"service": 0.1}, {"service": 0.3, "postgresql": 0.6}, {"postgresql": 0.25}), WINDOW
    )
    assert found == Scarcity(3, 2, 0.6, "postgresql")
    assert str(found) == "a process of postgresql waited for a CPU for up to 60% of a second"


def test_the_migrations_own_wait_delays_nobody() -> None:
    assert scarcity(points({"migration": 0.9, "service": 0.1}), WINDOW) == Scarcity(1, 0, 0.1, "service")


def test_what_was_not_measured_is_unknown() -> None:
    assert scarcity(points({}, {"migration": 0.9}), WINDOW) is None
    assert scarcity(points({"service": 0.9}, start=20.0), WINDOW) is None


def test_a_slow_answer_that_no_lock_explains_is_explained_by_it() -> None:
    assert why(slow(database=points({"service": 0.82}, start=27.0))) == (
        "no wait in the database explains it; meanwhile a process of service waited for a CPU for up to 82%"
        " of a second"
    )


def test_little_explains_nothing() -> None:
    assert why(slow(database=points({"service": 0.24}, start=27.0))) == "no wait in the database explains it"


def test_a_machine_short_of_cpu_again_and_again_is_a_limit() -> None:
    short = [{"service": 0.5}] * 3
    assert [text for text in judge(a_record(database=points(*short))).limits if "CPU" in text] == [
        "The machine was short of CPU in 3 of 3 seconds of the load: a process of service waited for a CPU"
        " for up to 50% of a second. Latencies are the machine's as well."
    ]
    assert not [text for text in judge(a_record(database=points(*short[:2]))).limits if "CPU" in text]
