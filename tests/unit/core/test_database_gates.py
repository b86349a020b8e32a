"""The gates of which the database is the witness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.observation import LogEntry, Observed
from harness.core.record import Part, Record
from harness.core.samples import Outcome, SampleTable
from harness.core.schema_state import SchemaState
from tests.fix_gates import ALTER, EXCLUSIVE, INVALID, SHOP_RAN, long_hold, phases_of, result, results
from tests.fix_record import a_deadlock, a_plan, a_record, a_schema, a_wait, events, points, watched
from tests.fix_samples import joined, samples, steady
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode, several
from tests.fix_trace import MIGRATION_PID, statement_records, trace_of

HELD_LONG = statement_records(ALTER, 30.0, 30.5, k=1, locks=[EXCLUSIVE], commit_at=33.0)


def test_a_short_wait_is_green_and_counted() -> None:
    seen = result(a_record(waits=(a_wait(27.1, 28.0), a_wait(27.1, 27.5))), "lock_wait")
    assert (seen.status, seen.samples) == ("pass", 2)
    assert seen.observed == pytest.approx(0.9)


def test_a_long_wait_is_red_however_badly_it_was_watched() -> None:
    seen = result(
        a_record(waits=(a_wait(27.0, 29.0),), events=long_hold(), observed=watched(ended_at=None)),
        "lock_wait",
    )
    assert (seen.status, seen.observed) == ("fail", 2.0)
    assert seen.why == (
        f"statement 1 of 0002 ({ALTER}) made 1 session wait; the longest waited 2.00 s for AccessShareLock"
        " on public.documents"
    )


def test_a_wait_of_the_migration_itself_is_nobodys_harm() -> None:
    assert (
        result(a_record(waits=(a_wait(27.0, 29.0, pid=MIGRATION_PID, root=700),)), "lock_wait").status
        == "pass"
    )


def test_who_waits_for_another_migrators_turn_is_no_client_of_the_service() -> None:
    """Deployers take an advisory lock so that one migrates at a time."""
    turn = a_wait(27.0, 34.0, lock_type="advisory", mode="ExclusiveLock", relation=None, relation_oid=None)
    assert result(a_record(waits=(turn,), events=long_hold()), "lock_wait").status == "pass"
    both = a_record(waits=(turn, a_wait(27.0, 28.1, pid=601)), events=long_hold())
    red = result(both, "lock_wait")
    assert (red.status, red.samples) == ("fail", 1)


def test_attempts_at_one_statement_are_told_with_their_sum() -> None:
    sql = "ALTER TABLE documents ADD COLUMN flag boolean"
    tries = trace_of(
        statement_records(sql, 27.0, 28.2, k=1, sqlstate="55P03"),
        statement_records(sql, 29.0, 30.5, k=2, sqlstate="55P03"),
    )
    waits = (a_wait(27.0, 28.2, pid=600), a_wait(29.0, 30.4, pid=601))
    red = result(a_record(waits=waits, events=events(trace=tries, ended_at=36.1)), "lock_wait")
    assert red.status == "fail"
    assert red.observed == pytest.approx(1.4)
    assert red.why.endswith(
        "made 2 sessions wait; the longest waited 1.40 s for AccessShareLock on public.documents,"
        " 2.60 s in all over 2 attempts"
    )


def test_the_rollbacks_waits_are_the_rollbacks() -> None:
    seen = results(a_record(a_plan(downgrade="0001"), waits=(a_wait(53.0, 55.0),)))
    assert [r.status for r in seen if r.name == "lock_wait"] == ["pass", "pass"]  # 1 s of it while it held
    assert phases_of("lock_wait", seen) == ["migrate", "rollback"]


LOGGED_WAIT = LogEntry(31.0, "lock_acquired", 612, pids=(612,), wait_s=3.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"observed": Observed()}, "nobody watched"),
        ({"observed": watched(polls=0)}, "nobody watched"),
        ({"missing": ("line 3 of locks.ndjson is unreadable",)}, "line 3 of locks.ndjson"),
        ({"observed": watched(ended_at=None)}, "died"),
        ({"observed": watched(30.0)}, "did not watch the whole phase"),
        ({"observed": watched(began_at=30.0)}, "did not watch the whole phase"),
        ({"observed": watched(gaps=((28.0, 31.0),))}, "no connection to the database for 3.00 s"),
        ({"observed": watched(log_read=False, blind=((28.0, 29.5),))}, "blind for 1.50 s"),
        ({"observed": watched(waits_logged=False, blind=((28.0, 29.5),))}, "blind for 1.50 s"),
        ({"missing": ("1 of 9 lines of database.ndjson are not there",)}, "lines of database.ndjson"),
        ({"database": (LOGGED_WAIT,)}, "wait of 3.00 s by session 612 that was not seen"),
        (
            {"database": (LOGGED_WAIT,), "waits": (a_wait(28.0, 28.8, pid=612, root=700),)},
            "wait of 3.00 s by session 612 that was not seen",
        ),
        ({"observed": watched(backends=()), "events": events(trace=[])}, "sessions is known"),
        ({"events": events(trace=[], end={"status": "nothing"})}, "phase migrate"),
    ],
)
def test_silence_of_who_did_not_watch_is_no_evidence(changes: Mapping[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "lock_wait")
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_late_polls_are_no_matter_where_the_log_tells_every_long_wait() -> None:
    blind = watched(waits_logged=True, late_max_s=1.5, blind=((28.0, 29.5),))
    assert result(a_record(observed=blind), "lock_wait").status == "pass"
    seen = a_wait(28.0, 31.0, pid=612, root=700)
    record = a_record(observed=blind, database=(LOGGED_WAIT,), waits=(seen,))
    assert result(record, "lock_wait").status == "pass"


@pytest.mark.parametrize("blind", [(3.0, 9.0), (28.0, 28.4)])
def test_blindness_elsewhere_or_for_a_moment_hides_no_long_wait(blind: tuple[float, float]) -> None:
    unread = watched(log_read=False, late_max_s=blind[1] - blind[0], blind=(blind,))
    assert result(a_record(observed=unread), "lock_wait").status == "pass"


def test_both_sides_of_a_deadlock_are_named() -> None:
    why = result(a_record(database=(a_deadlock(27.5),)), "deadlocks").why
    assert why == (
        "1 with the migration: session 600 (UPDATE documents SET version = ?) was the victim, against session"
        " 500 (UPDATE documents SET version = ?)"
    )


def test_deadlocks_of_others_are_told_but_not_red() -> None:
    seen = result(a_record(database=(a_deadlock(27.5, (600, 601)), a_deadlock(10.0))), "deadlocks")
    assert (seen.status, seen.why) == ("pass", "1 of other sessions, none with the migration")


def test_a_migration_that_was_the_victim_is_red_without_any_log() -> None:
    victim = trace_of(statement_records(ALTER, 27.0, 28.0, k=1, sqlstate="40P01"), ok=False, end=28.0)
    record = a_record(events=events(trace=victim), observed=Observed())
    seen = result(record, "deadlocks")
    assert (seen.status, seen.observed) == ("fail", 1.0)


def test_a_deadlock_that_the_server_counted_and_its_log_does_not_tell_of_is_not_denied() -> None:
    seen = result(a_record(database=points(deadlocks=[0] * 30 + [1])), "deadlocks")
    assert (seen.status, seen.why) == ("inconclusive", "the server counted 1, and its log tells of 0")
    logged = (*points(deadlocks=[0] * 30 + [1]), a_deadlock(27.5, (600, 601)))
    assert result(a_record(database=logged), "deadlocks").status == "pass"


def test_no_deadlock_is_denied_by_half_a_file() -> None:
    torn = a_record(missing=("line 9 of database.ndjson is unreadable",))
    assert result(torn, "deadlocks").status == "inconclusive"


def told_of_deadlocks(*at: float) -> SampleTable:
    failed = samples([(start, 0.5, Outcome.ERROR) for start in at])
    table = joined(steady(), failed)
    return replace(table, cause=(table.outcome == Outcome.ERROR).astype(np.int64), causes=("", "40P01"))


def test_clients_evidence_of_a_deadlock_counts_where_no_log_was_read() -> None:
    unread: Any = {"observed": watched(log_read=False), "database": points(deadlocks=[0])}
    assert result(a_record(table=told_of_deadlocks(28.0), **unread), "deadlocks").status == "fail"
    assert result(a_record(table=told_of_deadlocks(10.0), **unread), "deadlocks").status == "pass"
    assert result(a_record(table=told_of_deadlocks(10.0, 28.0), **unread), "deadlocks").status != "fail"


def test_without_a_log_the_servers_count_decides_only_when_it_did_not_rise() -> None:
    unread = watched(log_read=False, why_no_log="grant it")
    still = a_record(observed=unread, database=points(deadlocks=[3]))
    assert result(still, "deadlocks").status == "pass"
    risen = result(a_record(observed=unread, database=points(deadlocks=[3] * 28 + [5])), "deadlocks")
    assert (risen.status, risen.samples) == ("inconclusive", 2)
    assert "grant it" in risen.why
    late = a_record(observed=unread, database=points(deadlocks=[3] * 44 + [4]))  # its victim then did nothing
    assert result(late, "deadlocks").status == "inconclusive"
    assert result(a_record(observed=unread), "deadlocks").status == "inconclusive"


def test_an_index_that_was_invalid_before_is_not_the_migrations() -> None:
    before = a_schema(indexes={"i": INVALID})
    assert result(a_record(schema_before=before, schema_after=before), "catalog").status == "pass"


def test_a_catalog_that_could_not_be_read_decides_nothing() -> None:
    seen = result(a_record(schema_after=SchemaState(30.0, error="permission denied")), "catalog")
    assert (seen.status, seen.why) == (
        "inconclusive",
        "the catalog after the upgrade was not read: permission denied",
    )


CONCURRENTLY = statement_records(
    "CREATE INDEX CONCURRENTLY i ON documents (a)", 27.0, 28.0, k=1, autocommit=True
)

FAILING = statement_records(ALTER, 28.0, 28.5, k=2, sqlstate="42701")


def failed(*statements: list[dict[str, Any]], **end: Any) -> Record:
    log = events(
        trace=trace_of(*statements, ok=False, end=28.6), ended_at=28.7, end={"status": "failed", **end}
    )
    return a_record(events=log)


def test_a_revision_half_applied_is_red() -> None:
    seen = result(failed(CONCURRENTLY, FAILING, revisions_after=["0001"]), "catalog")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith("1 statement of revision 0002 stayed committed though it is not applied")


@pytest.mark.parametrize(
    "record",
    [
        failed(FAILING, revisions_after=["0001"]),  # nothing was committed
        failed(CONCURRENTLY, revisions_after=["0002"]),  # it failed later
        failed(
            statement_records("SET lock_timeout = '1s'", 27.0, 27.1, k=1, autocommit=True),
            revisions_after=["0001"],
        ),
    ],
)
def test_a_revision_that_left_nothing_behind_is_not_half_applied(record: Record) -> None:
    assert result(record, "catalog").status == "pass"


def test_a_long_wait_is_laid_to_the_migration_that_made_it() -> None:
    long = episode(2, BILLING, begin=28.2, start=30.0, trace=trace_of(HELD_LONG))
    waits = (a_wait(30.5, 33.0, root=BILLING_PID),)
    seen = result(several(SHOP_RAN, long, elsewhere={BILLING: a_watch(waits=waits)}), "lock_wait")
    assert seen.status == "fail"
    assert seen.why.startswith(f"statement 1 of 0002 in billing ({ALTER}) made 1 session wait")


def test_an_unwatched_database_of_several_leaves_silence_unproven() -> None:
    for name in ("lock_wait", "deadlocks"):
        seen = result(several(elsewhere={}), name)
        assert (seen.status, "billing" in seen.why) == ("inconclusive", True)


def test_a_deadlock_is_looked_for_in_the_log_of_its_own_server() -> None:
    deadlock = a_deadlock(30.5, (600, BILLING_PID))
    seen = result(several(elsewhere={BILLING: a_watch(database=(deadlock,))}), "deadlocks")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith("billing: 1 with the migration: session 600")
    assert result(several(database=(deadlock,)), "deadlocks").status == "pass"


def test_the_migration_that_left_the_schema_red_is_named() -> None:
    after = Part(a_schema(), a_schema(indexes={"i": INVALID}))
    seen = result(several(parts={SHOP: Part(a_schema(), a_schema()), BILLING: after}), "catalog")
    assert (seen.status, seen.why.partition(":")[0]) == ("fail", "billing")


def test_a_schema_of_several_that_was_not_read_decides_nothing() -> None:
    seen = result(several(parts={SHOP: Part(a_schema(), a_schema()), BILLING: Part(a_schema())}), "catalog")
    assert (seen.status, seen.why) == ("inconclusive", "billing: the catalog after the upgrade was not read")
