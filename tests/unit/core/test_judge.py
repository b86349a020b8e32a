"""From a whole record to its verdict: complete, deterministic, valid, and honest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness
from harness.core.events import Event, Kind
from harness.core.facts import timeline_of
from harness.core.judge import judge
from harness.core.observation import BackendSeen, Observed
from harness.core.record import FinalRead, Probe, Record
from harness.core.samples import Outcome
from harness.core.schema_state import IndexState
from harness.core.shape import Action, Shape
from harness.core.timeline import Window
from harness.core.verdict import GateResult, Verdict
from harness.store import dump_json
from tests.fix_record import (
    MIGRATION_PID,
    ZERO,
    a_deadlock,
    a_plan,
    a_record,
    a_schema,
    a_wait,
    events,
    forged_tokens,
    healthy,
    idle_trace,
    joined,
    operations_of,
    points,
    samples,
    steady,
    trace_records,
    watched,
    without,
)
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode, several, several_plan

SCHEMA = json.loads(Path(harness.__file__).with_name("verdict.schema.json").read_text(encoding="utf-8"))


def bare(**changes: Any) -> Record:
    """A run of which only the events are known."""
    nothing: dict[str, Any] = {
        "table": samples([]),
        "operations": operations_of(),
        "totals": (),
        "final_reads": (),
        "reads_checked": 0,
        "probes": (),
        "health": (),
        "websocket": (),
        "environment": {},
    }
    return a_record(**{**nothing, **changes})


def nothing_to_migrate() -> Record:
    episode = {"episode": 1, "direction": "upgrade"}
    log = (
        Event(0.0, Kind.RUN_START, {"run_id": "r", "monotonic": 0.0}),
        Event(
            0.0, Kind.MIGRATION_BEGIN, {**episode, "target": "head", "revisions_before": ["2"], "attempt": 1}
        ),
        Event(
            0.0,
            Kind.MIGRATION_END,
            {**episode, "status": "nothing", "revisions_after": ["2"], "reached": True},
        ),
        Event(0.0, Kind.STOP, {"cause": "nothing to migrate"}),
        Event(0.0, Kind.RUN_END, {"complete": True}),
    )
    return bare(events=log)


RECORDS: dict[str, Record] = {
    "well": a_record(),
    "rollback": a_record(a_plan(downgrade="0001")),
    "placebo": a_record(a_plan(placebo=True)),
    "errors": a_record(table=steady(outcome=Outcome.ERROR)),
    "lost": a_record(final_reads=(FinalRead("ada", 54.0, (), None, None, "w1"),)),
    "no events": bare(events=()),
    "events only": bare(),
    "failed early": bare(
        events=events(trace=idle_trace(), end={"status": "failed", "revisions_after": None})
    ),
    "nothing": nothing_to_migrate(),
    "before there was an observer": a_record(
        observed=Observed(), schema_before=None, schema_after=None, waits=()
    ),
    "several": several(rollback=True, waits=(a_wait(27.2, 28.0),)),
    "several, one not started": several(episode(1, SHOP, begin=25.0, start=27.0, status="failed")),
    "waits": a_record(
        table=joined(steady(), samples([(27.5, 1.5)])),
        waits=(a_wait(27.5, 28.0), a_wait(27.0, 27.4, pid=MIGRATION_PID, root=700), a_wait(9.0, None)),
        database=(*points(40, deadlocks=[0], waiting=[1]), a_deadlock(27.5)),
        schema_after=a_schema(indexes={"i": IndexState("i", "documents", "CREATE INDEX i", valid=False)}),
        predictions={"tool": "squawk", "version": "1", "claims": [], "error": ""},
    ),
}


def gate(verdict: Verdict, name: str) -> GateResult:
    return next(result for result in verdict.gates if result.name == name)


@pytest.mark.parametrize("name", RECORDS)
def test_every_verdict_fits_the_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(json.loads(dump_json(judge(RECORDS[name]).as_json())))


@pytest.mark.parametrize("name", RECORDS)
def test_the_same_record_gives_the_same_bytes(name: str) -> None:
    assert dump_json(judge(RECORDS[name]).as_json()) == dump_json(judge(RECORDS[name]).as_json())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_run_in_which_all_went_well_passes() -> None:
    verdict = judge(a_record())
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("pass", 0, True)
    assert verdict.interrupted_in is None
    assert {limit.partition(" (")[0] for limit in verdict.limits} == {"Gate drills", "Gate replica_lag"}
    assert verdict.run_id == "20260101T000000Z-demo-abc123"


def test_no_absolute_path_is_told() -> None:
    text = dump_json(judge(a_record()).as_json())
    assert "/srv" not in text
    assert "/usr" not in text


def test_a_placebo_passes_with_a_window_of_its_own() -> None:
    record = a_record(a_plan(placebo=True))
    verdict = judge(record)
    assert (verdict.status, gate(verdict, "migration").status) == ("pass", "not_applicable")
    assert timeline_of(record).window("migrate") == Window("migrate", 27.0, 37.0)
    assert verdict.as_json()["migration"] is None
    assert any("placebo" in limit for limit in verdict.limits)


def test_a_rollback_has_facts_of_its_own() -> None:
    told = judge(a_record(a_plan(downgrade="0001"))).as_json()
    assert (told["migration"]["direction"], told["rollback"]["direction"]) == ("upgrade", "downgrade")
    assert told["rollback"]["first_statement_at"] == 54.0
    assert "rollback statements" in [phase["name"] for phase in told["phases"]]


def test_nothing_to_migrate_is_inconclusive_and_complete() -> None:
    verdict = judge(nothing_to_migrate())
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("inconclusive", 4, True)
    assert "--prepare" in gate(verdict, "migration").why


def test_a_service_that_never_answers_is_inconclusive() -> None:
    verdict = judge(a_record(table=steady(outcome=Outcome.ERROR)))
    assert (verdict.status, verdict.exit_code) == ("inconclusive", 4)
    assert any("100.0% of the baseline's requests failed" in limit for limit in verdict.limits)


# interrupted runs


@pytest.mark.parametrize(
    ("cause", "code"),
    [("SIGINT", 130), ("SIGTERM", 130), ("stopped in the web page", 130), ("service died", 4)],
)
def test_a_run_cut_short_does_not_pass(cause: str, code: int) -> None:
    verdict = judge(a_record(events=events(stop=cause)))
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("inconclusive", code, False)
    assert verdict.interrupted_in == "recover"


def test_a_red_gate_stays_red_in_a_run_cut_short() -> None:
    verdict = judge(a_record(table=without(steady(), 28.0, 31.0), events=events(stop="SIGINT")))
    assert (verdict.status, verdict.exit_code) == ("fail", 130)


def test_what_comes_after_the_interruption_is_not_held_against_the_service() -> None:
    phases = {
        "warmup": 0.0,
        "baseline": 5.0,
        "launch": 25.0,
        "migrate": 27.0,
        "drain": 30.0,
        "final_read": 31.0,
    }
    log = events(stop="SIGINT", phases=phases, stop_at=30.0)
    verdict = judge(a_record(table=steady(end=30.0), events=log))
    assert verdict.interrupted_in == "migrate"
    assert gate(verdict, "throughput").status == "pass"


def test_a_run_without_an_end_is_not_complete() -> None:
    log = tuple(event for event in events() if event.kind not in (Kind.STOP, Kind.RUN_END))
    verdict = judge(a_record(events=log))
    assert (verdict.complete, verdict.status, verdict.exit_code) == (False, "inconclusive", 4)


def test_a_migration_that_went_elsewhere_is_refused() -> None:
    verdict = judge(a_record(events=events(trace=[], end={"status": "wrong_database"})))
    assert (verdict.status, verdict.exit_code) == ("fail", 3)


# the generator


def test_an_unfit_generator_takes_the_pass_of_client_gates_only() -> None:
    verdict = judge(a_record(health=healthy(late_ms=80.0)))
    statuses = {result.name: result.status for result in verdict.gates}
    timed = ("errors", "throughput", "latency", "stall", "recovery", "ws_delivery", "ws_missed", "ws_status")
    for name in timed:
        assert statuses[name] == "inconclusive"
    recorded = (
        "lost_writes",
        "unexpected_writes",
        "stale_reads",
        "stale_cache",
        "totals",
        "leaks",
        "forged_tokens",
    )
    for name in ("migration", *recorded):
        assert statuses[name] == "pass"
    assert "the generator was unfit" in gate(verdict, "stall").why


def test_a_red_ledger_and_migration_stay_red_with_an_unfit_generator() -> None:
    lost = (FinalRead("ada", 54.0, (), None, None, "w1"),)
    log = events(end={"status": "failed"})
    verdict = judge(a_record(health=healthy(late_ms=80.0), final_reads=lost, events=log))
    assert gate(verdict, "lost_writes").status == "fail"
    assert gate(verdict, "migration").status == "fail"


@pytest.mark.parametrize(("latency", "status"), [(1.05, "inconclusive"), (8.0, "fail")])
def test_a_stall_stays_red_only_where_lateness_cannot_explain_it(latency: float, status: str) -> None:
    table = joined(steady(), samples([(28.0, latency)]))
    assert gate(judge(a_record(table=table, health=healthy(late_ms=80.0))), "stall").status == status


def test_a_gate_of_ones_own_on_the_hub_puts_nothing_in_doubt() -> None:
    verdict = judge(a_record(a_plan(gates=("calm: hub_late_p99 < 0.5ms",))))
    assert gate(verdict, "calm").status == "fail"
    assert gate(verdict, "stall").status == "pass"


# limits


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"missing": ("3 blocks of samples from worker w1",)}, "3 blocks of samples"),
        ({"plan": a_plan(no_gates=("stall",))}, "Gate stall is switched off"),
        ({"plan": a_plan(gates=("stall: stall < 2s",))}, "replaces the built-in"),
        ({"events": events(end={"unreadable": 2})}, "not traced (2 lines of the trace are unreadable)"),
        ({"environment": {"cache": {"why_not": "there is none"}}}, "as there is none: its processes"),
        ({"final_reads": (FinalRead("ada", 54.0, (), "timed out"),)}, "1 accounts were not read back"),
        (
            {"table": joined(steady(), steady(rate=2, outcome=Outcome.ERROR, endpoint="GET /broken"))},
            "GET /broken was never answered ok before phase migrate",
        ),
        (
            {"events": events(stop="service died", stop_at=30.0)},
            "The run ended early, 30.0 s after its start: service died.",
        ),
        ({"plan": a_plan(undeclared=("Shopper.items has no delete declared.",))}, "no delete declared"),
        ({"incomplete_workers": ("w1",)}, "Operations of 1 accounts are missing"),
        ({"events": tuple(e for e in events() if e.kind != Kind.WORKER_FINAL)}, "Workers w1 were lost"),
    ],
)
def test_what_was_not_judged_is_said(changes: dict[str, Any], limit: str) -> None:
    limits = judge(a_record(**changes)).limits
    assert any(limit in text for text in limits), limits


def test_an_untraced_migration_is_judged_over_its_whole_process() -> None:
    record = a_record(events=events(end={"unreadable": 1}))
    assert timeline_of(record).window("migrate") == Window("migrate", 25.0, 35.0)


def test_retries_are_one_migration_from_its_first_statement() -> None:
    again = Event(
        26.0, Kind.MIGRATION_BEGIN, {"episode": 1, "direction": "upgrade", "attempt": 2, "command": ["again"]}
    )
    told = judge(a_record(events=(*events(), again))).as_json()["migration"]
    assert (told["attempts"], told["begin_at"], told["command"]) == (2, 25.0, ["again"])
    assert told["from"] == "0001"


def test_what_an_untraced_migration_leaves_unknown_is_said() -> None:
    untold = [
        Event(event.at, event.kind, {**event.data, "target": None})
        if event.kind == Kind.MIGRATION_BEGIN
        else event
        for event in events(trace=[])
    ]
    seen = BackendSeen(26.0, 700, "time")
    record = a_record(events=tuple(untold), database=(*points(), seen), observed=watched(backends=(700,)))
    said = " ".join(judge(record).limits)
    assert "was not traced" in said
    assert "Waits are charged to it as a whole" in said
    assert "Session 700 is taken for the upgrade's because it began while that ran" in said
    assert "known to its command alone" in said


@pytest.mark.parametrize(
    ("by", "status", "why"),
    [
        ("time", "inconclusive", "none of the migration's sessions is known for sure"),
        ("name", "pass", ""),
        ("port", "pass", ""),
    ],
)
def test_no_wait_behind_a_session_that_is_only_guessed_proves_nothing(by: str, status: str, why: str) -> None:
    """The migration's own session may be another one, and nobody looked who waited for that."""
    seen = BackendSeen(26.0, 700, by)
    record = a_record(
        events=events(trace=[]), database=(*points(), seen), observed=watched(backends=(700,)), waits=()
    )
    waits = gate(judge(record), "lock_wait")
    assert (waits.status, waits.why) == (status, why)


