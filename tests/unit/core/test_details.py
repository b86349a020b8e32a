"""The facts of a run in verdict.json."""

from __future__ import annotations

from harness.core.details import details
from harness.core.facts import facts_of
from harness.core.samples import Outcome
from tests.fix_record import ENDPOINT, a_plan, a_record, events, joined, samples, steady


def test_the_migration_is_told_in_run_time() -> None:
    told = details(facts_of(a_record()))["migration"]
    assert (told["from"], told["to"], told["status"]) == ("0001", "0002", "ok")
    assert (told["first_statement_at"], told["duration_s"]) == (27.0, 1.0)
    (statement,) = told["statements"]
    assert (statement["n"], statement["revision"], statement["started_at"]) == (1, "0002", 27.0)
    assert statement["locks"] == [
        {"relation": "public.documents", "kind": "r", "mode": "AccessExclusiveLock", "hold_s": 1.0}
    ]
    assert statement["blocked"] == {"sessions": None, "session_seconds": None, "longest_s": None}


def test_a_database_without_revisions_is_at_base_and_an_unknown_one_nowhere() -> None:
    assert (
        details(facts_of(a_record(events=events(end={"revisions_after": []}))))["migration"]["to"] == "base"
    )
    assert (
        details(facts_of(a_record(events=events(end={"revisions_after": None}))))["migration"]["to"] is None
    )


def test_no_secret_is_told() -> None:
    log = events(end={"status": "failed", "message": "no postgresql://app:s3cr3t@db/x"})
    assert "s3cr3t" not in str(details(facts_of(a_record(events=log))))


def test_phases_come_in_their_order_with_the_statement_window_beside() -> None:
    names = [phase["name"] for phase in details(facts_of(a_record()))["phases"]]
    assert names[:6] == ["warmup", "baseline", "launch", "migrate", "migrate statements", "recover"]


def test_each_endpoint_has_a_row_per_judged_phase() -> None:
    table = joined(steady(), steady(rate=1, endpoint="POST /documents"))
    rows = details(facts_of(a_record(table=table)))["endpoints"]
    assert [(row["name"], row["phase"]) for row in rows] == [
        (name, phase)
        for name in (ENDPOINT, "POST /documents")
        for phase in ("baseline", "migrate", "recover")
    ]


def test_the_load_is_what_was_done_not_what_was_asked() -> None:
    table = joined(steady(), samples([(51.0, 2.0, Outcome.UNFINISHED)]))
    told = details(facts_of(a_record(a_plan(target_rate=120.0), table)))["load"]
    assert (told["target_rate"], told["achieved_rate"]) == (120.0, 100.0)
    assert (told["users"], told["workers"], told["workers_lost"]) == (30, 1, 0)
    assert (told["started"], told["finished"], told["unfinished"]) == (5200, 5200, 1)


def test_started_is_unknown_when_a_worker_never_said() -> None:
    log = tuple(event for event in events() if event.kind != "worker_final")
    assert details(facts_of(a_record(events=log)))["load"]["started"] is None


def test_a_ledger_nobody_read_back_knows_no_losses() -> None:
    told = details(facts_of(a_record(final_reads=())))["ledger"]
    assert (told["acknowledged"], told["lost"], told["unexpected"], told["accounts_unread"]) == (
        1,
        None,
        None,
        1,
    )
