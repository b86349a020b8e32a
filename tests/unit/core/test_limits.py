"""What was not judged, or by less than there should be, is said."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.judge import judge
from harness.core.observation import BackendSeen, Observed
from harness.core.record import FinalRead, Probe
from harness.core.samples import Outcome
from tests.fix_record import a_plan, a_record, events, forged_tokens, points, watched
from tests.fix_samples import joined, steady
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode, several, several_plan
from tests.fix_trace import ZERO, trace_records


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"missing": ("3 blocks of samples from worker w1",)}, "3 blocks of samples"),
        ({"plan": a_plan(no_gates=("stall",))}, "Gate stall is switched off"),
        ({"plan": a_plan(gates=("stall: stall < 2s",))}, "replaces the built-in"),
        ({"events": events(end={"unreadable": 2})}, "not traced (2 lines of the trace are unreadable)"),
        ({"environment": {"cache": {"why_not": "there is none"}}}, "as there is none: its processes"),
        ({"final_reads": (FinalRead("ada", 54.0, (), "timed out"),)}, "1 account was not read back"),
        (
            {"table": joined(steady(), steady(rate=2, outcome=Outcome.ERROR, endpoint="GET /broken"))},
            "GET /broken was never answered ok before phase migrate",
        ),
        (
            {"events": events(stop="service died", stop_at=30.0)},
            "The run ended early, 30.0 s after its start: service died.",
        ),
        ({"plan": a_plan(undeclared=("Shopper.items has no delete declared.",))}, "no delete declared"),
        ({"incomplete_workers": ("w1",)}, "Operations of 1 account are missing"),
        ({"events": tuple(e for e in events() if e.kind != Kind.WORKER_FINAL)}, "Worker w1 was lost"),
    ],
)
def test_what_was_not_judged_is_said(changes: dict[str, Any], limit: str) -> None:
    limits = judge(a_record(**changes)).limits
    assert any(limit in text for text in limits), limits


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


def test_probes_that_say_nothing_and_those_not_tried_are_among_the_limits() -> None:
    probes = (
        Probe(30.0, "ada", "foreign_read", "refused"),
        Probe(30.0, "ada", "foreign_list", "error", "HTTP 503"),
        *forged_tokens(before="error"),
        Probe(30.0, "ada", "expired_token", "not_tried", "no token outlived its end"),
    )
    limits = judge(a_record(probes=probes, reads_checked=0)).limits
    assert "1 of 2 probes of records ended in an error, which says nothing." in limits
    assert "1 of 2 forged tokens say nothing: alg none: HTTP 200." in limits
    untried = "Isolation: no token outlived its end, so this was not tried: expired token."
    assert untried in limits, "nothing of it is taken for a secret"
    assert any(limit.startswith("No answer bore a canary") for limit in limits)


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