def test_a_migration_of_several_databases_is_watched_in_one() -> None:
    def said(*databases: str) -> str:
        records = trace_records()
        for run, database in enumerate(databases, 1):
            one = {"process": 77, "mono": ZERO + 26.0, "backend": 500 + run}
            timeouts = {"lock_timeout_s": 0.0, "statement_timeout_s": 0.0}
            records += [
                {"kind": "conn", **one, **timeouts, "database": database, "database_oid": run},
                {"kind": "context", **one, "run": run, "version_table": "v", "version_table_schema": None},
                {"kind": "begin", **one, "k": 90 + run, "run": run, "step": "version", "revision": None,
                 "sql": "SELECT 1", "prepare": False, "status": "idle"},
            ]  # fmt: skip
        return " ".join(judge(a_record(events=events(trace=records))).limits)

    assert "The upgrade went to 2 databases (archive, shop)" in said("shop", "archive")
    assert "databases (" not in said("shop")


def test_one_refused_as_untraced_ends_with_the_code_of_a_guard() -> None:
    verdict = judge(
        a_record(events=events(trace=[], end={"status": "untraced", "message": "It was stopped"}))
    )
    assert (verdict.exit_code, gate(verdict, "migration").status) == (3, "fail")


def test_probes_that_say_nothing_and_those_not_tried_are_among_the_limits() -> None:
    probes = (
        Probe(30.0, "ada", "foreign_read", "refused"),
        Probe(30.0, "ada", "foreign_list", "error", "HTTP 503"),
        *forged_tokens(before="error"),
        Probe(30.0, "ada", "expired_token", "not_tried", "no token outlived its end"),
    )
    limits = judge(a_record(probes=probes, reads_checked=0)).limits
    assert "1 of 2 probes of records ended in an error: they say nothing." in limits
    assert "1 of 2 forged tokens say nothing: alg none: HTTP 200." in limits
    untried = "Isolation: no token outlived its end, so this was not tried: expired token."
    assert untried in limits, "nothing of it is taken for a secret"
    assert any(limit.startswith("No answer bore a canary") for limit in limits)


