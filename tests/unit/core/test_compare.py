"""Two runs side by side: what is clear of chance, what is too little to say, and what decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.compare import Comparison, Row, Threshold, compare
from harness.core.facts import Facts, facts_of
from harness.core.samples import Outcome, SampleTable
from harness.errors import UsageError
from tests.fix_record import a_plan, a_record, a_wait, events
from tests.fix_samples import joined, samples, steady, without

TEN = Threshold.parse("10%")


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is clear of chance here is so of fifty resamples, and in a twentieth of the time."""
    monkeypatch.setattr("harness.core.resampling.RESAMPLES", 50)


def facts(table: SampleTable | None = None, **changes: Any) -> Facts:
    return facts_of(a_record(table=table, **changes))


def noisy(seed: int, slower: float = 1.0, everywhere: float = 1.0) -> SampleTable:
    """100 requests per second with exponential latencies of 20 ms in the mean, `slower` in the impact
    window."""
    quick = steady()
    drawn = np.random.default_rng(seed).exponential(0.02, len(quick)) * everywhere
    latency = np.where((quick.at >= 27.0) & (quick.at < 37.0), drawn * slower, drawn)
    return replace(quick, latency=latency, service=latency)


def in_impact(inner: SampleTable) -> SampleTable:
    return joined(without(steady(), 27.0, 37.0), inner)


def row(found: Comparison, metric: str, phase: str = "migrate", endpoint: str | None = None) -> Row:
    return next(r for r in found.rows if (r.metric, r.phase, r.endpoint) == (metric, phase, endpoint))


def test_a_run_compares_with_itself_as_not_different() -> None:
    one = facts(noisy(1))
    found = compare(one, one, TEN)
    assert {r.result for r in found.rows} == {"no clear difference", "one value each"}
    assert (found.exit_code, found.regressions, found.conditions) == (0, (), ())


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_of_the_same_noise_are_not_different(seed: int) -> None:
    assert compare(facts(noisy(seed)), facts(noisy(seed + 100)), TEN).exit_code == 0


def test_a_slower_migration_is_a_regression_and_nothing_else_is() -> None:
    found = compare(facts(noisy(1)), facts(noisy(2, slower=3.0)), TEN)
    assert found.exit_code == 1
    p95 = row(found, "p95")
    assert (p95.result, p95.regression) == ("slower", True)
    assert p95.low is not None
    assert p95.high is not None
    assert 1.0 < p95.low < p95.high < 4.0
    assert {r.phase for r in found.regressions} == {"migrate"}
    assert {r.metric for r in found.regressions} <= {"p50", "p95", "p99"}


def test_the_other_way_round_it_is_faster_and_passes() -> None:
    slow, quick = facts(in_impact(steady(27.0, 37.0, latency=0.06))), facts()
    found = compare(slow, quick, TEN)
    assert row(found, "p95").result == "faster"
    assert row(found, "p95").change == pytest.approx(-2 / 3)
    assert found.exit_code == 0


@pytest.mark.parametrize(("threshold", "exit_code"), [("10%", 0), ("5%", 1), ("5% + 5ms", 0)])
def test_slower_within_the_threshold_is_told_and_passes(threshold: str, exit_code: int) -> None:
    slow = facts(in_impact(steady(27.0, 37.0, latency=0.0215)))
    found = compare(facts(), slow, Threshold.parse(threshold))
    assert row(found, "p95").result == "slower"
    assert found.exit_code == exit_code


def test_one_bad_second_is_no_clear_difference() -> None:
    bad = in_impact(joined(without(steady(27.0, 37.0), 30.0, 31.0), steady(30.0, 31.0, latency=0.5)))
    found = compare(facts(), facts(bad), TEN)
    assert row(found, "p95").result == "no clear difference"
    assert row(found, "stall").change == pytest.approx(24.0)
    assert found.exit_code == 0


