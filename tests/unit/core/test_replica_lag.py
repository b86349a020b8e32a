"""The gate on replicas: red, green, undecided, and not applicable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.judge import judge
from harness.core.metrics import Selector, measure
from harness.core.observation import Observed, ObserverLine, ReplicaPoint
from harness.core.plan import Plan
from harness.core.record import Record
from harness.core.replication import PRIMARY, REPLICA
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import a_plan, a_record, replica_looks
from tests.fix_several import BILLING, several

OWN = Plan(
    host="http://127.0.0.1:8000", database_url="postgresql://a@127.0.0.1/shop", alembic_config="alembic.ini"
)
DEMO = a_plan(standby=True)


def without(points: Sequence[ReplicaPoint], start: float, end: float) -> tuple[ReplicaPoint, ...]:
    return tuple(point for point in points if not start <= point.at < end)


def record(*lines: ObserverLine, plan: Plan = DEMO, **changes: Any) -> Record:
    return a_record(plan, database=tuple(sorted(lines, key=lambda line: line.at)), **changes)


def result(found: Record, phase: str = "migrate") -> GateResult:
    return next(
        gate
        for gate in judge(found).gates
        if gate.name == "replica_lag" and gate.expression.startswith(f"replica_lag_max{{phase={phase}}}")
    )


def test_a_replica_that_keeps_up_is_green() -> None:
    for phase in ("migrate", "recover"):
        seen = result(record(*replica_looks((30.0, 31.0, 4.9), (41.0, 42.0, 4.9))), phase)
        assert (seen.status, seen.observed, seen.limit, seen.unit) == ("pass", 4.9, 5.0, "s")
        assert (seen.samples or 0) >= 20


@pytest.mark.parametrize(("stretch", "phase"), [((30.0, 31.0), "migrate"), ((41.0, 42.0), "recover")])
def test_a_replica_that_falls_behind_is_red(stretch: tuple[float, float], phase: str) -> None:
    seen = result(record(*replica_looks(), *replica_looks((*stretch, 5.5), name="r2")), phase)
    assert (seen.status, seen.observed) == ("fail", 5.5)
    assert "replica r2 was 5.50 s behind, 5,500 bytes" in seen.why


def test_what_it_was_behind_elsewhere_is_not_this_phases() -> None:
    seen = record(*replica_looks((2.0, 8.0, 60.0), (45.0, 46.0, 9.0)))
    assert result(seen).status == "pass"
    assert result(seen, "recover").status == "fail"


def test_what_it_was_behind_before_is_not_the_migrations() -> None:
    seen = result(record(*replica_looks((20.0, 52.0, 8.0))))
    assert (seen.status, seen.observed) == ("inconclusive", 8.0)
    assert "8.00 s behind already before the first statement" in seen.why


def test_one_that_was_behind_before_does_not_excuse_another() -> None:
    seen = result(record(*replica_looks((20.0, 52.0, 80.0)), *replica_looks((30.0, 31.0, 6.0), name="r2")))
    assert (seen.status, seen.observed) == ("fail", 6.0)
    assert "replica r2" in seen.why


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (without(replica_looks(), 29.0, 33.0), "replica r1 was not seen for 4.50 s"),
        (replica_looks(until=28.0), "replica r1 was not seen for"),
        ((*replica_looks(), *replica_looks(until=20.0, name="r2")), "replica r2 was not seen for"),
        (
            (*replica_looks(), *(ReplicaPoint(at, "r2", REPLICA, why="refused") for at in (20.0, 30.0))),
            "replica r2 was not seen for 10.00 s: refused",
        ),
        (replica_looks(until=36.0)[-4:], "needs 5 looks"),
    ],
)
def test_a_replica_that_was_not_seen_decides_nothing(lines: Sequence[ReplicaPoint], why: str) -> None:
    seen = result(record(*lines))
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_a_lag_that_was_seen_is_red_though_another_replica_was_lost() -> None:
    seen = result(record(*replica_looks((30.0, 31.0, 6.0)), *replica_looks(until=20.0, name="r2")))
    assert seen.status == "fail"


def test_a_moment_out_of_sight_hides_nothing() -> None:
    assert result(record(*without(replica_looks(), 29.0, 31.0))).status == "pass"


def test_a_replica_that_came_during_the_phase_is_judged_from_then_on() -> None:
    joined = tuple(point for point in replica_looks(name="r2") if point.at > 33.0)
    assert result(record(*replica_looks(), *joined)).status == "pass"


def test_replicas_of_other_databases_are_judged_too() -> None:
    found = several()
    watch = replace(found.elsewhere[BILLING], database=replica_looks((30.0, 31.0, 6.0), until=54.0))
    plan = replace(found.plan, standby=True)
    seen = judge(replace(found, plan=plan, elsewhere={BILLING: watch}))
    red = [gate for gate in seen.gates if gate.name == "replica_lag" and gate.status == "fail"]
    assert "replica r1 of billing was 6.00 s behind" in red[0].why


# no replica


def test_without_a_replica_it_is_not_applicable_and_says_why() -> None:
    seen = result(a_record(OWN))
    assert (seen.status, seen.why) == (
        "not_applicable",
        "no replica streamed from the database while it was watched",
    )


def test_a_replica_that_is_required_must_be_there() -> None:
    assert result(a_record(replace(OWN, required=("replica_lag",)))).status == "inconclusive"


@pytest.mark.parametrize("observed", [Observed(), Observed(began_at=0.5, polls=9)])
def test_that_there_was_none_is_known_only_to_who_looked(observed: Observed) -> None:
    seen = result(a_record(OWN, observed=observed))
    assert (seen.status, seen.why) == ("inconclusive", "nobody watched the database to its end")


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (a_plan(), "--standby is not given"),
        (Plan(host="http://127.0.0.1:8000", placebo=True), "no database to look at"),
    ],
)
def test_a_plan_without_one_is_told_so_before_the_load(plan: Plan, why: str) -> None:
    found = [gate for gate in check_gates(plan) if gate.name == "replica_lag"]
    assert found
    assert all(why in gate.not_applicable for gate in found)


def test_requiring_it_of_the_demo_needs_the_flag() -> None:
    with pytest.raises(UsageError, match="--standby is not given"):
        check_gates(a_plan(required=("replica_lag",)))


# the metric, and what the verdict says


def test_the_metric_is_unknown_where_a_replica_was_lost() -> None:
    selector = Selector("replica_lag_max", "migrate")
    assert measure(facts_of(record(*replica_looks((30.0, 31.0, 2.0)))), selector).value == 2.0
    lost = measure(facts_of(record(*replica_looks(), *replica_looks(until=20.0, name="r2"))), selector)
    assert (lost.value, "r2" in lost.why) == (None, True)


def test_a_gate_of_ones_own_may_be_stricter() -> None:
    plan = a_plan(standby=True, gates=("replica_lag: replica_lag_max{phase=migrate} < 1s",))
    assert result(record(*replica_looks((30.0, 31.0, 2.0)), plan=plan)).status == "fail"


def test_the_verdict_has_each_replica_by_phase_with_its_conflicts() -> None:
    canceled = ReplicaPoint(51.5, "r1", REPLICA, 0.0, 0, conflicts={"confl_lock": 3})
    own = (*replica_looks((30.0, 31.0, 2.5), until=51.0, source=REPLICA), canceled)

    primary, itself = judge(record(*replica_looks(), *own)).as_json()["replicas"]

    assert (primary["source"], primary["conflicts"], primary["lag_s"]["migrate"]) == (PRIMARY, None, 0.0)
    assert (itself["source"], itself["conflicts"], itself["behind_bytes"]) == (
        REPLICA,
        {"confl_lock": 3},
        2500,
    )
    assert itself["lag_s"]["migrate"] == 2.5
    assert itself["lag_s"]["baseline"] == 0.0
