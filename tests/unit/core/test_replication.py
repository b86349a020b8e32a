"""How far a replica is behind, from positions in the WAL."""

from __future__ import annotations

import pytest

from harness.core.replication import (
    HIDDEN,
    NOT_STANDBY,
    PRIMARY,
    REPLICA,
    Positions,
    Reading,
    ReplicaFold,
    Sender,
)


def positions(*seen: tuple[float, int]) -> Positions:
    found = Positions()
    for at, position in seen:
        found.add(at, position)
    return found


STEADY = positions((1.0, 100), (2.0, 200), (3.0, 300))


@pytest.mark.parametrize(
    ("replayed", "lag_s", "behind"),
    [
        (300, 0.0, 0),
        (301, 0.0, 0),  # it replays faster than we look
        (299, 7.0, 1),  # the primary was first seen past it at 3
        (200, 7.0, 100),
        (150, 8.0, 150),
        (100, 8.0, 200),
    ],
)
def test_the_lag_is_the_time_since_the_primary_went_past(replayed: int, lag_s: float, behind: int) -> None:
    assert STEADY.lag_s(10.0, replayed, told_s=None) == lag_s
    assert STEADY.behind(replayed) == behind


def test_an_idle_primary_makes_no_lag_and_hides_none() -> None:
    idle = positions((1.0, 100), *((float(at), 100) for at in range(2, 60)))
    assert idle.lag_s(60.0, 100, told_s=None) == 0.0
    assert idle.lag_s(60.0, 99, told_s=None) == 59.0


@pytest.mark.parametrize(("told_s", "lag_s"), [(None, 9.0), (4.0, 9.0), (40.0, 40.0)])
def test_of_what_was_written_before_anybody_looked_the_server_knows_more(
    told_s: float | None, lag_s: float
) -> None:
    assert STEADY.lag_s(10.0, 50, told_s) == lag_s


def test_nothing_is_known_before_a_position_of_the_primary() -> None:
    assert positions().lag_s(10.0, 50, 3.0) is None
    assert positions().behind(50) is None


def test_a_server_whose_history_begins_anew_is_not_compared_with_the_old_one() -> None:
    restored = positions((1.0, 900), (2.0, 100), (3.0, 150))
    assert restored.lag_s(4.0, 100, told_s=None) == 1.0


def test_replicas_are_called_by_application_and_address() -> None:
    fold = ReplicaFold()
    senders = [
        Sender(31, "walreceiver", "10.0.0.2", "streaming", 100, 0.1, 0.2, 0.3),
        Sender(30, "walreceiver", "10.0.0.2", "streaming", 50),
        Sender(32, "", "", "streaming", 100),
    ]

    points = fold.primary(2.0, 100, senders)

    assert [(point.replica, point.behind_bytes) for point in points] == [
        ("walreceiver at 10.0.0.2", 50),
        ("walreceiver at 10.0.0.2 #2", 0),
        ("no name at a local socket", 0),
    ]
    assert {point.source for point in points} == {PRIMARY}
    assert (points[1].write_lag_s, points[1].flush_lag_s, points[1].replay_lag_s) == (0.1, 0.2, 0.3)


def test_what_the_role_may_not_see_is_unknown_and_not_zero() -> None:
    (point,) = ReplicaFold().primary(2.0, 100, [Sender(31, "walreceiver", "")])
    assert (point.lag_s, point.behind_bytes, point.why) == (None, None, HIDDEN)


def test_a_replica_counts_its_conflicts_since_the_first_reading() -> None:
    fold = ReplicaFold("10.0.0.2:5432")
    fold.primary(1.0, 100, [])
    totals = ((7, 0), (9, 1), (2, 1))

    seen = [
        fold.replica(Reading(2.0, 100, None, {"confl_lock": lock, "confl_snapshot": snapshot}), 0.0).conflicts
        for lock, snapshot in totals
    ]

    assert seen == [
        {"confl_lock": 0, "confl_snapshot": 0},
        {"confl_lock": 2, "confl_snapshot": 1},
        {"confl_lock": 4, "confl_snapshot": 1},  # it was started anew
    ]


def test_the_time_of_a_replicas_last_transaction_is_the_primarys() -> None:
    fold = ReplicaFold("10.0.0.2:5432")
    fold.primary(8.0, 100, [])
    point = fold.replica(Reading(9.0, 50, replayed_at=1_000_980.0), ahead_s=1_000_000.0)
    assert (point.source, point.lag_s) == (REPLICA, 1.0)
    long_behind = fold.replica(Reading(9.0, 50, replayed_at=999_980.0), ahead_s=1_000_000.0)
    assert long_behind.lag_s == 29.0


@pytest.mark.parametrize(
    ("reading", "why"), [(Reading(9.0, why="refused"), "refused"), (Reading(9.0), NOT_STANDBY)]
)
def test_a_replica_that_says_nothing_says_why(reading: Reading, why: str) -> None:
    point = ReplicaFold("10.0.0.2:5432").replica(reading, 0.0)
    assert (point.lag_s, point.why) == (None, why)
