"""The locks, rewrites and scans of statements, from what their snapshots tell."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.trace import Record
from harness.core.trace_fold import build
from tests.fix_trace import (
    BACKEND,
    EXCLUSIVE,
    INDEX,
    LISTED,
    TABLE,
    altered,
    begin,
    end,
    head,
    listed,
    record,
    row,
    snapshot,
    txn,
)


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


def test_databases_do_not_share_their_oids() -> None:
    other = {"backend": 501, "lock_timeout_s": 0.0, "statement_timeout_s": 0.0, "database_oid": 5}
    records = [*head(), listed(0.5, *LISTED), {**record("conn", 0.6), **other}]
    records += [{**found, "backend": 501} for found in altered(1, 1.0, row("notes", file=99))]

    assert build(records).statements[0].rewrites == ()
