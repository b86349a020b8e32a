"""Records as the tracer writes them, and what is made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.core.session_settings import LostSetting
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
    assert own.locks == (Lock("notes", "r", "AccessExclusiveLock", 1.1, 1.9, of=None, oid=TABLE),)
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


def test_file_nodes_are_those_of_the_migrations_own_database_whichever_comes_first() -> None:
    """Oids are of a database: in `archive` table 20,000 is another one."""
    given: dict[str, Any] = {"lock_timeout_s": 0.0, "statement_timeout_s": 0.0, "system_identifier": "1"}
    records = head()[:2]
    for number, (name, oid) in enumerate((("archive", 6), ("shop", 5)), 1):
        told = [
            record("conn", number, driver="psycopg", database=name, database_oid=oid, **given),
            begin(number, number + 0.1, f"ALTER TABLE {name}"),
            end(number, number + 0.2, 0.1),
            snapshot(number, number + 0.3, EXCLUSIVE),
        ]
        records += [{**one, "backend": BACKEND + number} for one in told]
    archive, shop = build(records, relfilenodes={TABLE: 5}, database_oid=5).statements
    assert (archive.rewrites, shop.rewrites) == ((), ("notes",))


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


def test_a_record_that_is_not_understood_makes_the_trace_incomplete() -> None:
    said = why([*head(), {"kind": "snapshot", "mono": 1.0}])
    assert said == "1 records of the trace are not understood: snapshot (KeyError: 'process')"


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


def row(
    relation: str,
    mode: str = "AccessExclusiveLock",
    *,
    oid: int = TABLE,
    kind: str | None = "r",
    file: int = 7,
    created: bool = False,
    owner: int | None = None,
    read: int | None = None,
) -> tuple[Any, ...]:
    return (oid, relation, kind, mode, file, f"2200.{relation}", created, owner, read)


def altered(k: int, mono: float, *rows: tuple[Any, ...], **fields: Any) -> list[Record]:
    given = {"cost_s": 0.001, "lock_timeout_s": 0.0, "statement_timeout_s": 0.0}
    found = record("snapshot", mono + 0.2, k=k, locks=[list(each) for each in rows], **(given | fields))
    return [begin(k, mono, "ALTER TABLE …"), end(k, mono + 0.1, 0.1), found]


def listed(mono: float, *rows: tuple[Any, ...], k: int | None = None, **fields: Any) -> Record:
    return record("relations", mono, k=k, relations=[list(each) for each in rows], cost_s=0.002, **fields)


LISTED = (
    (TABLE, "notes", "r", 7, "2200.notes", None),
    (INDEX, "notes_pkey", "i", 8, "2200.notes_pkey", TABLE),
)


def test_what_belongs_to_a_table_names_it() -> None:
    toast = row("pg_toast.pg_toast_20000", oid=30_000, kind="t")
    toast_index = row("pg_toast.pg_toast_20000_index", oid=30_001, kind="i", owner=30_000)
    trace = build(
        [
            *head(),
            listed(0.5, *LISTED),
            *altered(1, 1.0, row("notes_pkey", oid=INDEX, kind="i", file=8), toast, toast_index),
        ]
    )

    assert [(lock.relation, lock.of) for lock in trace.statements[0].locks] == [
        ("notes_pkey", "notes"),
        ("pg_toast.pg_toast_20000", "notes"),
        ("pg_toast.pg_toast_20000_index", "notes"),
    ]


def test_a_toast_table_locked_no_more_than_its_table_is_left_out() -> None:
    toast = row("pg_toast.pg_toast_20000", "ShareLock", oid=30_000, kind="t")

    trace = build([*head(), *altered(1, 1.0, row("notes"), toast)])

    assert [lock.relation for lock in trace.statements[0].locks] == ["notes"]


def test_what_the_same_transaction_made_is_left_out() -> None:
    made = row("fresh", created=True)
    gone = (TABLE, str(TABLE), None, "AccessExclusiveLock", None, None, True, None, None)
    records = [*head(), *altered(1, 1.0, made), *altered(2, 2.0, gone)]
    records += [txn("commit", 3.0, 3.0, "idle"), *altered(3, 4.0, row("fresh"))]

    assert [len(found.locks) for found in build(records).statements] == [0, 0, 1]


def test_a_dropped_relation_is_called_as_it_was() -> None:
    gone = (INDEX, str(INDEX), None, "AccessExclusiveLock", None, None, True, None, None)
    trace = build([*head(), listed(0.5, *LISTED), *altered(1, 1.0, row("notes"), gone)])

    assert [(lock.relation, lock.kind, lock.of) for lock in trace.statements[0].locks] == [
        ("notes", "r", None),
        ("notes_pkey", "i", "notes"),
    ]


def test_a_renaming_that_is_rolled_back_never_was() -> None:
    records = [*head(), listed(0.5, *LISTED), *altered(1, 1.0, row("remarks"))]
    records += [*altered(2, 2.0, row("remarks", "ShareLock"))]
    records += [txn("rollback", 3.0, 3.0, "idle"), *altered(3, 4.0, row("notes"))]

    names = [[lock.relation for lock in found.locks] for found in build(records).statements]
    assert names == [["notes"], ["remarks"], ["notes"]]


def test_another_search_path_is_no_renaming() -> None:
    printed = (TABLE, "public.notes", "r", "ShareLock", 7, "2200.notes", False, None, None)
    trace = build([*head(), listed(0.5, *LISTED), *altered(1, 1.0, printed)])

    assert trace.statements[0].locks[0].relation == "public.notes"


def test_an_index_made_again_under_its_name_is_rebuilt_unless_it_kept_its_file() -> None:
    def again(file: int) -> list[Record]:
        new = row("notes_pkey", oid=INDEX + 50, kind="i", file=file, created=True, owner=TABLE)
        return [*head(), listed(0.5, *LISTED), *altered(1, 1.0, new)]

    assert build(again(99)).statements[0].rebuilt == ("notes_pkey",)
    assert build(again(8)).statements[0].rebuilt == ()


def test_outside_a_transaction_the_list_of_relations_tells_of_rewrites() -> None:
    vacuumed = listed(
        2.2,
        (TABLE, "notes", "r", 17, "2200.notes", None),
        (INDEX, "notes_pkey", "i", 18, "2200.n", TABLE),
        k=1,
    )
    records = [*head(), listed(0.5, *LISTED), begin(1, 2.0, "VACUUM FULL notes"), end(1, 2.1, 0.1, "idle")]
    unlisted = record("unlisted", 2.2, k=1)
    later = altered(2, 3.0, row("notes", file=17))

    told = build([*records, vacuumed, *later]).statements
    assert (told[0].rewrites, told[0].rebuilt) == (("notes",), ("notes_pkey",))
    assert told[0].tracer_s == 0.002
    assert told[1].rewrites == ()
    assert build([*records, unlisted, *later]).statements[1].rewrites == ()


@pytest.mark.parametrize(
    ("version", "counts", "scans"),
    [
        (180_000, (0, 100, 100), [(), ("notes",), ()]),
        (180_000, (100, 150, 150), [("notes",), ("notes",), ()]),
        (180_000, (None, 0, 0), [(), (), ()]),
    ],
)
def test_a_scan_is_more_rows_read_than_before(
    version: int, counts: tuple[int | None, ...], scans: list[tuple[str, ...]]
) -> None:
    conn = record("conn", 0.2, lock_timeout_s=0.0, statement_timeout_s=0.0, server_version=version)
    records = [*head()[:2], conn]
    for k, count in enumerate(counts):
        records += altered(k, 1.0 + k, row("notes", read=count))

    assert [found.scans for found in build(records).statements] == scans


@pytest.mark.parametrize(
    ("version", "second"),
    [
        (150_000, ("notes",)),  # each transaction's counters begin at zero
        (140_000, ()),  # the same number: still that of the first, as far as one can tell
    ],
)
def test_counters_of_an_earlier_transaction(version: int, second: tuple[str, ...]) -> None:
    conn = record("conn", 0.2, lock_timeout_s=0.0, statement_timeout_s=0.0, server_version=version)
    records = [*head()[:2], conn, *altered(1, 1.0, row("notes", read=100)), txn("commit", 2.0, 2.0, "idle")]
    last = altered(2, 3.0, row("notes", read=100))

    assert build([*records, *last]).statements[1].scans == second
    unflushed = altered(2, 3.0, row("notes", read=200), unflushed=True)
    assert build([*records, *unflushed]).statements[1].scans == ()


def test_a_snapshot_after_rollback_to_tells_what_was_given_back() -> None:
    after = record(
        "snapshot", 1.6, k=None, locks=[], cost_s=0.001, lock_timeout_s=0.0, statement_timeout_s=0.0
    )
    records = [*head(), txn("savepoint", 0.9, 0.9, "in"), *altered(1, 1.0, row("notes"))]
    records += [txn("rollback_to", 1.4, 1.5, "in"), after, *altered(2, 2.0, row("notes"))]
    records += [txn("commit", 3.0, 3.0, "idle")]

    first, second = build(records).statements
    assert (first.locks[0].granted_mono, first.locks[0].released_mono) == (1.0, 1.5)
    assert (second.locks[0].granted_mono, second.locks[0].released_mono) == (2.0, 3.0)


@pytest.mark.parametrize(("savepoint", "released"), [(False, 2.5), (True, 9.0)])
def test_an_error_releases_the_locks_of_a_transaction_without_savepoints(
    savepoint: bool, released: float
) -> None:
    records = [*head(), *altered(1, 1.0, row("notes"))]
    records += [txn("savepoint", 1.9, 1.9, "in")] if savepoint else []
    records += [begin(2, 2.0, "SELECT 1/0"), end(2, 2.5, 0.5, "error", sqlstate="22012", error="division")]

    trace = build([*records, txn("rollback", 9.0, 9.0, "idle")])

    assert trace.statements[0].locks[0].released_mono == released
    assert trace.transactions[0].ended_mono == 9.0


def test_a_connection_that_was_lost_ended_its_transaction() -> None:
    trace = build(
        [
            *head(),
            *altered(1, 1.0, row("notes")),
            begin(2, 2.0, "SELECT 1"),
            end(2, 2.5, 0.5, "closed", sqlstate="25P03", error="terminating connection"),
        ]
    )

    assert trace.transactions[0].outcome == "rollback"
    assert trace.statements[0].locks[0].released_mono == 2.5


def test_what_a_statement_wrote_and_what_looking_cost() -> None:
    records = [*head(), *altered(1, 1.0, row("notes"), wal=[100, 700], cost_s=0.003)]
    records += [*altered(2, 2.0, row("notes"), wal=[None, 900], idle_in_transaction_session_timeout_s=30.0)]
    records += [record("slow", 2.2, cost_s=0.008)]

    trace = build(records)

    first, second = trace.statements
    assert (first.wal_bytes, first.tracer_s, first.idle_timeout_s) == (600, 0.003, None)
    assert (second.wal_bytes, second.idle_timeout_s) == (None, 30.0)
    assert trace.blind == ()
    assert "8 ms" in trace.slow[0]


def test_databases_do_not_share_their_oids() -> None:
    other = {"backend": 501, "lock_timeout_s": 0.0, "statement_timeout_s": 0.0, "database_oid": 5}
    records = [*head(), listed(0.5, *LISTED), {**record("conn", 0.6), **other}]
    records += [{**found, "backend": 501} for found in altered(1, 1.0, row("notes", file=99))]

    assert build(records).statements[0].rewrites == ()


# a pooler

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
