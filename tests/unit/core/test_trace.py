"""Records as the tracer writes them, and what is made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.core.trace import Lock, Now, Record, Trace, parse
from harness.core.trace_fold import TraceFold, build

PROCESS, BACKEND = 10, 500
TABLE, INDEX = 20_000, 20_001


def record(kind: str, mono: float, **fields: Any) -> Record:
    return {"kind": kind, "mono": mono, "process": PROCESS, "backend": BACKEND, **fields}


def head(lock_timeout: float = 0.0) -> list[Record]:
    return [
        record("hello", 0.0, parent=1, argv=[], python="3.11", wall=0.0),
        record("hooked", 0.1, library="alembic", version="1.20"),
        record("conn", 0.2, driver="psycopg", lock_timeout_s=lock_timeout, statement_timeout_s=0.0),
    ]


def begin(k: int, mono: float, sql: str, **fields: Any) -> Record:
    given = {"revision": "r1", "step": "migration", "many": False, "prepare": False, "status": None}
    return record("begin", mono, k=k, sql=sql, **(given | fields))


def end(k: int, mono: float, duration: float, status: str = "in", **fields: Any) -> Record:
    given = {"rows": None, "sqlstate": None, "error": None}
    return record("end", mono, k=k, duration_s=duration, status=status, **(given | fields))


def txn(what: str, started: float, mono: float, status: str, ok: bool = True) -> Record:
    return record("txn", mono, what=what, ok=ok, started=started, status=status)


def snapshot(
    k: int, mono: float, *locks: tuple[int, str, str, str, int], lock_timeout: float = 0.0
) -> Record:
    timeouts = {"lock_timeout_s": lock_timeout, "statement_timeout_s": 0.0}
    return record("snapshot", mono, k=k, locks=[list(lock) for lock in locks], cost_s=0.001, **timeouts)


def revision(name: str, mono: float) -> Record:
    return record(
        "rev_begin", mono, run=1, revision=name, down_revisions=[], is_upgrade=True, is_stamp=False, doc="d"
    )


EXCLUSIVE = (TABLE, "notes", "r", "AccessExclusiveLock", 7)


def test_a_statement_its_transaction_and_its_commit() -> None:
    trace = build(
        [
            *head(lock_timeout=3.0),
            revision("r1", 1.0),
            begin(1, 1.1, "ALTER TABLE notes ADD COLUMN x int"),
            txn("begin", 1.1, 1.15, "in"),
            end(1, 1.4, 0.3, rows=None),
            snapshot(1, 1.41, EXCLUSIVE, lock_timeout=5.0),
            begin(2, 1.5, "UPDATE alembic_version SET version_num = 'r1'", step="version"),
            end(2, 1.6, 0.1, rows=1),
            txn("commit", 1.7, 1.9, "idle"),
            record("rev_end", 1.95, run=1, revision="r1", ok=True),
            record("bye", 2.0),
        ]
    )

    assert trace.complete
    own, version = trace.statements
    assert (own.n, own.kind, own.revision, own.transaction) == (1, "migration", "r1", 1)
    assert (own.started_mono, own.ended_mono, own.duration_s) == (1.1, 1.4, 0.3)
    assert own.lock_timeout_s == 5.0
    assert own.locks == (Lock("notes", "r", "AccessExclusiveLock", 1.1, 1.9),)
    assert own.locks[0].hold_s == pytest.approx(0.8)
    assert own.committed_mono == 1.9
    assert (version.n, version.kind) == (None, "version")
    assert (trace.first_statement_mono, trace.last_commit_mono) == (1.1, 1.9)
    (found,) = trace.transactions
    assert (found.started_mono, found.ended_mono, found.outcome) == (1.1, 1.9, "commit")
    (run,) = trace.revisions
    assert (run.revision, run.started_mono, run.ended_mono, run.ok) == ("r1", 1.0, 1.95, True)


def test_outside_a_transaction_a_statement_commits_itself() -> None:
    trace = build([*head(), begin(1, 1.0, "CREATE INDEX CONCURRENTLY i ON t (x)"), end(1, 3.0, 2.0, "idle")])

    (statement,) = trace.statements
    assert statement.transaction is None
    assert statement.committed_mono == 3.0
    assert trace.last_commit_mono == 3.0


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (txn("rollback", 2.0, 2.1, "idle"), "rollback"),
        (txn("commit", 2.0, 2.1, "idle", ok=False), "rollback"),  # a deferred constraint fails at COMMIT
        (txn("commit", 2.0, 2.1, "idle"), "commit"),
    ],
)
def test_how_a_transaction_ends(ending: Record, outcome: str) -> None:
    trace = build([*head(), begin(1, 1.0, "UPDATE t SET x = 1"), end(1, 1.1, 0.1), ending])

    assert trace.transactions[0].outcome == outcome
    assert (trace.statements[0].committed_mono is not None) == (outcome == "commit")


def test_a_transaction_whose_end_was_not_seen_is_over_when_the_connection_is_idle() -> None:
    trace = build(
        [
            *head(),
            begin(1, 1.0, "SELECT 1"),
            end(1, 1.1, 0.1),
            begin(2, 2.0, "CREATE INDEX CONCURRENTLY i ON t (x)", status="idle"),
            end(2, 3.0, 1.0, "idle"),
        ]
    )

    assert trace.transactions[0].outcome == "rollback"
    assert trace.statements[1].transaction is None


def test_a_failed_statement_is_never_committed() -> None:
    trace = build(
        [
            *head(),
            begin(1, 1.0, "SELECT * FROM nowhere"),
            end(1, 1.1, 0.1, "error", sqlstate="42P01", error='relation "nowhere" does not exist'),
            txn("rollback_to", 1.2, 1.3, "in"),
            begin(2, 1.4, "SELECT 1"),
            end(2, 1.5, 0.1),
            txn("commit", 1.6, 1.7, "idle"),
        ]
    )

    failed, after = trace.statements
    assert (failed.sqlstate, failed.committed_mono) == ("42P01", None)
    assert after.committed_mono == 1.7
    assert failed.transaction == after.transaction == 1


def test_only_the_first_holder_of_a_lock_in_a_transaction_has_it() -> None:
    index = (INDEX, "notes_pkey", "i", "AccessExclusiveLock", 8)
    trace = build(
        [
            *head(),
            begin(1, 1.0, "ALTER TABLE notes ADD x int"),
            end(1, 1.1, 0.1),
            snapshot(1, 1.1, EXCLUSIVE),
            begin(2, 1.2, "ALTER TABLE notes ADD y int"),
            end(2, 1.3, 0.1),
            snapshot(2, 1.3, EXCLUSIVE, index),
            txn("commit", 2.0, 2.0, "idle"),
            begin(3, 3.0, "ALTER TABLE notes ADD z int"),
            end(3, 3.1, 0.1),
            snapshot(3, 3.1, EXCLUSIVE),
        ]
    )

    locks = [[lock.relation for lock in statement.locks] for statement in trace.statements]
    assert locks == [["notes"], ["notes_pkey"], ["notes"]]
    assert trace.statements[2].locks[0].hold_s is None  # it is still held


def test_a_lock_given_back_by_a_savepoint_ends_there() -> None:
    trace = build(
        [
            *head(),
            begin(1, 1.0, "ALTER TABLE notes ADD x int"),
            end(1, 1.1, 0.1),
            snapshot(1, 1.1, EXCLUSIVE),
            txn("rollback_to", 1.2, 1.5, "in"),
            begin(2, 1.6, "SELECT 1"),
            end(2, 1.7, 0.1),
            snapshot(2, 1.7),
            txn("commit", 9.0, 9.0, "idle"),
        ]
    )

    assert trace.statements[0].locks[0].released_mono == 1.5


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE", 0),
        ("LOCK notes", 0),
        ("lock table only public.notes in access exclusive mode nowait", 0),
        ("LOCK TABLE notes IN SHARE MODE", 1),
        ("LOCK TABLE other", 1),
    ],
)
def test_a_lock_seen_after_lock_table_is_its_own_if_it_names_it(text: str, holder: int) -> None:
    """No snapshot is taken after LOCK TABLE itself."""
    trace = build(
        [
            *head(),
            begin(1, 1.0, text),
            end(1, 1.1, 0.1),
            begin(2, 1.2, "ALTER TABLE notes ADD x int"),
            end(2, 1.3, 0.1),
            snapshot(2, 1.3, EXCLUSIVE),
        ]
    )

    assert [len(statement.locks) for statement in trace.statements] == [1 - holder, holder]


def test_a_rewrite_is_a_file_node_never_seen_before() -> None:
    def altered(k: int, mono: float, file_node: int) -> list[Record]:
        lock = (TABLE, "notes", "r", "AccessExclusiveLock", file_node)
        return [begin(k, mono, "ALTER TABLE notes …"), end(k, mono + 0.1, 0.1), snapshot(k, mono + 0.2, lock)]

    records = [*head(), *altered(1, 1.0, 7), *altered(2, 2.0, 9), txn("rollback_to", 3.0, 3.0, "in")]
    records += altered(3, 4.0, 7)

    assert [found.rewrites for found in build(records).statements] == [(), ("notes",), ()]
    known = build(records, relfilenodes={TABLE: 5})
    assert [found.rewrites for found in known.statements] == [("notes",), ("notes",), ()]


def test_repeats_are_one_statement_of_each_transaction() -> None:
    def more(mono: float, ended: float) -> Record:
        given = {"revision": "r1", "step": "migration", "prepare": False, "status": "in"}
        return record(
            "more",
            mono,
            sql="UPDATE t SET x = 1",
            key="k",
            count=10,
            rows=20,
            duration_s=0.5,
            ended=ended,
            **given,
        )

    trace = build([*head(), more(1.0, 1.5), more(1.5, 2.0), txn("commit", 2.1, 2.2, "idle"), more(3.0, 3.5)])

    first, second = trace.statements
    assert (first.executions, first.rows, first.duration_s, first.ended_mono) == (20, 40, 1.0, 2.0)
    assert (first.committed_mono, second.committed_mono) == (2.2, None)
    assert (first.n, second.n, second.executions) == (1, 2, 10)


def test_a_prepared_statement_is_counted_when_it_is_executed() -> None:
    prepared = [begin(1, 1.0, "SELECT 1", prepare=True), end(1, 1.1, 0.1)]
    failed = [
        begin(2, 2.0, "SELECT nothing", prepare=True),
        end(2, 2.1, 0.1, "error", sqlstate="42703", error="no such column"),
    ]

    trace = build([*head(), *prepared, *failed])

    assert [(found.sql, found.sqlstate) for found in trace.statements] == [("SELECT nothing", "42703")]


def test_the_timeout_in_effect_is_the_last_one_known() -> None:
    unknown = {"lock_timeout_s": None, "statement_timeout_s": None}
    trace = build(
        [
            *head(lock_timeout=3.0),
            begin(1, 1.0, "SET lock_timeout = '9s'"),
            end(1, 1.1, 0.1, "idle"),
            record("settings", 1.1, lock_timeout_s=9.0, statement_timeout_s=0.0),
            begin(2, 1.2, "CREATE INDEX CONCURRENTLY i ON t (x)"),
            end(2, 1.3, 0.1, "idle"),
            record("settings", 1.4, **unknown),
            begin(3, 1.5, "CREATE INDEX CONCURRENTLY j ON t (y)"),
            end(3, 1.6, 0.1, "idle"),
        ]
    )

    assert [found.lock_timeout_s for found in trace.statements] == [3.0, 9.0, None]


def test_what_is_not_the_migrations_own() -> None:
    probe = begin(1, 1.0, "show transaction isolation level")
    env = begin(2, 2.0, "CREATE SCHEMA app", revision=None, step=None)

    trace = build([*head(), probe, end(1, 1.1, 0.1), env, end(2, 2.1, 0.1)])

    assert [(found.n, found.kind) for found in trace.statements] == [(None, "driver"), (None, "driver")]
    assert trace.first_statement_mono is None
    assert trace.last_commit_mono is None


def test_what_it_is_doing_now() -> None:
    fold = TraceFold()
    seen: list[Now | None] = [fold.now()]
    for found in [*head(), revision("r1", 1.0)]:
        fold.add(found)
    seen.append(fold.now())
    fold.add(begin(1, 2.0, "SELECT pg_sleep(1)"))
    seen.append(fold.now())
    fold.add(end(1, 3.0, 1.0))
    fold.add(record("rev_end", 4.0, run=1, revision="r1", ok=True))
    seen.append(fold.now())

    assert seen == [None, Now("r1", None, None, 1.0), Now("r1", 1, "SELECT pg_sleep(1)", 2.0), None]
    assert fold.started


def why(records: list[Record], **given: Any) -> str:
    return build(records, **given).why_incomplete or ""


def test_what_makes_a_trace_incomplete() -> None:
    whole = head()
    wrong = record("wrong_database", 1.0, expected="1:2", found="3:4")
    running = begin(1, 1.0, "SELECT 1")

    assert build(whole).complete
    assert "loaded the tracer" in why([])
    assert "Alembic was not imported" in why(whole[:1])
    assert "on_psycopg: boom" in why([*whole, record("hookfail", 1.0, where="on_psycopg", error="boom")])
    assert "501" in why(whole, seen_backends=[BACKEND, 501])
    assert "2 lines" in why(whole, unreadable=2)
    assert "3:4" in why([*whole, wrong])
    assert "SELECT 1" in why([*whole, running, record("bye", 2.0)])


def test_a_process_that_died_in_a_statement_left_a_complete_trace() -> None:
    trace = build([*head(), revision("r1", 0.9), begin(1, 1.0, "SELECT pg_sleep(600)")])

    assert trace.complete
    assert trace.statements[0].ended_mono is None
    assert trace.revisions[0].ok is None


def test_a_kind_of_record_from_a_later_tracer_is_passed_over() -> None:
    assert build([*head(), record("something_new", 1.0)]).complete


def test_the_reasons_for_missing_locks_are_kept() -> None:
    trace: Trace = build([*head(), record("blind", 1.0, reason="statement_timeout below one second")])

    assert trace.complete
    assert trace.blind == ("backend 500: statement_timeout below one second",)


def test_parse_tolerates_a_torn_last_line_and_counts_others() -> None:
    good = json.dumps({"kind": "hello"})

    assert parse([good, good[:5]]) == ([{"kind": "hello"}], 0)
    assert parse([good, good[:5], good]) == ([{"kind": "hello"}] * 2, 1)
    assert parse(["7", good]) == ([{"kind": "hello"}], 1)
    assert parse([]) == ([], 0)