def test_missing_samples_take_the_pass_of_client_gates_only() -> None:
    verdict = judge(a_record(incomplete_samples=("w1",)))
    passed = [result.name for result in verdict.gates if result.status == "pass"]
    assert passed == [
        "migration",
        "lock_wait",
        "deadlocks",
        "catalog",
        "lost_writes",
        "unexpected_writes",
        "duplicates",
        "stale_reads",
        "stale_cache",
        "totals",
        "leaks",
        "forged_tokens",
        "continuity",
        "ws_delivery",
        "ws_missed",
        "ws_status",
        "generator",
    ]
    assert (verdict.status, gate(verdict, "stall").why) == (
        "inconclusive",
        "it passed, but samples of w1 are missing",
    )


def test_a_red_gate_stays_red_where_samples_are_missing() -> None:
    record = a_record(table=without(steady(), 28.0, 31.0), incomplete_samples=("w1",))
    assert gate(judge(record), "throughput").status == "fail"


URL = "postgresql://app:s3cr3t@db/shop"


def test_neither_reasons_nor_limits_hold_credentials_or_paths() -> None:
    failed = {"status": "failed", "message": f"/srv/shop/env.py: cannot reach {URL}"}
    verdict = judge(a_record(events=events(end=failed)))
    assert gate(verdict, "migration").why == "…/env.py: cannot reach postgresql://app:***@db/shop"

    broken = {"kind": "hookfail", "mono": 1027.0, "where": "/srv/shop/env.py", "error": URL}
    blind = {"kind": "blind", "mono": 1027.0, "backend": 5, "reason": f"/srv/shop/x: {URL}"}
    limits = judge(a_record(events=events(trace=[*trace_records(), broken, blind]))).limits
    assert any("…/env.py: postgresql://app:***@db/shop" in limit for limit in limits)
    assert any("…/x: postgresql://app:***@db/shop" in limit for limit in limits)


