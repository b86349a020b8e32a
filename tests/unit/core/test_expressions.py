"""The grammar of gates: what is written is what is judged, and what is unknown is named."""

from __future__ import annotations

import pytest

from harness.core.expressions import parse
from harness.core.metrics import METRICS, Selector
from harness.errors import UsageError


def test_a_plain_limit() -> None:
    name, gate = parse('slow_list: p95{phase=migrate,name="GET /documents"} < 800ms')
    assert name == "slow_list"
    assert gate.left == Selector("p95", "migrate", "GET /documents")
    assert (gate.op, gate.right, gate.hold_s) == ("<", None, None)
    assert gate.value == pytest.approx(0.8)
    assert gate.text == 'p95{phase=migrate,name="GET /documents"} < 800ms'


def test_a_limit_by_another_metric() -> None:
    name, gate = parse("latency:   p95{phase=migrate} < 3 * p95{phase=baseline} + 50ms")
    assert name == "latency"
    assert gate.factor == 3.0
    assert gate.value == pytest.approx(0.05)
    assert gate.right == Selector("p95", "baseline")
    assert gate.selectors == (Selector("p95", "migrate"), Selector("p95", "baseline"))


def test_a_limit_for_some_time() -> None:
    name, gate = parse("error_ratio{phase=migrate} < 1% for 2s")
    assert name is None
    assert (gate.hold_s, gate.unit) == (2.0, "ratio")
    assert gate.value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("stall <= 1.5s", 1.5),
        ("stall<1min", 60.0),
        ("throughput > 50/s", 50.0),
        ("throughput > 50", 50.0),
        ("errors == 0", 0.0),
        ("error_ratio < 0.02", 0.02),
        ("throughput >= 0.95 * throughput{phase=baseline}", 0.0),
        ("p99 < 2 s", 2.0),
    ],
)
def test_limits_in_their_units(text: str, value: float) -> None:
    assert parse(text)[1].value == pytest.approx(value)


def test_a_name_may_hold_braces_commas_and_operators() -> None:
    _, gate = parse('p95{name="GET /documents/{id}, <all>"} < 1s')
    assert gate.left.endpoint == "GET /documents/{id}, <all>"


def test_a_bare_name() -> None:
    assert parse("p95{name=list, phase=recover} < 1s")[1].left == Selector("p95", "recover", "list")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_asked_for(metric: str) -> None:
    unit = {"s": "1s", "ratio": "1%", "/s": "1/s", "count": "1"}[METRICS[metric].unit]
    assert parse(f"{metric} <= {unit}")[1].left == Selector(metric)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("p96 < 1s", "no metric 'p96'", "p95, p99"),
        ("p95{fase=migrate} < 1s", "no label 'fase'", "phase, name, run"),
        ("p95{phase=migrating} < 1s", "no phase 'migrating'", "warmup, baseline"),
        ("p95{run=last} < 1s", "no run 'last'", "Known runs: baseline"),
        ("p95 < 1parsec", "unit 'parsec'", "ms, s, min"),
        ("p95 < 1", "no unit", "ms, s, min"),
        ("p95 < 5%", "unit '%'", "ms, s, min"),
        ("error_ratio < 1s", "unit 's'", "%"),
        ("p95 < 2 * throughput", "measured in s, throughput in /s", "same unit"),
        ("stall < 1s for 2s", "no meaning for stall", "Leave it out"),
        ("errors == 0 for 2s", "no meaning with ==", "Leave it out"),
        ("p95 < 1s for 100ms", "shorter than a slice", "at least 1s"),
        ("p95 < 1s for ever", "not a duration", "250ms"),
        ("leaks{phase=migrate} == 0", "whole run", "without phase and name"),
        ("migration_duration{name=x} < 1s", "no endpoint", "name"),
        ("blocked{name=x} < 1s", "no endpoint", "name"),
        ("lock_wait_max{phase=recover} < 1s", "nothing migrates in phase recover", "phase=migrate"),
        ("rewrites < 1s", "'s' is none of its own", "rewrites: none"),
        ("migration_duration{phase=recover} < 1s", "nothing migrates in phase recover", "phase=migrate"),
        ("p95{phase=migrate,phase=recover} < 1s", "the label phase is given twice", "once"),
        ('p95{name=a,name="a"} < 1s', "the label name is given twice", "once"),
        ("p95{phase} < 1s", "'phase' is not a label", "label=value"),
        ("p95 ~ 1s", "not a gate expression", "METRIC"),
        ("p95 < 1s or else", "not a gate expression", "METRIC"),
        ("", "not a gate expression", "METRIC"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_known(text: str, message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert message in refused.value.message
    assert remedy in refused.value.remedy


def test_a_limit_by_another_run() -> None:
    _, gate = parse("p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}")
    assert (gate.left.run, gate.right) == (None, Selector("p95", "migrate", run="baseline"))


def test_what_is_of_the_whole_run_may_be_of_another_run() -> None:
    assert parse("leaks <= 1 * leaks{run=baseline}")[1].right == Selector("leaks", run="baseline")


@pytest.mark.parametrize("phase", ["migrate", "rollback"])
def test_the_duration_of_either_migration(phase: str) -> None:
    gate = parse(f"migration_duration{{phase={phase}}} < 1s")[1]
    assert gate.left == Selector("migration_duration", phase)
