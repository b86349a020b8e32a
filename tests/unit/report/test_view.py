"""The view: the verdict in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.facts import timeline_of
from harness.core.judge import judge
from harness.core.plan import Plan
from harness.core.record import Record
from harness.core.samples import SampleTable
from harness.core.series import per_second
from harness.report.view import View, build
from tests.fix_several import BILLING, SHOP, episode, several
from tests.fix_trace import statement_records, trace_of
from tests.unit.report import sample


def red_with(plan: Plan | None = None, **changes: Any) -> View:
    verdict = sample.red_verdict() | changes
    plan = plan or Plan(upgrade="unsafe@head")
    return build(verdict, sample.red_series(), sample.red_timeline(), plan, {})


def test_a_red_run_names_gate_numbers_and_the_blamed_statement() -> None:
    head = sample.red().headline
    assert (head.status, head.mark, head.word, head.exit_code) == ("fail", "✘", "FAIL", "1")
    assert head.sentence.startswith("throughput is 31.2/s, the limit is 75.5/s. Also red: latency, stall")
    assert "statement 1 of revision c41f0a7be2d9: ALTER TABLE documents ADD COLUMN" in head.sentence


def test_a_generator_that_was_unfit_goes_before_what_its_users_saw() -> None:
    stall = {"name": "stall", "expression": "stall <= 1s", "status": "fail", "observed": 2.0, "unit": "s"}
    unfit = {"name": "generator", "expression": "hub_late_p99 <= 50ms", "status": "fail", "observed": 0.1}
    gates = [stall, unfit | {"unit": "s", "why": "its own ticks came late: p99 100 ms"}]
    sentence = red_with(gates=gates, blame=[]).headline.sentence
    assert sentence.startswith("generator: its own ticks came late: p99 100 ms. Also red: stall.")


def test_a_migration_that_failed_in_a_second_is_not_told_by_its_deadline() -> None:
    expression = "migration{phase=migrate} ends ok, at its target, within 1800 s"
    ended = "Its process ended with exit code 1."
    gate = {"name": "migration", "status": "fail", "observed": 1.5, "limit": 1800.0, "unit": "s"}
    sentence = red_with(gates=[gate | {"expression": expression, "why": ended}], blame=[]).headline.sentence
    assert sentence.startswith("migration: Its process ended with exit code 1. ")


def test_a_gate_that_is_red_in_two_phases_is_told_apart() -> None:
    slow = {"name": "stall", "status": "fail", "observed": 2.0, "limit": 1.0, "unit": "s"}
    gates = [slow | {"expression": f"stall{{phase={phase}}} <= 1s"} for phase in ("migrate", "rollback")]
    assert "Also red: stall in rollback." in red_with(gates=gates).headline.sentence


def test_a_red_run_without_blame_names_the_longest_statement() -> None:
    sentence = red_with(blame=[]).headline.sentence
    assert "longest statement ran 4.43 s, in revision d52e1b8cf3ea: UPDATE documents" in sentence


@pytest.mark.parametrize(("also_slow", "named"), [(False, False), (True, True)])
def test_what_was_only_counted_has_no_longest_statement_for_its_cause(also_slow: bool, named: bool) -> None:
    lost = {"name": "lost_writes", "expression": "lost_writes == 0", "status": "fail", "observed": 3}
    slow = {"name": "stall", "expression": "stall <= 1s", "status": "fail", "observed": 2.0, "unit": "s"}
    gates = [lost | {"limit": 0, "unit": "count"}, *([slow] if also_slow else [])]
    sentence = red_with(blame=[], gates=gates).headline.sentence
    assert sentence.startswith("lost_writes is 3, the limit is 0.")
    assert ("longest statement" in sentence) is named


def test_a_failed_migration_names_its_sqlstate_and_statement() -> None:
    verdict = sample.red_verdict()
    verdict["migration"]["status"] = "failed"
    del verdict["migration"]["statements"][2:]
    verdict["migration"]["statements"][1].update(sqlstate="22003", error="integer out of range")
    sentence = red_with(migration=verdict["migration"], blame=[]).headline.sentence
    assert "failed in revision c41f0a7be2d9 with SQLSTATE 22003: integer out of range: ALTER" in sentence


def test_an_error_that_the_migration_got_over_is_no_culprit() -> None:
    verdict = sample.red_verdict()
    verdict["migration"]["status"] = "failed"
    verdict["migration"]["statements"][1].update(sqlstate="55P03", error="lock timeout")
    sentence = red_with(migration=verdict["migration"], blame=[]).headline.sentence
    assert "55P03" not in sentence
    assert "longest statement ran 4.43 s" in sentence


def test_one_slow_statement_outranks_many_fast_ones() -> None:
    verdict = sample.red_verdict()
    verdict["migration"]["statements"][4].update(executions=10_000, duration_s=20.0)
    view = red_with(migration=verdict["migration"], blame=[])
    assert "longest statement ran 4.43 s" in view.headline.sentence
    assert "4.43 s" in view.slowest(1)[0].longest


def test_a_green_run_says_what_happened_to_the_schema() -> None:
    head = sample.green().headline
    assert head.sentence == "All 12 gates passed while the schema went from v1 to c3d4e5f6a7b8 in 7.52 s."


def test_an_undecided_run_names_the_gate_and_why() -> None:
    gate = sample.red_verdict()["gates"][4]
    head = red_with(status="inconclusive", exit_code=4, gates=[gate]).headline
    assert (head.word, head.mark) == ("INCONCLUSIVE", "?")
    assert head.sentence == "recovery could not be judged: 143 samples, a p95 needs 200."


def test_an_interrupted_run_says_so() -> None:
    sentence = red_with(complete=False, interrupted_in="migrate", blame=[]).headline.sentence
    assert sentence.endswith(". The run was interrupted in migrate; only what was finished is judged.")


def test_red_gates_come_first_and_keep_their_order() -> None:
    view = sample.red()
    assert [gate.name for gate in view.gates if gate.status == "fail"] == [
        "throughput",
        "latency",
        "stall",
        "ws_delivery",
    ]
    assert [gate.status for gate in view.gates][:5] == ["fail"] * 4 + ["inconclusive"]
    assert view.gates[-1].status == "not_applicable"


def test_figures_set_the_migration_beside_the_baseline() -> None:
    figures = {figure.label: (figure.before, figure.during) for figure in sample.red().figures}
    assert figures["p95 latency"] == ("18.3 ms", "8.94 s")
    assert figures["Throughput"] == ("79.5/s", "31.2/s")


def test_what_was_not_measured_is_a_dash() -> None:
    probe = next(phase for phase in sample.red().phases if phase.name == "probe")
    assert (probe.requests, probe.rate, probe.errors, probe.p95, probe.stall) == ("0", "–", "–", "–", "–")


def test_a_rollback_has_a_part_of_its_own() -> None:
    back = sample.green_verdict()["migration"] | {"direction": "downgrade", "target": "v1"}
    view = red_with(rollback=back)
    assert [migration.title for migration in view.migrations] == ["Migration", "Rollback"]
    assert len(view.statements) == sum(len(m.statements) for m in view.migrations)


def test_the_slowest_statement_comes_first() -> None:
    assert [s.longest for s in sample.red().slowest(3)] == ["4.43 s", "3.12 s", "911 ms"]


def test_settings_are_flat_sorted_and_without_secrets() -> None:
    environment = {"service": {"url": "postgresql://app:hunter2@127.0.0.1/shop"}, "a": [1, 2], "b": None}
    verdict = sample.green_verdict()
    view = build(verdict, sample.green_series(), sample.green_timeline(), Plan(), environment)
    assert [(fact.title, fact.text) for fact in view.environment] == [
        ("a", "1, 2"),
        ("b", "–"),
        ("service.url", "postgresql://app:***@127.0.0.1/shop"),
    ]


def test_a_placebo_has_no_migration() -> None:
    view = red_with(Plan(placebo=True), migration=None, blame=[])
    assert (view.migrations, view.statements) == ((), ())
    assert view.title == "Placebo: no migration, the reference service under load"


@pytest.mark.parametrize(
    ("plan", "title"),
    [
        (Plan(upgrade="safe@head", deploy_when="before"), "Upgrade to safe@head and a deploy before it"),
        (Plan(placebo=True, deploy_when="after"), "Placebo: no migration, but a deploy"),
    ],
)
def test_a_deploy_is_in_the_title(plan: Plan, title: str) -> None:
    assert red_with(plan).title == f"{title}, the reference service under load"


def test_an_almost_empty_verdict_still_makes_a_view() -> None:
    view = build({"status": "inconclusive"}, sample.red_series(), sample.red_timeline(), Plan(), {})
    assert view.headline.sentence == "Nothing could be judged."
    assert [fact.text for fact in view.facts] == ["Not measured."] * 6


def test_old_run_directories_without_the_newer_keys_make_a_view() -> None:
    old = sample.green_verdict()
    for statement in old["migration"]["statements"]:
        for key in ("rewrites", "scans", "blocks", "blocked", "provenance", "locks"):
            del statement[key]
    keys = ("advice", "errors", "catalog", "claims", "waits", "waits_timeline", "database", "blame")
    for verdict in (old, old | dict.fromkeys(keys)):
        view = sample.view_of({key: value for key, value in verdict.items() if key != "blame" or value})
        assert (view.blame, view.advice, view.schema, view.errors, view.claims) == ((), (), (), (), ())
        assert view.chart.waits.rows == 0


def test_what_the_judge_says_of_a_record_can_be_viewed() -> None:
    events = [
        Event(0.0, Kind.RUN_START, {"run_id": "r", "monotonic": 100.0}),
        Event(0.0, Kind.PHASE, {"name": "warmup"}),
        Event(1.0, Kind.PHASE, {"name": "baseline"}),
        Event(3.0, Kind.STOP, {"cause": "SIGINT"}),
        Event(4.0, Kind.RUN_END, {"complete": False}),
    ]
    record = Record(Plan(), {"python": "3.11"}, tuple(events), SampleTable.join({}, []))
    timeline = timeline_of(record)
    view = build(judge(record).as_json(), per_second(record, timeline), timeline, record.plan, {})
    assert (view.run_id, view.headline.word, view.headline.exit_code) == ("r", "INCONCLUSIVE", "130")
    assert "interrupted in baseline" in view.headline.sentence
    assert {phase.name for phase in view.phases} == {"warmup", "baseline"}


def test_several_migrations_are_named_in_title_sentence_and_sections() -> None:
    view = sample.several(rollback=True)
    head = "Upgrade shop to 0002, then billing to 0002, and back"
    assert view.title == f"{head}, the reference service under load"
    titles = ["Migration of shop", "Migration of billing", "Rollback of billing", "Rollback of shop"]
    assert [migration.title for migration in view.migrations] == titles
    assert [statement.place for statement in view.statements] == [
        *("shop: 0002", "billing: 0002", "billing: 0002", "shop: 0002")
    ]
    assert [fact.text for fact in view.facts if fact.title == "Migration"] == [
        "shop: 0001 → 0002 in 1 s, reached its target.",
        "billing: 0001 → 0002 in 2.5 s, reached its target.",
    ]


def test_the_statement_that_is_blamed_is_that_of_its_own_migration() -> None:
    view = sample.several()
    blamed = "statement 1 of revision 0002 in billing: ALTER TABLE documents ADD COLUMN flag boolean"
    assert view.culprit is not None
    assert view.culprit.statement == blamed
    assert f"Blamed on {blamed}" in view.headline.sentence
    assert {advice.sentence.partition(":")[0] for advice in view.advice} >= {"statement 1 in billing"}


def test_a_run_of_several_that_passed_says_where_each_led() -> None:
    sentence = sample.view_of_record(several()).headline.sentence
    assert "while the schema of shop went from 0001 to 0002 in 1 s and the schema of billing" in sentence


def test_one_of_several_that_failed_is_named_with_its_statement() -> None:
    broken = statement_records("DROP TABLE nowhere", 30.0, 30.1, k=1, sqlstate="42P01")
    trace = trace_of(broken, ok=False, end=30.2)
    failed = episode(2, BILLING, begin=28.2, start=30.0, status="failed", trace=trace)
    view = sample.view_of_record(several(episode(1, SHOP, begin=25.0, start=27.0), failed))
    assert "failed in revision 0002 in billing with SQLSTATE 42P01" in view.headline.sentence


def test_a_plan_of_several_is_told_migration_by_migration() -> None:
    told = {fact.title: fact.text for fact in sample.several().plan}
    assert told["migrations.billing.database_url"] == "postgresql://a@127.0.0.1/billing"
    assert told["migrations.shop.upgrade"] == "0002"