def test_errors_that_are_spread_over_the_window_are_a_regression() -> None:
    failing = [(27.0 + n / 100, 0.02, Outcome.ERROR if n % 20 == 0 else Outcome.OK) for n in range(1000)]
    found = compare(facts(), facts(in_impact(samples(failing))), TEN)
    errors = row(found, "error_ratio")
    assert (errors.result, errors.regression) == ("more errors", True)
    assert errors.change == pytest.approx(0.05, abs=0.001)
    assert (
        row(compare(facts(in_impact(samples(failing))), facts(), TEN), "error_ratio").result == "fewer errors"
    )


def test_half_a_per_cent_of_errors_more_is_no_regression() -> None:
    failing = [(27.0 + n / 400, 0.02, Outcome.ERROR if n % 180 == 0 else Outcome.OK) for n in range(4000)]
    quick = steady(27.0, 37.0, rate=400.0)
    found = compare(facts(in_impact(quick)), facts(in_impact(samples(failing))), TEN)
    assert row(found, "error_ratio").result == "more errors"
    assert found.exit_code == 0


def test_less_throughput_is_slower() -> None:
    found = compare(facts(), facts(in_impact(steady(27.0, 37.0, rate=70.0))), TEN)
    assert (row(found, "throughput").result, row(found, "throughput").regression) == ("slower", True)
    assert row(found, "p95").result == "no clear difference"


def test_too_few_samples_decide_nothing() -> None:
    thin = facts(in_impact(steady(27.0, 37.0, rate=10.0)))
    found = compare(thin, thin, TEN)
    p95 = row(found, "p95")
    assert (p95.result, p95.old) == ("too few samples", None)
    assert "needs 200 samples, has 10" in p95.why
    assert found.exit_code == 4
    assert {r.metric for r in found.undecided} == {"p95", "error_ratio", "throughput"}


def test_a_regression_is_one_whatever_else_has_too_few_samples() -> None:
    thin = joined(
        without(in_impact(steady(27.0, 37.0, latency=0.06)), 37.0, 52.0), steady(37.0, 52.0, rate=5.0)
    )
    assert compare(facts(), facts(thin), TEN).exit_code == 1


def test_a_rare_endpoint_does_not_make_the_whole_undecided() -> None:
    rare = joined(steady(), steady(rate=1.0, endpoint="POST /login"))
    found = compare(facts(rare), facts(rare), TEN)
    assert row(found, "p95", endpoint="POST /login").result == "too few samples"
    assert found.exit_code == 0


def test_a_slow_endpoint_is_found_among_quick_ones() -> None:
    quick = joined(steady(), steady(endpoint="GET /x"))
    slow = joined(
        steady(),
        without(steady(endpoint="GET /x"), 27.0, 37.0),
        steady(27.0, 37.0, latency=0.1, endpoint="GET /x"),
    )
    found = compare(facts(quick), facts(slow), TEN)
    assert row(found, "p50", endpoint="GET /x").regression
    assert not any(r.regression for r in found.rows if r.endpoint == "GET /documents")


def test_a_run_that_is_no_evidence_decides_nothing_not_even_a_regression() -> None:
    slow = in_impact(steady(27.0, 37.0, latency=0.5))
    found = compare(facts(), facts(slow, missing=("3 blocks of samples from worker w1",)), TEN)
    assert row(found, "p95").regression
    assert found.exit_code == 4
    assert found.doubts == (
        "The new run is no evidence: its record is not whole: 3 blocks of samples from worker w1.",
    )


def test_endpoints_of_one_run_alone_are_told() -> None:
    more = facts(joined(steady(), steady(endpoint="GET /new")))
    assert compare(facts(), more, TEN).notes == ("Only the new run asked for GET /new.",)


def test_phases_of_one_run_alone_are_told() -> None:
    back = facts(plan=a_plan(downgrade="0001"))
    assert compare(back, facts(), TEN).notes == (
        "Only the old run has the phase rollback, rollback_recover.",
    )