def test_the_name_of_an_endpoint_is_no_path() -> None:
    failing = steady(28.0, 29.0, rate=6, outcome=Outcome.ERROR, endpoint="POST /documents/[id]")
    verdict = judge(a_record(table=joined(steady(), failing)))
    assert gate(verdict, "errors").why.startswith("POST /documents/[id]: 6 of 6")


def test_what_the_trace_told_holds_no_credential() -> None:
    trace = trace_records()
    trace[3]["doc"] = f"move {URL}"
    trace[4]["sql"] = "ALTER ROLE app PASSWORD 's3cr3t'"
    trace[5]["error"] = f"/srv/shop/x: {URL}"
    told = judge(a_record(events=events(trace=trace))).as_json()["migration"]
    assert told["revisions"][0]["doc"] == "move postgresql://app:***@db/shop"
    assert told["statements"][0]["sql"] == "ALTER ROLE app PASSWORD ***"
    assert told["statements"][0]["error"] == "…/x: postgresql://app:***@db/shop"


def test_a_password_that_is_an_argument_of_its_own_is_not_told() -> None:
    log = tuple(
        Event(e.at, e.kind, {**e.data, "command": ["up", "--password", "s3cr3t"]})
        if e.kind == Kind.MIGRATION_BEGIN
        else e
        for e in events()
    )
    assert judge(a_record(events=log)).as_json()["migration"]["command"] == ["up", "--password", "***"]


