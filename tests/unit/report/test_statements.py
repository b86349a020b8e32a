"""Statements on the timeline and in the table."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.statements import grouped, spans


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


def test_locks_rewrites_errors_and_time_outs_are_told() -> None:
    told = statement(
        locks=[{"relation": "documents", "kind": "table", "mode": "ShareLock", "hold_s": None}],
        rewrites=["documents"],
        sqlstate="55P03",
        error="canceling statement due to lock timeout",
        lock_timeout_s=0,
        blocked={"sessions": 1, "session_seconds": 2.0, "longest_s": 2.0},
    )
    (row,) = grouped(spans([told], 40.0))
    assert row.locks == ("ShareLock on documents, held –", "rewrites documents")
    assert row.error == "SQLSTATE 55P03: canceling statement due to lock timeout"
    assert (row.lock_timeout, row.blocked) == ("none", "1 session waited, the longest 2 s")


def test_fast_repeats_are_counted_and_ranked_by_their_mean() -> None:
    once = statement(duration_s=0.003)
    (row,) = grouped(spans([once, statement(executions=10_000, duration_s=20.0)], 60.0))
    assert (row.times, row.duration, row.longest) == ("× 10,001", "20 s", "at least 3 ms")
    (row,) = grouped(spans([statement(executions=10_000, duration_s=20.0)], 60.0))
    assert (row.times, row.longest) == ("× 10,000", "at least 2 ms")
    assert row.longest_s == pytest.approx(0.002)