def test_the_migrations_own_times_are_shown_and_never_decide() -> None:
    waiting = facts(waits=(a_wait(27.2, 28.01),))
    found = compare(facts(), waiting, TEN)
    waited = row(found, "lock_wait_max")
    assert waited.old == 0.0
    assert waited.new == pytest.approx(0.81)
    assert row(found, "migration_duration").change == 0.0
    assert {row(found, name).result for name in ("lock_wait_max", "migration_duration")} == {"one value each"}
    assert found.exit_code == 0


def test_what_changed_before_the_migration_is_told_apart() -> None:
    quicker = facts(steady(latency=0.01))
    assert [r.metric for r in compare(facts(), quicker, TEN).shifted] == ["p50", "p95", "p99"]


def test_what_changed_in_the_migration_alone_is_not() -> None:
    assert compare(facts(), facts(in_impact(steady(27.0, 37.0, latency=0.06))), TEN).shifted == ()


def test_a_busier_machine_is_a_regression_where_nothing_is_relative() -> None:
    assert compare(facts(noisy(1)), facts(noisy(2, everywhere=2.0)), TEN).exit_code == 1


def test_a_busier_machine_is_no_regression_of_the_migration() -> None:
    found = compare(facts(noisy(1)), facts(noisy(2, everywhere=2.0)), TEN, relative=True)
    assert found.exit_code == 0
    assert row(found, "p95", "baseline").result == "slower"
    assert row(found, "p95").result == "no clear difference"
    assert row(found, "p95").old == pytest.approx(row(found, "p95").new, rel=0.25)


def test_a_slower_migration_is_one_on_a_busier_machine_too() -> None:
    found = compare(facts(noisy(1)), facts(noisy(2, slower=3.0, everywhere=2.0)), TEN, relative=True)
    assert row(found, "p95").regression
    assert row(found, "p95").change == pytest.approx(2.0, rel=0.3)


def test_without_a_baseline_to_compare_with_nothing_is_relative() -> None:
    rare = facts(joined(without(steady(), 5.0, 25.0), steady(5.0, 25.0, rate=5.0)))
    found = row(compare(rare, rare, TEN, relative=True), "p95")
    assert (found.result, found.why) == ("too few samples", "too few samples in the baseline")


def test_conditions_come_with_the_comparison() -> None:
    found = compare(facts(), facts(plan=a_plan(users=31)), TEN)
    assert [(c.what, c.old, c.new) for c in found.conditions] == [("users", "30", "31")]


def test_runs_without_a_common_phase_decide_nothing() -> None:
    short = facts(events=events(phases={"warmup": 0.0, "drain": 20.0}, trace=[], end={"status": None}))
    assert compare(short, short, TEN).exit_code == 4


def test_json_has_null_for_what_is_unknown_and_for_what_has_no_size() -> None:
    failing = [(27.0 + n / 100, 0.02, Outcome.ERROR) for n in range(1000)]
    found = compare(facts(in_impact(samples(failing))), facts(), TEN).as_json()
    of = {r["metric"]: r for r in found["rows"] if r["phase"] == "migrate" and r["endpoint"] is None}
    assert of["p95"]["old"] is None
    assert (of["throughput"]["low"], of["throughput"]["high"]) == (None, None)
    assert of["error_ratio"]["change"] is not None
    assert (found["schema"], found["max_slower"]) == (1, "10%")


@pytest.mark.parametrize(
    ("text", "ratio", "floor_s"), [("10%", 0.1, 0.0), ("10% + 5ms", 0.1, 0.005), (" 2.5 %+1s", 0.025, 1.0)]
)
def test_thresholds(text: str, ratio: float, floor_s: float) -> None:
    found = Threshold.parse(text)
    assert found.ratio == pytest.approx(ratio)
    assert found.floor_s == pytest.approx(floor_s)


@pytest.mark.parametrize("text", ["", "10", "5ms", "10% - 5ms", "-1%", "10% + x"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-slower"):
        Threshold.parse(text)