# what the database says of a red stall or latency


def stalled(**changes: Any) -> str:
    """Why the stall is red in which one request took 1.5 s."""
    table = joined(steady(), samples([(27.0, 1.5)]))
    return gate(judge(a_record(table=table, **changes)), "stall").why


def test_a_red_stall_names_the_statement_that_made_sessions_wait() -> None:
    sql = "ALTER TABLE documents ALTER COLUMN id TYPE bigint"
    why = stalled(waits=(a_wait(27.0, 28.0),))
    assert why == f"statement 1 of 0002 ({sql}) made a session wait for 1.00 s"


def test_a_stall_that_no_wait_explains_is_not_blamed_on_the_migration() -> None:
    assert stalled() == "no wait in the database explains it"
    assert stalled(waits=(a_wait(27.0, 27.25),)) == (
        "no wait in the database explains it (the longest was 250 ms)"
    )
    assert "not known: nobody watched" in stalled(observed=Observed())


def test_a_placebos_stall_is_nobodys() -> None:
    assert stalled(plan=a_plan(placebo=True)) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"observed": Observed()}, "Nobody watched the database"),
        ({"observed": watched(why_blind="the role may not: GRANT pg_monitor TO shop;")}, "GRANT pg_monitor"),
        ({"observed": watched(ended_at=None)}, "The observer of the database died"),
        ({"observed": watched(late_max_s=2.0)}, "came up to 2.00 s late (p99 4 ms)"),
        (
            {"observed": watched(log_read=False, why_no_log="it is on another machine")},
            "it is on another machine",
        ),
        ({"observed": watched(gaps=((30.0, 31.5),))}, "from 30.0 s to 31.5 s"),
        ({"observed": watched(pooler="pgbouncer")}, "pgbouncer"),
    ],
)
def test_how_badly_the_database_was_watched_is_a_limit(changes: dict[str, Any], said: str) -> None:
    assert any(said in limit for limit in judge(a_record(**changes)).limits)


