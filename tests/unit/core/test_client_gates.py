"""The gates over what clients saw."""

from __future__ import annotations

import pytest

from harness.core.samples import Outcome
from tests.fix_gates import ASKED_FOR, in_place_of, phases_of, result, results
from tests.fix_record import a_record
from tests.fix_samples import joined, samples, steady, without


@pytest.mark.parametrize("name", ["errors", "throughput", "latency", "stall", "recovery"])
def test_without_an_answer_in_the_baseline_no_client_gate_decides(name: str) -> None:
    seen = result(a_record(table=steady(outcome=Outcome.ERROR)), name)
    assert seen.status == "inconclusive"
    assert "baseline" in seen.why


def test_one_endpoint_alone_can_be_red() -> None:
    failing = steady(28.0, 29.0, rate=6, outcome=Outcome.ERROR, endpoint="POST /transfers")
    seen = result(a_record(table=joined(steady(), failing)), "errors")
    assert (seen.status, seen.observed, seen.limit, seen.samples) == ("fail", 1.0, 0.05, 6)
    assert seen.why.startswith("POST /transfers: 6 of 6 requests failed")


def test_four_failures_of_one_endpoint_are_not_enough() -> None:
    failing = steady(28.0, 29.0, rate=4, outcome=Outcome.ERROR, endpoint="POST /transfers")
    assert result(a_record(table=joined(steady(), failing)), "errors").status == "pass"


def test_errors_are_judged_by_what_exceeds_the_baseline() -> None:
    always = steady(rate=10, outcome=Outcome.ERROR, endpoint="GET /broken")
    seen = results(a_record(table=joined(steady(), always)))
    assert {r.status for r in seen if r.name not in ASKED_FOR} == {"pass"}


def test_few_answers_are_what_throughput_finds() -> None:
    seen = result(a_record(table=without(steady(), 27.5, 37.0)), "throughput")
    assert seen.status == "fail"
    assert (seen.samples or 0) < 300


def test_a_recovery_within_noise_is_not_red() -> None:
    tail = samples((37.0 + n / 20, 0.7 if n % 18 == 0 else 0.02) for n in range(300))
    seen = result(a_record(table=joined(steady(end=37.0), tail)), "recovery")
    assert (seen.observed or 0.0) > (seen.limit or 0.0)
    assert (seen.status, seen.why) == ("pass", "above the limit, but not clearly so: within noise")


def test_a_clear_recovery_failure_says_by_how_much() -> None:
    assert (
        "with 95 % confidence" in result(a_record(table=in_place_of(40.0, 52.0, latency=0.2)), "recovery").why
    )


@pytest.mark.parametrize(("start", "red"), [(28.0, ["migrate"]), (40.0, ["recover"])])
def test_errors_are_judged_during_the_migration_and_after_it(start: float, red: list[str]) -> None:
    failing = steady(start, start + 8.0, rate=6, outcome=Outcome.ERROR, endpoint="POST /documents")
    seen = results(a_record(table=joined(steady(), failing)))
    assert phases_of("errors", [r for r in seen if r.status == "fail"]) == red


def test_one_stall_of_the_machine_is_one_observation_to_the_recovery_gate() -> None:
    tail = samples((37.0 + n / 80, 0.4 if 49.0 <= 37.0 + n / 80 < 49.4 else 0.02) for n in range(1200))
    seen = result(a_record(table=joined(steady(end=37.0), tail)), "recovery")
    assert (seen.observed or 0.0) > (seen.limit or 0.0)
    assert seen.status == "pass"
