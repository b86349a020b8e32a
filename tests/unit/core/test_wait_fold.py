"""Polls become waits, and every wait knows its root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.observation import LogEntry
from harness.core.wait_fold import SessionSeen, Sight, WaitFold, chain_to_root, end_from_log
from harness.core.waits import Wait

EVERY = 0.05


def sight(pid: int, start: float | None, *blocking: int, oid: int = 7) -> Sight:
    return Sight(pid, start, "relation", "RowExclusiveLock", "busy", oid, blocking)


def walk(
    fold: WaitFold, *polls: Sequence[Sight], sessions: Mapping[int, SessionSeen] | None = None
) -> list[Wait]:
    """Polls from 1.00 on, every 50 ms; the waits that ended."""
    ended = []
    for number, sights in enumerate(polls):
        ended += fold.poll(1.0 + number * EVERY, sights, sessions or {}, EVERY)
    return ended


def test_a_wait_lasts_from_waitstart_to_half_an_interval_after_its_last_sight() -> None:
    (wait,) = walk(WaitFold(), [sight(5, 0.98, 9)], [sight(5, 0.98, 9)], [])
    assert (wait.started_at, wait.seen, wait.provenance) == (0.98, 2, "observed")
    assert wait.ended_at == pytest.approx(1.075)
    assert (wait.relation, wait.blocking, wait.chain) == ("busy", (9,), (9,))


def test_a_poll_that_came_late_makes_no_short_wait_a_long_one() -> None:
    fold = WaitFold()
    fold.poll(1.0, [sight(5, 0.98, 9)], {}, EVERY)
    (wait,) = fold.poll(5.0, [], {}, 4.0)
    assert wait.ended_at == pytest.approx(1.5)


def test_another_waitstart_of_the_same_backend_is_another_wait() -> None:
    fold = WaitFold()
    (wait,) = walk(fold, [sight(5, 0.98, 9)], [sight(5, 1.01, 9)])
    assert wait.ended_at == pytest.approx(1.01)
    assert [left.started_at for left in fold.open] == [1.01]


def test_a_waitstart_that_comes_late_replaces_the_first_sight() -> None:
    fold = WaitFold()
    assert walk(fold, [sight(5, None, 9)], [sight(5, 0.99, 9)], [sight(5, 0.99, 9)]) == []
    assert [(left.started_at, left.seen) for left in fold.open] == [(0.99, 3)]


def test_a_waitstart_that_never_comes_counts_from_the_first_sight() -> None:
    (wait,) = walk(WaitFold(), [sight(5, None, 9)], [sight(5, None, 9)], [])
    assert wait.started_at == 1.0


def test_a_wait_for_another_lock_without_waitstart_is_another_wait() -> None:
    assert len(walk(WaitFold(), [sight(5, None, 9, oid=7)], [sight(5, None, 9, oid=8)])) == 1


def test_a_new_measure_of_the_clock_does_not_part_a_wait() -> None:
    fold = WaitFold()
    fold.poll(1.0, [sight(5, 100.9, 9)], {}, EVERY, ahead_s=100.0)
    assert fold.poll(1.05, [sight(5, 100.9, 9)], {}, EVERY, ahead_s=100.02) == []
    assert [wait.started_at for wait in fold.open] == [pytest.approx(0.9)]


def test_the_sessions_to_look_up_are_new_waiters_and_who_blocks_without_waiting() -> None:
    fold = WaitFold()
    assert fold.wanted([sight(5, 0.9, 6), sight(6, 0.8, 9, 0)]) == (5, 6, 9)
    walk(fold, [sight(5, 0.9, 6), sight(6, 0.8, 9, 0)])
    assert fold.wanted([sight(5, 0.9, 6), sight(6, 0.8, 9, 0)]) == (9,)


def test_the_root_of_a_queue_is_the_reader_idle_in_its_transaction() -> None:
    reader = SessionSeen(9, "psql", "client backend", "idle in transaction", "SELECT 1", transaction_s=4.0)
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 6), sight(6, 0.8, 9)], sessions={9: reader})
    waits = {wait.pid: wait for wait in fold.open}
    assert waits[5].chain == (6, 9)
    assert waits[5].root == waits[6].root == reader.as_blocker()


def test_a_root_that_has_just_let_go_is_told_as_it_was() -> None:
    holding = SessionSeen(9, state="active", query="ALTER TABLE", transaction_s=2.0)
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 9)], sessions={9: holding})
    fold.poll(1.05, [sight(5, 0.9, 9)], {9: SessionSeen(9, state="idle")}, EVERY)
    assert [wait.root for wait in fold.open] == [holding.as_blocker()]


@pytest.mark.parametrize("end", ["COMMIT", "rollback;", "END"])
def test_a_root_that_ends_its_transaction_is_named_by_what_it_did(end: str) -> None:
    fold = WaitFold()
    holding = SessionSeen(9, "psql", "client backend", "idle in transaction", "SELECT 1", None, 4.0)
    fold.poll(1.0, [sight(5, 0.98, 9)], {9: holding}, EVERY)
    ending = SessionSeen(9, "psql", "client backend", "active", end, None, 4.05)
    fold.poll(1.05, [sight(5, 0.98, 9)], {9: ending}, EVERY)
    assert [wait.root for wait in fold.open] == [replace(holding, transaction_s=4.05).as_blocker()]


def test_the_root_of_most_of_the_wait_is_named() -> None:
    fold = WaitFold()
    behind = [sight(5, 0.9, 6), sight(6, 0.8, 9)]
    has_it_now = [sight(5, 0.9, 6)]
    walk(fold, behind, behind, has_it_now, has_it_now)
    assert [(wait.pid, wait.chain, wait.seen) for wait in fold.open] == [(5, (6, 9), 4)]
    fold.poll(1.2, has_it_now, {}, EVERY)
    assert [(wait.pid, wait.chain, wait.seen) for wait in fold.open] == [(5, (6,), 5)]


def test_a_prepared_transaction_can_be_the_root() -> None:
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 0)])
    assert [wait.root and wait.root.state for wait in fold.open] == ["prepared transaction"]


def test_two_that_wait_for_each_other_have_no_root() -> None:
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 6), sight(6, 0.9, 5)])
    assert [(wait.root, wait.chain) for wait in fold.open] == [(None, (6, 5)), (None, (5, 6))]


def test_of_several_roots_the_oldest_transaction_is_named() -> None:
    assert chain_to_root(1, {1: (2, 3, 4)}, {2: 1.0, 3: 9.0, 4: 5.0}) == ((3,), True)


def test_who_holds_the_lock_comes_before_who_queues_for_it() -> None:
    assert chain_to_root(1, {1: (2, 3), 2: (3,)}) == ((3,), True)


def test_a_lost_connection_ends_what_was_open() -> None:
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 9)])
    (wait,) = fold.lost(EVERY)
    assert wait.ended_at == pytest.approx(1.025)
    assert fold.open == ()


def test_what_still_waits_at_the_end_has_no_end() -> None:
    fold = WaitFold()
    walk(fold, [sight(5, 0.9, 9)])
    (wait,) = fold.last()
    assert (wait.ended_at, wait.until, fold.open) == (None, 1.0, ())


ACQUIRED = LogEntry(6.0, "lock_acquired", pid=5, pids=(5,), wait_s=5.0)
WAITED = Wait(5, 1.003, 6.02, 6.0, "relation", "RowExclusiveLock")


def test_the_servers_log_makes_the_end_exact() -> None:
    exact = end_from_log(WAITED, ACQUIRED)
    assert exact is not None
    assert exact.ended_at == pytest.approx(6.003)
    assert exact.provenance == "exact"


@pytest.mark.parametrize(
    "entry",
    [
        LogEntry(9.0, "lock_acquired", pid=5, pids=(5,), wait_s=5.0),
        LogEntry(6.0, "lock_acquired", pid=6, pids=(6,), wait_s=5.0),
        LogEntry(6.0, "lock_wait", pid=5, pids=(5,), wait_s=5.0),
    ],
)
def test_the_end_of_another_wait_is_not_taken(entry: LogEntry) -> None:
    assert end_from_log(WAITED, entry) is None


graphs = st.dictionaries(
    st.integers(1, 8), st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple), min_size=1
)


@given(graphs)
def test_every_chain_ends_and_follows_the_blockers(graph: dict[int, tuple[int, ...]]) -> None:
    for pid in graph:
        chain, has_root = chain_to_root(pid, graph)
        steps = list(zip((pid, *chain), chain, strict=False))
        assert all(follower in graph[leader] for leader, follower in steps)
        assert (chain[-1] not in graph) == has_root


@given(graphs)
def test_a_root_is_found_wherever_one_can_be_reached(graph: dict[int, tuple[int, ...]]) -> None:
    for pid in graph:
        reached, edge = set[int](), set(graph[pid])
        while edge - reached:
            reached |= edge
            edge = {following for one in edge for following in graph.get(one, ())}
        assert chain_to_root(pid, graph)[1] == bool(reached - set(graph))


@given(st.lists(st.sets(st.integers(1, 5)), min_size=1, max_size=30))
def test_no_sight_is_lost_and_none_counted_twice(polls: list[set[int]]) -> None:
    fold = WaitFold()
    ended = walk(fold, *[[sight(pid, None, 9) for pid in sorted(pids)] for pids in polls])
    assert sum(wait.seen for wait in (*ended, *fold.last())) == sum(map(len, polls))
