"""The gate over how migrations ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.gates import check_gates
from tests.fix_gates import ASKED_FOR, SHOP_RAN, phases_of, result, results
from tests.fix_record import a_plan, a_record, events
from tests.fix_several import BILLING, SHOP, episode, several, several_plan


@pytest.mark.parametrize(
    ("end", "status", "why"),
    [
        ({"status": "ok"}, "pass", ""),
        ({"status": "ok", "reached": False}, "fail", "the database is at 0002, not at head"),
        ({"status": "failed"}, "fail", "ended as failed"),
        ({"status": "failed", "message": "42P07 in statement 3"}, "fail", "42P07 in statement 3"),
        ({"status": "deadline"}, "fail", "deadline"),
        ({"status": "wrong_database", "message": "oid 5, not 4"}, "fail", "oid 5"),
        ({"status": "stopped"}, "inconclusive", "while it was running"),
        ({"status": "nothing"}, "inconclusive", "--prepare"),
        ({"status": None}, "inconclusive", "not recorded"),
        ({"status": "ok", "unreadable": 1}, "pass", "not traced: 1 lines of the trace are unreadable"),
        ({"status": "ok", "reached": None}, "inconclusive", "the version table could not be read"),
    ],
)
def test_the_ending_of_a_migration(end: dict[str, Any], status: str, why: str) -> None:
    seen = result(a_record(events=events(end=end)), "migration")
    assert seen.status == status
    assert why in seen.why


def test_a_migration_that_never_began_is_undecided() -> None:
    log = tuple(event for event in events() if event.data.get("episode") is None)
    assert result(a_record(events=log), "migration").why == "it never began"


def test_a_rollback_is_judged_by_gates_of_its_own() -> None:
    seen = results(a_record(a_plan(downgrade="0001")))
    assert {r.status for r in seen if r.name not in ASKED_FOR} == {"pass"}
    for name in ("throughput", "latency", "stall", "migration"):
        assert phases_of(name, seen) == ["migrate", "rollback"]
    assert phases_of("errors", seen) == ["migrate", "recover", "rollback", "rollback_recover"]
    assert sum(r.name == "leaks" for r in seen) == 1


def test_a_rollback_that_never_began_is_undecided() -> None:
    record = a_record(a_plan(downgrade="0001"), events=events(a_plan()))
    back = [r for r in results(record) if "rollback" in r.expression and r.name not in ASKED_FOR]
    assert {r.status for r in back} == {"inconclusive"}


BILLING_FAILED = episode(
    2, BILLING, begin=28.2, start=30.0, status="failed", message="Its process ended with exit code 1."
)

SHOP_FAILED = episode(1, SHOP, begin=25.0, start=27.0, status="failed", message="It went wrong.")


def test_all_migrations_of_a_phase_pass_together() -> None:
    seen = {r.name: r for r in results(several(rollback=True)) if "rollback" in r.expression}
    own = ("migration", "lock_wait", "deadlocks", "catalog")
    assert [(name, seen[name].status) for name in own] == [(name, "pass") for name in own]
    assert seen["catalog"].samples == 2
    assert seen["migration"].expression == (
        "migration{phase=rollback} each ends ok, at its target, within 1800 s"
    )


def test_the_migration_that_failed_is_named() -> None:
    seen = result(several(SHOP_RAN, BILLING_FAILED), "migration")
    assert (seen.status, seen.why) == ("fail", "billing: Its process ended with exit code 1.")


def test_one_that_was_not_started_after_a_failure_is_named_too() -> None:
    seen = result(several(SHOP_FAILED), "migration")
    assert (seen.status, seen.why) == ("fail", "shop: It went wrong.; billing never began")


def test_one_that_the_run_did_not_come_to_is_no_pass() -> None:
    seen = result(several(SHOP_RAN), "migration")
    assert (seen.status, seen.why) == ("inconclusive", "billing never began")


def test_each_migration_has_its_own_deadline() -> None:
    record = several()
    shop, billing = record.plan.migrations
    plan = replace(record.plan, migrations=(shop, replace(billing, deadline_s=5.0)))
    seen = result(replace(record, plan=plan), "migration")
    assert seen.expression == "migration{phase=migrate} each ends ok, at its target, within its deadline"
    assert seen.observed == pytest.approx(2.9)
    assert seen.limit == 5.0  # the one that came nearest to it


def test_a_rollback_of_one_of_several_is_judged() -> None:
    plan = several_plan()
    back = replace(plan, migrations=(replace(plan.migrations[0], downgrade="0001"), plan.migrations[1]))
    names = [gate.name for gate in check_gates(back) if "phase=rollback" in gate.expression]
    assert {"migration", "lock_wait", "deadlocks", "catalog", "stall"} <= set(names)