def test_a_migration_through_a_pooler_is_traced_and_says_so() -> None:
    pooled = [
        {**one, "server_pid": MIGRATION_PID + 1} if one["kind"] == "conn" else one for one in trace_records()
    ]
    record = a_record(observed=watched(backends=(501,)), events=events(trace=pooled))
    verdict = judge(record)
    assert verdict.as_json()["migration"]["traced"]
    assert any(f"pooler, by PostgreSQL's processes {MIGRATION_PID + 1}," in limit for limit in verdict.limits)


def test_a_session_of_the_migration_that_did_not_announce_itself_is_untraced() -> None:
    verdict = judge(a_record(observed=watched(backends=(MIGRATION_PID, 501))))
    assert not verdict.as_json()["migration"]["traced"]
    assert any("did not announce themselves: 501" in limit for limit in verdict.limits)


# advice


def as_type_change(_sql: str) -> Shape:
    return Shape((Action("alter_type", "documents", columns=("id",), type="bigint"),))


def test_advice_is_on_what_was_parsed_and_measured() -> None:
    told = judge(a_record(waits=(a_wait(27.0, 28.0),)), as_type_change).as_json()
    assert {found["statement"] for found in told["advice"]} == {1}
    assert told["blame"][0]["advice"]


def test_an_ignored_rule_stays_visible_with_its_reason() -> None:
    record = a_record(waits=(a_wait(27.0, 28.0),))
    rule = judge(record, as_type_change).as_json()["advice"][0]["rule"]
    plan = a_plan(ignore=(f"{rule}: it is a small table",))
    told = judge(a_record(plan, waits=(a_wait(27.0, 28.0),)), as_type_change).as_json()["advice"]
    assert ("ignored", "it is a small table") in [(found["severity"], found["reason"]) for found in told]


def test_a_rule_that_fails_costs_the_advice_and_not_the_verdict() -> None:
    def failing(_sql: str) -> Shape:
        raise RecursionError("too deep")

    verdict = judge(a_record(), failing)
    assert (verdict.status, verdict.as_json()["advice"]) == ("pass", [])
    assert "No advice on the upgrade: it could not be computed: RecursionError: too deep." in verdict.limits


def test_migrations_that_were_not_started_are_told_with_the_one_before_them() -> None:
    failed = episode(1, SHOP, begin=25.0, start=27.0, status="failed")
    verdict = judge(several(failed))
    assert verdict.status == "fail"
    assert "The upgrade of billing was not started: shop, before it, did not end ok." in verdict.limits


def test_migrations_that_a_stopped_run_did_not_come_to_are_laid_to_nobody() -> None:
    verdict = judge(several(episode(1, SHOP, begin=25.0, start=27.0)))
    assert "The upgrade of billing was not started." in verdict.limits
    assert verdict.status == "inconclusive"


def test_a_placebo_of_several_did_not_come_to_none_of_them() -> None:
    verdict = judge(a_record(several_plan(placebo=True)))
    assert not [limit for limit in verdict.limits if "not started" in limit]


def test_what_is_not_known_of_one_of_several_is_told_by_its_name() -> None:
    watch = a_watch(observed=watched(backends=(BILLING_PID,), log_read=False))
    untraced = episode(2, BILLING, begin=28.2, start=30.0, trace=[])
    verdict = judge(several(episode(1, SHOP, begin=25.0, start=27.0), untraced, elsewhere={BILLING: watch}))
    assert any(limit.startswith("The upgrade of billing was not traced") for limit in verdict.limits)
    assert any(limit.startswith("The log of the server of billing was not read") for limit in verdict.limits)


def test_a_stall_names_the_migration_that_explains_it() -> None:
    waits = (a_wait(30.0, 30.98, root=BILLING_PID),)
    table = joined(without(steady(), 29.9, 31.0), samples([(29.9 + n / 100, 1.8) for n in range(110)]))
    record = several(elsewhere={BILLING: a_watch(waits=waits)}, table=table)
    assert "statement 1 of 0002 in billing (" in gate(judge(record), "stall").why
