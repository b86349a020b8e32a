"""A migration behind a connection pooler: who serves it, and which timeouts are lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.session_settings import LostSetting
from harness.core.trace import Record
from harness.core.trace_fold import build
from tests.fix_trace import BACKEND, EXCLUSIVE, LISTED, begin, end, head, listed, record, snapshot, txn

POOLED = record("conn", 0.2, lock_timeout_s=0.0, statement_timeout_s=0.0, server_pid=77)
LOST = LostSetting("lock_timeout", 2.0, 0.0, 1)


def settings(k: int | None, mono: float, lock_timeout: float, **fields: Any) -> Record:
    return record("settings", mono, k=k, lock_timeout_s=lock_timeout, statement_timeout_s=0.0, **fields)


def served(k: int, mono: float, pid: int, lock_timeout: float = 0.0) -> Record:
    return {**snapshot(k, mono, EXCLUSIVE, lock_timeout=lock_timeout), "server_pid": pid}


def two_transactions(*connection: Record, lock_timeout: float) -> list[Record]:
    """The first sets a timeout for the session, the second runs with `lock_timeout`."""
    return [
        *connection,
        begin(1, 1.0, "SET lock_timeout = '2s'"),
        end(1, 1.1, 0.1),
        settings(1, 1.1, 2.0),
        txn("commit", 1.2, 1.3, "idle"),
        settings(None, 1.3, lock_timeout, server_pid=77),
        begin(2, 2.0, "ALTER TABLE notes ADD COLUMN x int"),
        end(2, 2.1, 0.1),
        served(2, 2.1, 78, lock_timeout),
        txn("commit", 2.2, 2.3, "idle"),
    ]


def test_behind_a_pooler_any_process_of_the_server_may_be_the_migrations() -> None:
    trace = build(two_transactions(*head()[:2], POOLED, lock_timeout=0.0), seen_backends=[77, 78, 79])

    assert trace.complete
    assert trace.pooled_by == {77, 78}
    assert trace.backends == {BACKEND, 77, 78}


def test_without_a_pooler_nobody_else_serves_it() -> None:
    trace = build(two_transactions(*head(), lock_timeout=2.0), seen_backends=[79])

    assert not trace.complete
    assert trace.pooled_by == frozenset()


@pytest.mark.parametrize(("lock_timeout", "lost"), [(0.0, (LOST,)), (2.0, ())])
def test_a_timeout_that_the_pooler_took_away(lock_timeout: float, lost: tuple[LostSetting, ...]) -> None:
    trace = build(two_transactions(*head()[:2], POOLED, lock_timeout=lock_timeout))

    set_it, altered_it = trace.statements
    assert set_it.lost == ()
    assert altered_it.lost == lost
    assert altered_it.lock_timeout_s == lock_timeout


def test_a_timeout_is_not_lost_without_a_pooler() -> None:
    """Somebody else's hook may have changed it: what is seen is then the truth, and nobody's fault."""
    trace = build(two_transactions(*head(), lock_timeout=0.0))

    assert trace.statements[1].lost == ()


def test_a_timeout_set_outside_a_transaction_is_looked_for_right_after() -> None:
    records = [
        *head()[:2],
        POOLED,
        begin(1, 1.0, "SET lock_timeout = '2s'", status="idle"),
        end(1, 1.1, 0.1, "idle"),
        settings(1, 1.1, 0.0, server_pid=78),
        begin(2, 2.0, "CREATE INDEX CONCURRENTLY i ON notes (x)", status="idle"),
        end(2, 2.1, 0.1, "idle"),
        listed(2.1, *LISTED, k=2, lock_timeout_s=2.0, statement_timeout_s=0.0, server_pid=77),
    ]

    set_it, index = build(records).statements

    assert set_it.lost == (replace(LOST, beside=True),)
    assert index.lost == ()
    assert (set_it.lock_timeout_s, index.lock_timeout_s) == (None, None)


def test_a_timeout_that_env_py_set_is_lost_too() -> None:
    records = two_transactions(*head()[:2], POOLED, lock_timeout=0.0)
    records[3] = {**records[3], "step": None, "revision": None}

    assert build(records).statements[1].lost == (replace(LOST, set_by=None),)


def test_a_timeout_that_a_pooler_did_not_pass_on_is_lost_from_the_first_statement_on() -> None:
    told = {**POOLED, "defaults": {"lock_timeout": "2s"}}
    records = [
        *head()[:2],
        told,
        begin(1, 1.0, "ALTER TABLE notes ADD COLUMN x int"),
        end(1, 1.1, 0.1),
        served(1, 1.1, 78),
    ]

    assert build(records).statements[0].lost == (replace(LOST, set_by=None),)
