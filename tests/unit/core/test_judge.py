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
from harness.core.record import FinalRead, Record
from harness.core.samples import Outcome
from harness.core.schema_state import IndexState
from harness.core.shape import Action, Shape
from harness.core.timeline import Window
from harness.core.verdict import GateResult, Verdict
from harness.store import dump_json
from tests.fix_ledger import operations_of
from tests.fix_record import a_deadlock, a_plan, a_record, a_schema, a_wait, events, healthy, points, watched
from tests.fix_samples import joined, samples, steady, without
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode, several
from tests.fix_trace import MIGRATION_PID, idle_trace, trace_records

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
    assert {limit.partition(" (")[0] for limit in verdict.limits} == {"Gate replica_lag"}
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


def test_one_refused_as_untraced_ends_with_the_code_of_a_guard() -> None:
    verdict = judge(
        a_record(events=events(trace=[], end={"status": "untraced", "message": "It was stopped"}))
    )
    assert (verdict.exit_code, gate(verdict, "migration").status) == (3, "fail")


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


def test_a_stall_names_the_migration_that_explains_it() -> None:
    waits = (a_wait(30.0, 30.98, root=BILLING_PID),)
    table = joined(without(steady(), 29.9, 31.0), samples([(29.9 + n / 100, 1.8) for n in range(110)]))
    record = several(elsewhere={BILLING: a_watch(waits=waits)}, table=table)
    assert "statement 1 of 0002 in billing (" in gate(judge(record), "stall").why
