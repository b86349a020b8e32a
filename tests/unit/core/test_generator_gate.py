"""The gate over the generator itself."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.events import Event, Kind
from tests.fix_gates import result
from tests.fix_record import a_record, events, healthy


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"health": healthy(cpu_ratio=0.99)}, "CPU was above 90%"),
        ({"health": healthy(late_ms=80.0)}, "p99 80 ms"),
    ],
)
def test_an_unfit_generator_says_why(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "generator")
    assert seen.status == "fail"
    assert why in seen.why


NO_FINAL = {"events": tuple(e for e in events() if e.kind != "worker_final")}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (NO_FINAL, "workers lost: w1, and 2.1% of the load with them"),
        ({"events": events(more=[Event(30.0, Kind.WORKER_LATE, {"worker": "w2"})])}, "took users away: w2"),
    ],
)
def test_a_generator_with_less_load_than_asked_for_decides_nothing(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "generator")
    assert (seen.status, why in seen.why) == ("inconclusive", True), seen
    assert result(a_record(**changes, health=healthy(late_ms=80.0)), "generator").status == "fail"


def test_lateness_in_the_warm_up_is_none() -> None:
    late = healthy(5.0, late_ms=500.0)
    assert result(a_record(health=late + healthy()[5:]), "generator").status == "pass"
