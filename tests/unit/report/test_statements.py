"""Statements on the timeline and in the table."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.statements import grouped, named, of_phase, spans


def statement(**changes: Any) -> dict[str, Any]:
    plain = {"n": 1, "revision": "r1", "sql": "SELECT 1", "started_at": 30.0, "duration_s": 0.5, "rows": 3}
    return plain | changes


def test_equal_statements_of_a_revision_are_one_row() -> None:
    executed = spans(
        [statement(), statement(started_at=31.0, duration_s=2.0), statement(revision="r2")], 40.0
    )
    first, second = grouped(executed)
    assert (first.times, first.started, first.duration, first.longest, first.rows) == (
        "× 2",
        "30 s",
        "2.5 s",
        "2 s",
        "6",
    )
    assert (second.revision, second.times) == ("r2", "")


def test_a_statement_whose_end_nobody_saw_lasts_until_the_migration_ended_and_says_so() -> None:
    (span,) = spans([statement(duration_s=None)], until=45.0)
    (row,) = grouped([span])
    assert (span.end, row.duration, row.longest, row.unfinished) == (45.0, "–", "no end seen", True)


def test_a_statement_that_never_began_is_on_no_timeline() -> None:
    assert spans([statement(started_at=None)], 40.0) == ()


@pytest.mark.parametrize(
    ("modes", "effect"),
    [
        ([], "unknown"),
        (["AccessShareLock", "RowExclusiveLock"], "none"),
        (["RowExclusiveLock", "ShareLock"], "writes"),
        (["ShareUpdateExclusiveLock", "AccessExclusiveLock", "ShareLock"], "all"),
        (["SomeNewLock"], "unknown"),
    ],
)
def test_the_strongest_lock_gives_the_colour(modes: list[str], effect: str) -> None:
    locks = [{"relation": "documents", "kind": "table", "mode": mode, "hold_s": 1.0} for mode in modes]
    assert spans([statement(locks=locks)], 40.0)[0].effect == effect


def test_a_lock_that_its_transaction_kept_gives_it_too() -> None:
    kept = [{"relation": "t", "mode": "AccessExclusiveLock"}]
    (span,) = spans([statement(locks=[], provenance="exact", kept=kept)], 40.0)
    assert (span.effect, span.locks) == ("all", ("AccessExclusiveLock on t, still held",))


def test_exactly_no_lock_is_not_the_same_as_locks_not_recorded() -> None:
    assert spans([statement(provenance="exact", locks=[])], 40.0)[0].effect == "none"
    assert spans([statement(provenance="unknown", locks=[])], 40.0)[0].effect == "unknown"


def test_locks_work_errors_and_timeouts_are_told() -> None:
    told = statement(
        locks=[
            {"relation": "documents", "kind": "r", "mode": "ShareLock", "hold_s": None},
            {"relation": "a_pkey", "kind": "i", "of": "a", "mode": "ExclusiveLock", "hold_s": 2.0},
        ],
        rewrites=["documents"],
        rebuilt=["a_pkey", "a_idx"],
        scans=["a"],
        blocks=[
            {"relation": "documents", "operations": ["INSERT", "UPDATE", "DELETE"]},
            {"relation": "a", "operations": ["SELECT", "INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE"]},
        ],
        wal_bytes=3 * 1024**2,
        tracer_s=0.0021,
        sqlstate="55P03",
        error="canceling statement due to lock timeout",
        lock_timeout_s=0,
        idle_timeout_s=60.0,
        blocked={"sessions": 1, "session_seconds": 2.0, "longest_s": 2.0},
        provenance="exact",
        advice=["rule-a"],
    )
    (row,) = grouped(spans([told], 40.0))
    assert row.locks == (
        "ShareLock on documents, held –",
        "ExclusiveLock on a_pkey (index of a), held 2 s",
    )
    assert row.work == ("rewrites documents", "rebuilds a_pkey, a_idx", "reads all of a")
    assert row.blocks == ("INSERT, UPDATE, DELETE on documents", "everything on a")
    assert (row.wal, row.tracer, row.provenance, row.advice) == ("3 MB", "2.1 ms", "exact", ("rule-a",))
    assert row.error == "SQLSTATE 55P03: canceling statement due to lock timeout"
    assert row.timeouts == ("lock none", "idle 60 s")
    assert row.blocked == "1 session for 2 session-seconds, longest wait 2 s"


def test_locks_that_are_alike_are_one_line() -> None:
    index = {"kind": "i", "of": "a", "mode": "RowExclusiveLock", "hold_s": 2.0}
    locks = [{"relation": f"a_{name}", **index} for name in ("pkey", "idx", "b", "c", "d")]
    (row,) = grouped(spans([statement(locks=locks)], 40.0))
    assert row.locks == ("RowExclusiveLock on a_pkey, a_idx, a_b, a_c and 1 more (indexes of a), held 2 s",)


def test_an_old_statement_without_the_newer_facts_is_told_too() -> None:
    old = {"n": 1, "revision": "r1", "sql": "SELECT 1", "started_at": 30.0, "blocked": None, "locks": None}
    (row,) = grouped(spans([old], 40.0))
    assert (row.locks, row.blocks, row.work, row.timeouts, row.advice) == ((), (), (), (), ())
    assert (row.wal, row.tracer, row.blocked, row.effect) == ("–", "–", "", "unknown")


@pytest.mark.parametrize(
    ("blocked", "words"),
    [
        ({"sessions": None, "session_seconds": None, "longest_s": None}, ""),
        ({"sessions": 0, "session_seconds": 0.0, "longest_s": 0.0}, "nobody waited"),
    ],
)
def test_nobody_waited_is_not_the_same_as_nobody_looked(blocked: dict[str, Any], words: str) -> None:
    assert grouped(spans([statement(blocked=blocked)], 40.0))[0].blocked == words


def test_repeats_add_up_what_they_cost_and_name_their_work_once() -> None:
    batches = [
        statement(
            started_at=30.0 + n,
            wal_bytes=1024,
            scans=["a"],
            blocked={"sessions": 2, "session_seconds": 1.5, "longest_s": 1.0 + n},
        )
        for n in range(2)
    ]
    (row,) = grouped(spans(batches, 40.0))
    assert (row.wal, row.work) == ("2 kB", ("reads all of a",))
    assert row.blocked == "2 sessions for 3 session-seconds, longest wait 2 s"


def test_a_huge_text_is_cut_and_says_where_the_whole_is() -> None:
    (row,) = grouped(spans([statement(sql="SELECT '" + "\x00é" * 30_000 + "'")], 40.0))
    assert len(row.sql) < 21_000
    assert row.sql.endswith("… (60,009 characters; the run directory has all of them)")
    assert "\x00" not in row.sql


def test_a_statement_is_named_by_its_number_and_revision() -> None:
    up = {"direction": "upgrade", "statements": [statement(sql="SELECT 'up'")]}
    down = {"direction": "downgrade", "statements": [statement(revision="r2", sql="SELECT 'down'")]}
    assert named(1, [up, down]) == "statement 1 of revision r1: SELECT 'up'"
    assert named(1, [up, down], "r2") == "statement 1 of revision r2: SELECT 'down'"
    assert (
        named(1, of_phase([up, down], {"phase": "rollback_recover"}))
        == "statement 1 of revision r2: SELECT 'down'"
    )
    assert named(7, [up]) == "statement 7"
    assert named(None, [up]) == "a statement of the migration that is not known"
    assert of_phase([up], {"phase": "rollback"}) == [up]


def test_fast_repeats_are_counted_and_ranked_by_their_mean() -> None:
    once = statement(duration_s=0.003)
    (row,) = grouped(spans([once, statement(executions=10_000, duration_s=20.0)], 60.0))
    assert (row.times, row.duration, row.longest) == ("× 10,001", "20 s", "at least 3 ms")
    (row,) = grouped(spans([statement(executions=10_000, duration_s=20.0)], 60.0))
    assert (row.times, row.longest) == ("× 10,000", "at least 2 ms")
    assert row.longest_s == pytest.approx(0.002)
