"""Gates of a plan's own: what an expression says of a record, and of another run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.facts import facts_of
from harness.core.gate import Gate
from harness.core.gates import check_gates
from harness.core.record import Record
from harness.core.samples import Outcome, SampleTable
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_gates import ALTER, in_place_of, result
from tests.fix_record import PHASES, a_plan, a_record, events
from tests.fix_samples import joined, samples, steady, without
from tests.fix_trace import statement_records, trace_of


def test_a_gate_for_some_seconds_needs_all_of_them_to_be_bad() -> None:
    bad = in_place_of(30.0, 32.0, outcome=Outcome.ERROR)
    for seconds, status in ((2, "fail"), (4, "pass")):
        record = a_record(a_plan(gates=(f"e: error_ratio < 1% for {seconds}s",)), bad)
        assert result(record, "e").status == status


def test_a_floor_for_some_seconds() -> None:
    gap = without(steady(), 30.0, 33.0)
    for seconds, status in ((2, "fail"), (5, "pass")):
        record = a_record(a_plan(gates=(f"t: throughput > 50/s for {seconds}s",)), gap)
        assert result(record, "t").status == status


def test_a_stretch_longer_than_the_phase_decides_nothing() -> None:
    record = a_record(a_plan(gates=("e: error_ratio < 1% for 11s",)))
    assert result(record, "e").why == "no 11 s in a row have requests in every second"


def test_what_the_limit_lacks_is_told() -> None:
    record = a_record(a_plan(gates=("g: p95 < 2 * p95{phase=rollback}",), downgrade="0001"), events=events())
    assert result(record, "g").why == "p95 of rollback: the run never came to phase rollback"


def spread(low: float, high: float) -> SampleTable:
    """Latencies that rise evenly from `low` to `high` within the impact window, in no order of time."""
    own = 100 * 10
    rows = ((27 + n / 100, low + (high - low) * (n * 7 % own) / own) for n in range(own))
    return joined(without(steady(), 27.0, 37.0), samples(rows))


def test_a_quantile_gate_tells_where_the_true_one_lies() -> None:
    found = result(a_record(a_plan(gates=("g: p95 < 1s",)), spread(0.1, 0.2)), "g")
    assert found.confidence is not None
    assert found.observed is not None
    low, high = found.confidence
    assert 0.19 < low < found.observed < high < 0.2
    assert (found.status, found.why) == ("pass", "")


@pytest.mark.parametrize(("limit", "status"), [("194ms", "fail"), ("196ms", "pass")])
def test_what_lies_near_its_limit_says_so_on_either_side(limit: str, status: str) -> None:
    found = result(a_record(a_plan(gates=(f"g: p95 < {limit}",)), spread(0.1, 0.2)), "g")
    assert (found.status, found.why) == (
        status,
        "the limit lies within the confidence interval: chance may have decided it",
    )


def test_what_is_clear_of_its_limit_does_not() -> None:
    for limit, status in (("150ms", "fail"), ("210ms", "pass")):
        found = result(a_record(a_plan(gates=(f"g: p95 < {limit}",)), spread(0.1, 0.2)), "g")
        assert (found.status, found.why) == (status, "")


@pytest.mark.parametrize("gate", ["error_ratio < 1%", "max < 1s", "p95 < 1s for 1s"])
def test_what_is_no_quantile_of_the_window_has_no_interval(gate: str) -> None:
    found = result(a_record(a_plan(gates=(f"g: {gate}",))), "g")
    assert (found.status, found.confidence) == ("pass", None)


def test_too_few_samples_have_no_interval_and_decide_nothing() -> None:
    few = joined(without(steady(), 27.0, 37.0), steady(27.0, 37.0, rate=19.0))
    found = result(a_record(a_plan(gates=("g: p95 < 1s",)), few), "g")
    assert (found.status, found.observed, found.confidence) == ("inconclusive", None, None)


def test_a_gate_that_cannot_be_computed_is_inconclusive() -> None:
    def broken(_facts: object) -> GateResult:
        raise ZeroDivisionError("division by zero")

    seen = Gate("g", "p95 < 1s", "client", broken).result(facts_of(a_record()))
    assert seen.status == "inconclusive"
    assert seen.why == "it could not be computed: ZeroDivisionError: division by zero"


SLOWER = "slower: p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}"


def beside(baseline: Record | None, gate: str = SLOWER, **changes: Any) -> Record:
    """A run with a gate that compares it with `baseline`."""
    return a_record(plan=a_plan(baseline_run="runs/main", gates=(gate,)), baseline=baseline, **changes)


def test_a_gate_against_another_run_passes_what_is_as_quick() -> None:
    seen = result(beside(a_record()), "slower")
    assert seen.status == "pass"
    assert seen.limit == pytest.approx(0.022)


def test_a_gate_against_another_run_is_red_for_what_is_slower() -> None:
    slow = in_place_of(27.0, 37.0, latency=0.03)
    assert result(beside(a_record(), table=slow), "slower").status == "fail"
    assert result(beside(a_record(table=slow), table=slow), "slower").status == "pass"


def test_a_migration_may_be_held_to_the_time_of_another() -> None:
    gate = "longer: migration_duration < 2 * migration_duration{run=baseline}"
    long = events(trace=trace_of(statement_records(ALTER, 27.0, 33.0, k=1, commit_at=33.0)), ended_at=34.0)
    assert result(beside(a_record(), gate, events=long), "longer").status == "fail"
    assert result(beside(a_record(events=long), gate, events=long), "longer").status == "pass"


@pytest.mark.parametrize(
    ("baseline", "why"),
    [
        (None, "the record of the baseline run is not there"),
        (a_record(missing=("samples.blocks: torn",)), "its record is not whole: samples.blocks: torn"),
        (a_record(table=steady(rate=10)), "p95 of migrate in the baseline run: needs 200 samples"),
    ],
)
def test_another_run_that_says_nothing_decides_nothing(baseline: Record | None, why: str) -> None:
    seen = result(beside(baseline), "slower")
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_asking_another_run_for_a_time_is_asking_it_for_its_own_window() -> None:
    late = replace(a_record(), events=events(phases={**PHASES, "recover": 40.0}))
    gate = "p95{run=baseline,phase=recover} < 100ms for 2s"
    assert result(beside(late, gate), gate).status == "pass"


def test_the_label_run_without_a_run_is_refused() -> None:
    with pytest.raises(UsageError, match="needs another run") as refused:
        check_gates(a_plan(gates=(SLOWER,)))
    assert "--baseline-run" in refused.value.remedy
