"""Which operations wait for which locks."""

from __future__ import annotations

import pytest

from harness.core.locks import CONFLICTS, MODES, OPERATIONS, blocked_by, blocks, strongest
from harness.core.trace import Lock

WRITES = ("INSERT", "UPDATE", "DELETE")


def held(relation: str, kind: str, mode: str, of: str | None = None) -> Lock:
    return Lock(relation, kind, mode, 1.0, None, of=of)


def test_conflicts_are_mutual() -> None:
    assert set(CONFLICTS) == set(MODES)
    assert all((a in CONFLICTS[b]) == (b in CONFLICTS[a]) for a in MODES for b in MODES)
    # The number of crosses in each row of the documentation's table.
    assert [len(CONFLICTS[mode]) for mode in MODES] == [1, 2, 4, 5, 5, 6, 7, 8]


def test_three_modes_conflict_with_themselves_less_than_the_order_says() -> None:
    assert "ShareLock" not in CONFLICTS["ShareLock"]
    assert "ShareUpdateExclusiveLock" in CONFLICTS["ShareUpdateExclusiveLock"]
    assert "RowExclusiveLock" not in CONFLICTS["RowExclusiveLock"]


def test_strongest() -> None:
    assert strongest([]) is None
    assert strongest(["RowShareLock", "ShareLock", "AccessShareLock"]) == "ShareLock"
    assert strongest(["SIReadLock", "AccessShareLock"]) == "AccessShareLock"


@pytest.mark.parametrize(
    ("mode", "waiting"),
    [
        ("AccessShareLock", ()),
        ("RowShareLock", ()),
        ("RowExclusiveLock", ()),
        ("ShareUpdateExclusiveLock", ()),
        ("ShareLock", WRITES),
        ("ShareRowExclusiveLock", WRITES),
        ("ExclusiveLock", (*WRITES, "SELECT FOR UPDATE")),
        ("AccessExclusiveLock", OPERATIONS),
    ],
)
def test_what_waits_for_a_lock_on_a_table_or_on_its_index(mode: str, waiting: tuple[str, ...]) -> None:
    assert blocks([held("busy", "r", mode)], "busy") == waiting
    assert blocks([held("busy_pkey", "i", mode, of="busy")], "busy") == waiting


def test_only_inserts_ask_a_sequence() -> None:
    altered = held("busy_id_seq", "S", "ShareRowExclusiveLock", of="busy")
    used = held("busy_id_seq", "S", "RowExclusiveLock", of="busy")

    assert blocks([altered], "busy") == ("INSERT",)
    assert blocks([used], "busy") == ()
    assert blocked_by([held("free_seq", "S", "ShareRowExclusiveLock")]) == {}


def test_toast_counts_as_its_table() -> None:
    toast = held("pg_toast.pg_toast_7", "t", "AccessExclusiveLock", of="busy")

    assert blocked_by([toast]) == {"busy": OPERATIONS}


def test_a_materialized_view_is_only_read() -> None:
    assert blocks([held("mv", "m", "ExclusiveLock")], "mv") == ()
    assert blocks([held("mv", "m", "AccessExclusiveLock")], "mv") == ("SELECT",)


def test_reindex_blocks_reads_through_the_index() -> None:
    locks = [
        held("busy", "r", "ShareLock"),
        held("busy_pkey", "i", "AccessExclusiveLock", of="busy"),
        held("child", "r", "ShareUpdateExclusiveLock"),
        held("customers", "r", "ShareRowExclusiveLock"),
    ]

    assert blocked_by(locks) == {"busy": OPERATIONS, "customers": WRITES}
    assert blocks(locks, "child") == blocks(locks, "elsewhere") == ()
