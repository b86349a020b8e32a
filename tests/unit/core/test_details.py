"""The facts of a run in verdict.json."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.advice import Advice
from harness.core.details import details
from harness.core.facts import facts_of
from harness.core.observation import Held, Observed
from harness.core.record import Part, Record
from harness.core.samples import Outcome
from harness.core.schema_state import IndexState
from tests.fix_record import a_plan, a_record, a_schema, a_wait, events, healthy, points, watched
from tests.fix_samples import ENDPOINT, joined, samples, steady
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, several
from tests.fix_trace import MIGRATION_PID, statement_records, trace_of


def told_of(record: Record) -> dict[str, Any]:
    return details(facts_of(record), {})


def test_the_migration_is_told_in_run_time() -> None:
    told = told_of(a_record())["migration"]
    assert (told["from"], told["to"], told["status"]) == ("0001", "0002", "ok")
    assert (told["first_statement_at"], told["duration_s"]) == (27.0, 1.0)
    (statement,) = told["statements"]
    assert (statement["n"], statement["revision"], statement["started_at"]) == (1, "0002", 27.0)
    assert statement["locks"] == [
        {
            "relation": "public.documents",
            "kind": "r",
            "of": None,
            "mode": "AccessExclusiveLock",
            "hold_s": 1.0,
        }
    ]
    everything = ["SELECT", "INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE"]
    assert statement["blocks"] == [{"relation": "public.documents", "operations": everything}]
    assert statement["blocked"] == {"sessions": 0, "session_seconds": 0, "longest_s": 0}
    assert statement["provenance"] == "exact"


def test_whom_a_statement_blocked_is_unknown_where_nobody_watched() -> None:
    record = a_record(observed=Observed(), schema_before=None, schema_after=None)
    told = told_of(record)
    (statement,) = told["migration"]["statements"]
    assert statement["blocked"] == {"sessions": None, "session_seconds": None, "longest_s": None}
    assert (told["waits"]["count"], told["waits"]["by_migration"]["longest_s"]) == (None, None)
    assert told["catalog"] == {"findings": [], "read": False, "why": "it was not read"}


@pytest.mark.parametrize(
    ("changes", "provenance"),
    [
        ({"sqlstate": "42701"}, "unknown"),  # it failed: nobody could look
        ({"autocommit": True}, "unknown"),
        ({"commit_at": 28.0}, "exact"),
    ],
)
def test_how_the_locks_are_known(changes: dict[str, Any], provenance: str) -> None:
    trace = trace_of(statement_records("CREATE INDEX CONCURRENTLY i ON t (a)", 27.0, 28.0, k=1, **changes))
    (statement,) = told_of(a_record(events=events(trace=trace)))["migration"]["statements"]
    assert statement["provenance"] == provenance


def test_locks_outside_a_transaction_are_those_the_observer_saw() -> None:
    trace = trace_of(
        statement_records("CREATE INDEX CONCURRENTLY i ON t (a)", 27.0, 30.0, k=1, autocommit=True)
    )
    held = (
        Held(27.5, MIGRATION_PID, (("t", "r", "ShareUpdateExclusiveLock", True),)),
        Held(29.0, MIGRATION_PID, (("i", "i", "RowExclusiveLock", True), ("t", "r", "ShareLock", False))),
        Held(29.5, 777, (("other", "r", "ShareLock", True),)),
    )
    record = a_record(events=events(trace=trace, ended_at=30.1), database=held)
    (statement,) = told_of(record)["migration"]["statements"]
    assert statement["provenance"] == "observed"
    assert [(lock["relation"], lock["mode"], lock["hold_s"]) for lock in statement["locks"]] == [
        ("t", "ShareUpdateExclusiveLock", 1.5),
        ("i", "RowExclusiveLock", 1.0),
    ]


def test_blame_and_waits_are_told() -> None:
    waits = (
        a_wait(27.25, 28.0, query_id=-7),
        a_wait(27.0, 27.5, pid=MIGRATION_PID, root=700),
        a_wait(10.0, 10.25, pid=601, root=700),
    )
    told = told_of(a_record(waits=waits))
    (blamed,) = told["blame"]
    assert (blamed["statement"], blamed["phase"], blamed["blocked_session_seconds"]) == (1, "migrate", 0.75)
    assert blamed["queries"][0]["query_id"] == "-7"  # JSON's numbers do not hold 64 bits everywhere
    assert told["migration"]["statements"][0]["blocked"]["longest_s"] == 0.75
    assert (told["waits"]["count"], told["waits"]["session_seconds"]) == (3, 1.5)
    assert told["waits"]["by_migration"]["count"] == told["waits"]["of_migration"]["count"] == 1
    assert [
        (line["pid"], line["statement"], line["phase"], line["own"]) for line in told["waits_timeline"]
    ] == [
        (601, None, "baseline", False),
        (MIGRATION_PID, 1, "migrate", True),
        (600, 1, "migrate", False),
    ]


def test_the_timeline_has_the_longest_waits_only() -> None:
    waits = tuple(a_wait(27.0 + n / 1000, 28.0, pid=600 + n) for n in range(600))
    lines = told_of(a_record(waits=waits))["waits_timeline"]
    assert [line["pid"] for line in lines] == list(range(600, 1100))


def test_the_worst_advice_on_a_statement_is_its_blames() -> None:
    note, finding = (an_advice(severity=word, safe=f"the {word}'s") for word in ("note", "finding"))
    record = a_record(waits=(a_wait(27.0, 28.0),))
    told = details(facts_of(record), {1: (note, finding)})
    assert told["blame"][0]["advice"] == "the finding's"
    assert told["migration"]["statements"][0]["advice"] == ["a-rule", "a-rule"]
    assert [found["phase"] for found in told["advice"]] == ["migrate", "migrate"]
    ignored = details(facts_of(record), {1: (an_advice(severity="ignored", reason="small"),)})
    assert (ignored["blame"][0]["advice"], ignored["advice"][0]["reason"]) == ("", "small")


LOCKED = (("documents", "AccessExclusiveLock"),)


def test_what_its_transaction_kept_is_told_of_a_statement() -> None:
    trace = trace_of(
        statement_records("ALTER TABLE t ADD c int", 27.0, 27.1, k=1, locks=LOCKED),
        statement_records("UPDATE t SET c = 1", 27.1, 30.0, k=2, locks=LOCKED, commit_at=30.1),
        statement_records("SELECT 1", 30.2, 30.3, k=3, commit_at=30.4),
    )
    told = told_of(a_record(events=events(trace=trace)))["migration"]["statements"]
    kept = [{"relation": "documents", "mode": "AccessExclusiveLock"}]
    assert [statement["kept"] for statement in told] == [[], kept, []]


def test_of_many_locks_kept_the_strongest_are_told() -> None:
    many = [(f"t{number:02}", "ShareLock") for number in range(30)] + [("z", "AccessExclusiveLock")]
    trace = trace_of(
        statement_records("LOCK TABLE …", 27.0, 27.1, k=1, locks=many),
        statement_records("UPDATE t SET c = 1", 27.1, 30.0, k=2, locks=many, commit_at=30.1),
    )
    kept = told_of(a_record(events=events(trace=trace)))["migration"]["statements"][1]["kept"]
    assert (len(kept), kept[0]) == (20, {"relation": "z", "mode": "AccessExclusiveLock"})


def test_who_may_not_look_has_seen_no_waits() -> None:
    told = told_of(a_record(observed=watched(why_blind="GRANT pg_monitor TO app;")))
    assert (told["waits"]["count"], told["waits"]["by_migration"]["count"]) == (None, None)


def test_a_lock_kept_for_a_backfill_is_blamed_with_the_advice_on_the_backfill() -> None:
    trace = trace_of(
        statement_records("ALTER TABLE t ADD c int", 27.0, 27.1, k=1, locks=LOCKED),
        statement_records("UPDATE t SET c = 1", 27.1, 30.0, k=2, locks=LOCKED, commit_at=30.1),
    )
    facts = facts_of(a_record(events=events(trace=trace), waits=(a_wait(27.2, 30.1),)))
    timeout = an_advice(rule="no-lock-timeout", safe="a timeout")
    backfill = an_advice(rule="backfill-with-ddl", statement=2, safe="apart")
    assert details(facts, {1: (timeout, backfill)})["blame"][0]["rule"] == "backfill-with-ddl"
    unrelated = an_advice(rule="about-no-lock", hold_s=None)
    assert details(facts, {1: (unrelated,)})["blame"][0]["rule"] is None
    other = an_advice(rule="update-everything", statement=2)
    assert details(facts, {1: (timeout, other)})["blame"][0]["rule"] == "no-lock-timeout"


def test_the_database_is_told_second_by_second() -> None:
    told = told_of(a_record(database=points(3, waiting=[0, 5, 1], wal_bytes=[10, 20, 30])))["database"]
    assert [(point["at"], point["waiting"], point["wal_bytes"]) for point in told] == [
        (0.0, 0, 10),
        (1.0, 5, 20),
        (2.0, 1, 30),
    ]


def an_advice(**changes: Any) -> Advice:
    whole = Advice(
        "a-rule", 1, "0002", "finding", "if", "then", "op.safe()", "https://x", "it waited", hold_s=1.0
    )
    return replace(whole, **changes)


def test_a_database_without_revisions_is_at_base_and_an_unknown_one_nowhere() -> None:
    assert told_of(a_record(events=events(end={"revisions_after": []})))["migration"]["to"] == "base"
    assert told_of(a_record(events=events(end={"revisions_after": None})))["migration"]["to"] is None


def test_no_secret_is_told() -> None:
    log = events(end={"status": "failed", "message": "no postgresql://app:s3cr3t@db/x"})
    assert "s3cr3t" not in str(told_of(a_record(events=log)))
    invalid = IndexState("i", "t", "CREATE INDEX i ON t (a) WHERE (token = 's3cr3t'::text)", valid=False)
    told = told_of(a_record(schema_after=a_schema(indexes={"i": invalid})))["catalog"]
    assert [finding["relation"] for finding in told["findings"]] == ["i"]
    assert "s3cr3t" not in str(told)


def test_times_of_advice_are_rounded() -> None:
    found = an_advice(hold_s=0.1 + 0.2)
    (told,) = details(facts_of(a_record()), {1: [found]})["advice"]
    assert (told["hold_s"], told["phase"]) == (0.3, "migrate")


def test_phases_come_in_their_order_with_the_statement_window_beside() -> None:
    names = [phase["name"] for phase in told_of(a_record())["phases"]]
    assert names[:6] == ["warmup", "baseline", "launch", "migrate", "migrate statements", "recover"]


def test_each_endpoint_has_a_row_per_judged_phase() -> None:
    table = joined(steady(), steady(rate=1, endpoint="POST /documents"))
    rows = told_of(a_record(table=table))["endpoints"]
    assert [(row["name"], row["phase"]) for row in rows] == [
        (name, phase)
        for name in (ENDPOINT, "POST /documents")
        for phase in ("baseline", "migrate", "recover")
    ]


def test_the_load_is_what_was_done_not_what_was_asked() -> None:
    table = joined(steady(), samples([(51.0, 2.0, Outcome.UNFINISHED)]))
    told = told_of(a_record(a_plan(target_rate=120.0), table))["load"]
    assert (told["target_rate"], told["achieved_rate"]) == (120.0, 100.0)
    assert (told["users"], told["workers"], told["workers_lost"]) == (30, 1, 0)
    assert (told["started"], told["finished"], told["unfinished"]) == (5200, 5200, 1)


def test_arrivals_are_the_last_that_each_worker_told() -> None:
    point = healthy()[0]
    told = [
        replace(point, worker=worker, due=due, begun=due - 2, shed=1)
        for worker, due in (("a", 5), ("b", 7), ("a", 10))
    ]
    load = told_of(a_record(health=tuple(told)))["load"]
    assert [load[key] for key in ("arrivals", "due", "begun", "shed")] == ["scheduled", 17, 13, 2]
    silent = (*told, replace(point, worker="c"))
    assert told_of(a_record(health=silent))["load"]["due"] is None


def test_started_is_unknown_when_a_worker_never_said() -> None:
    log = tuple(event for event in events() if event.kind != "worker_final")
    assert told_of(a_record(events=log))["load"]["started"] is None


def test_a_ledger_nobody_read_back_knows_no_losses() -> None:
    told = told_of(a_record(final_reads=()))["ledger"]
    assert (told["acknowledged"], told["lost"], told["unexpected"], told["accounts_unread"]) == (
        1,
        None,
        None,
        1,
    )


def test_several_migrations_are_all_told_and_the_first_as_ever() -> None:
    told = details(facts_of(several(rollback=True)), {})
    names = [(migration["name"], migration["direction"]) for migration in told["migrations"]]
    assert names == [(SHOP, "upgrade"), (BILLING, "upgrade"), (BILLING, "downgrade"), (SHOP, "downgrade")]
    assert told["migration"] == told["migrations"][0]
    assert told["rollback"] == told["migrations"][2]
    assert list(told["waits"]["elsewhere"]) == [BILLING]


def test_an_only_migration_has_no_name() -> None:
    told = details(facts_of(a_record()), {})
    assert told["migrations"] == [told["migration"]]
    assert told["migration"]["name"] is None
    assert "elsewhere" not in told["waits"]


def test_each_of_several_migrations_has_a_row_of_its_own_within_its_phase() -> None:
    phases = [row["name"] for row in details(facts_of(several()), {})["phases"]]
    first = phases.index("migrate")
    assert phases[first : first + 4] == ["migrate", "migrate shop", "migrate billing", "recover"]


def test_what_is_said_of_a_statement_names_its_migration() -> None:
    theirs = a_watch(waits=(a_wait(30.1, 31.0, root=BILLING_PID),))
    advice = {1: (an_advice(),), 2: (an_advice(safe="billing's"),)}
    told = details(facts_of(several(elsewhere={BILLING: theirs})), advice)
    assert [one["migration"] for one in told["advice"]] == [SHOP, BILLING]
    assert [(one["migration"], one["advice"]) for one in told["blame"]] == [(BILLING, "billing's")]
    assert [one["migration"] for one in told["waits_timeline"]] == [BILLING]
    blocked = [m["statements"][0]["blocked"]["sessions"] for m in told["migrations"]]
    assert blocked == [0, 1]


def test_a_linters_claims_are_each_of_its_own_migration() -> None:
    predicted = {"tool": "squawk", "claims": [{"rule": "adding-field", "statement": 1, "message": "m"}]}
    parts = {SHOP: Part(), BILLING: Part(predictions=predicted)}
    claims = details(facts_of(several(parts=parts)), {})["claims"]
    assert [(claim["migration"], claim["statement"]) for claim in claims] == [(BILLING, 1)]


def test_each_phase_of_the_load_has_its_target_and_no_other() -> None:
    rows = details(facts_of(a_record()), {})["phases"]
    targets = {row["name"]: row["target_rate"] for row in rows}
    asked = ("baseline", "launch", "migrate", "migrate statements", "recover")
    assert targets == {**dict.fromkeys(("warmup", "drain", "final_read")), **dict.fromkeys(asked, 80.0)}
    free = details(facts_of(a_record(a_plan(target_rate=None))), {})["phases"]
    assert {row["target_rate"] for row in free} == {None}
