"""Every metric on a literal record: its value, its samples, and why it has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.events import Kind
from harness.core.facts import Facts, facts_of
from harness.core.metrics import METRICS, Selector, measure
from harness.core.observation import Observed
from harness.core.quantiles import quantile_samples
from harness.core.record import FinalRead, Watch
from harness.core.samples import Outcome
from harness.core.timeline import Window
from tests.fix_ledger import operations_of
from tests.fix_record import a_plan, a_record, a_wait, events, messages, replica_looks, watched
from tests.fix_samples import joined, samples, steady, without
from tests.fix_several import BILLING, BILLING_PID, a_watch, several, several_events
from tests.fix_trace import TABLE_OID, ZERO, idle_trace, trace_records


def facts(table: object = None, **changes: object) -> Facts:
    return facts_of(a_record(table=table, **changes))  # type: ignore[arg-type]


def value(name: str, of: Facts, phase: str | None = None, endpoint: str | None = None) -> float | None:
    return measure(of, Selector(name, phase, endpoint)).value


def empty() -> Facts:
    return facts(
        samples([]),
        operations=operations_of(),
        totals=(),
        final_reads=(),
        reads_checked=0,
        probes=(),
        health=(),
        websocket=(),
        events=events(trace=[]),
        observed=Observed(),
    )


@pytest.mark.parametrize(
    "name", [n for n in METRICS if n not in ("requests", "errors", "throughput", "rate")]
)
def test_what_was_not_measured_is_unknown_and_says_why(name: str) -> None:
    found = measure(empty(), Selector(name))
    assert found.value is None
    assert found.why


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p50", 0.02),
        ("p90", 0.02),
        ("p95", 0.02),
        ("p99", 0.02),
        ("max", 0.02),
        ("mean", 0.02),
        ("service_p95", 0.02),
        ("lag_p99", 0.0),
        ("slice_p95", 0.02),
        ("tail_p95", 0.02),
        ("error_ratio", 0.0),
        ("errors", 0.0),
        ("throughput", 100.0),
        ("rate", 100.0),
        ("requests", 1002.0),
        ("stall", 0.02),
        ("lost_writes", 0.0),
        ("unexpected_writes", 0.0),
        ("duplicates", 0.0),
        ("stale_reads", 0.0),
        ("stale_cache", 0.0),
        ("wrong_totals", 0.0),
        ("leaks", 0.0),
        ("forged_tokens", 0.0),
        ("hub_late_p99", 0.001),
        ("ws_delivery_p99", 0.05),
        ("ws_missed", 0.0),
        ("migration_duration", 1.0),
        ("rewrites", 0.0),
        ("blocked", 0.0),
        ("lock_wait_max", 0.0),
        ("replica_lag_max", 0.5),
    ],
)
def test_a_run_in_which_all_went_well(name: str, expected: float) -> None:
    assert value(name, facts(database=replica_looks((30.0, 31.0, 0.5)))) == pytest.approx(expected)


def test_the_table_above_names_every_metric() -> None:
    marks = test_a_run_in_which_all_went_well.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in marks[0].args[1]} == set(METRICS)


@pytest.mark.parametrize(("q", "needed"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000)])
def test_a_quantile_needs_ten_samples_beyond_it(q: float, needed: int) -> None:
    assert quantile_samples(q) == needed
    assert METRICS[f"p{round(q * 100)}"].minimum == needed


def test_latency_service_time_and_lag_are_told_apart() -> None:
    table = steady()
    late = facts(replace(table, latency=np.full(len(table), 0.05)))
    assert value("p95", late) == pytest.approx(0.05)
    assert value("service_p95", late) == pytest.approx(0.02)
    assert value("lag_p99", late) == pytest.approx(0.03)


def test_lag_is_of_all_requests_however_they_ended() -> None:
    table = steady(outcome=Outcome.ERROR)
    failed = facts(replace(table, latency=np.full(len(table), 0.05)))
    assert value("lag_p99", failed) == pytest.approx(0.03)
    assert value("service_p95", failed) is None


def test_too_few_samples_are_told() -> None:
    found = measure(facts(steady(rate=3)), Selector("p95", "migrate"))
    assert (found.value, found.why) == (None, f"needs 200 samples, has {found.samples}")


def test_a_phase_the_run_never_came_to() -> None:
    found = measure(facts(), Selector("p95", "rollback"))
    assert (found.value, found.why) == (None, "the run never came to phase rollback")


def test_a_migration_without_a_statement_has_no_impact() -> None:
    found = measure(facts(events=events(trace=idle_trace(), end={"status": "failed"})), Selector("p95"))
    assert found.value is None
    assert "ran no statement" in found.why


def test_an_endpoint_nobody_asked_for() -> None:
    found = measure(facts(), Selector("p95", "migrate", "GET /nowhere"))
    assert found.why == "no request was named 'GET /nowhere'; there were: GET /documents"


def test_one_endpoint_of_several() -> None:
    table = joined(steady(), steady(rate=50, latency=0.3, endpoint="POST /documents"))
    assert value("p95", facts(table), "migrate", "POST /documents") == pytest.approx(0.3)
    assert value("slice_p95", facts(table), "migrate", "POST /documents") == pytest.approx(0.3)
    assert value("tail_p95", facts(table), "recover", "POST /documents") == pytest.approx(0.3)


def test_the_worst_slice_is_not_hidden_by_the_others() -> None:
    table = joined(without(steady(), 32.0, 37.0), steady(32.0, 37.0, latency=0.5))
    assert value("slice_p95", facts(table)) == pytest.approx(0.5)
    assert value("p50", facts(table)) == pytest.approx(0.02)


def test_an_unfinished_request_is_one_of_all_but_no_error() -> None:
    table = joined(
        steady(), steady(28.0, 30.0, outcome=Outcome.ERROR), steady(30.0, 32.0, outcome=Outcome.UNFINISHED)
    )
    found = measure(facts(table), Selector("error_ratio", "migrate"))
    assert found.value == pytest.approx(200 / 1402)


def test_latency_is_of_ok_answers_only() -> None:
    table = joined(steady(), steady(28.0, 30.0, outcome=Outcome.ERROR, latency=0.001))
    assert value("p50", facts(table)) == pytest.approx(0.02)


def test_a_metric_over_a_window_of_ones_own() -> None:
    found = measure(facts(), Selector("requests"), Window("second", 30.0, 31.0))
    assert found.value == pytest.approx(102)


def test_an_untraced_migrations_duration_is_unknown() -> None:
    assert value("migration_duration", facts(events=events(end={"unreadable": 1}))) is None


def test_waits_are_summed_and_the_longest_is_found() -> None:
    waits = (a_wait(27.0, 27.5), a_wait(27.25, 28.0, pid=601), a_wait(27.0, 29.0, pid=602, root=700))
    found = facts(waits=waits)
    assert value("blocked", found) == pytest.approx(1.25)
    assert value("lock_wait_max", found) == pytest.approx(0.75)
    assert measure(found, Selector("blocked")).samples == 2


def test_waits_are_unknown_where_the_observer_died() -> None:
    found = measure(facts(waits=(a_wait(27.0, 28.0),), observed=watched(ended_at=None)), Selector("blocked"))
    assert (found.value, found.why) == (None, "the observer of the database died before its end")


def test_rewrites_are_counted() -> None:
    begin, *rest = (event for event in events() if event.kind == Kind.MIGRATION_BEGIN)
    known = replace(begin, data={**begin.data, "relfilenodes": {str(TABLE_OID): 5}})
    others = (event for event in events() if event.kind != Kind.MIGRATION_BEGIN)
    assert value("rewrites", facts(events=(known, *rest, *others))) == 1.0


@pytest.mark.parametrize(
    ("trace", "why"),
    [
        ([], "was not traced"),
        (
            [
                *trace_records(),
                {"kind": "blind", "mono": ZERO, "process": 77, "backend": 500, "reason": "busy"},
            ],
            "busy",
        ),
    ],
)
def test_rewrites_that_nobody_could_see_are_unknown(trace: list[dict[str, Any]], why: str) -> None:
    found = measure(facts(events=events(trace=trace)), Selector("rewrites"))
    assert found.value is None
    assert why in found.why


def test_a_delivery_p99_needs_a_thousand() -> None:
    few = facts(websocket=messages(999))
    assert measure(few, Selector("ws_delivery_p99")).why == "needs 1000 samples, has 999"


def test_no_loss_is_not_told_where_accounts_were_not_read() -> None:
    unread = facts(final_reads=(*a_record().final_reads, FinalRead("bob", 54.0, (), "timed out", None, "w1")))
    found = measure(unread, Selector("lost_writes"))
    assert (found.value, found.why) == (None, "1 of 2 accounts was not read back")


def test_the_defaults_of_client_metrics_are_the_migration() -> None:
    assert facts_of(a_record(a_plan(placebo=True))).in_phase("migrate")
    assert {METRICS[name].phase for name in ("p95", "stall", "throughput")} == {"migrate"}


def test_what_several_migrations_did_is_added_up() -> None:
    known = {"relfilenodes": {str(TABLE_OID): 5}}
    log = [
        replace(event, data={**event.data, **known}) if event.kind == Kind.MIGRATION_BEGIN else event
        for event in several_events()
    ]
    theirs = a_wait(30.0, 30.75, root=BILLING_PID)
    record = several(
        events=tuple(log), waits=(a_wait(27.0, 27.5),), elsewhere={BILLING: a_watch(waits=(theirs,))}
    )
    found = facts_of(record)
    assert value("rewrites", found) == 2.0
    assert value("migration_duration", found) == pytest.approx(2.0)
    assert value("blocked", found) == pytest.approx(1.25)
    assert value("lock_wait_max", found) == pytest.approx(0.75)


def test_waits_are_unknown_where_one_of_the_databases_was_not_watched() -> None:
    found = measure(facts_of(several(elsewhere={BILLING: Watch()})), Selector("blocked"))
    assert found.value is None
    assert found.why == "billing: nobody watched the database's waits"
