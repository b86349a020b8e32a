"""The series of the report's timeline."""

from __future__ import annotations

from dataclasses import replace

from harness.core.observation import Observed, ReplicaPoint
from harness.core.samples import Outcome
from harness.core.series import per_second
from harness.core.timeline import Timeline, cut
from tests.fix_record import a_record, a_wait, points, watched
from tests.fix_samples import samples
from tests.fix_several import BILLING, a_watch, several


def test_each_second_has_its_own_numbers() -> None:
    table = samples([(0.125, 0.25), (0.25, 0.5), (1.5, 1.0), (2.25, 0.125, Outcome.ERROR)])
    series = per_second(table, Timeline((), (), 3.5))
    assert series.t == (0.0, 1.0, 2.0, 3.0)
    assert series.rate == (2.0, 1.0, 1.0, 0.0)
    assert series.throughput == (2.0, 0.0, 1.0, 0.0)
    assert series.errors == (0.0, 0.0, 1.0, 0.0)
    assert series.max == (0.5, 1.0, None, None)
    assert series.p50 == (0.375, 1.0, None, None)


def test_latency_stands_where_the_request_was_due() -> None:
    series = per_second(samples([(0.5, 2.0)]), Timeline((), (), 3.0))
    assert series.p99 == (2.0, None, None)
    assert series.throughput == (0.0, 0.0, 1.0)


def test_other_steps() -> None:
    series = per_second(samples([(0.1, 0.1), (0.6, 0.1)]), Timeline((), (), 1.0), step_s=0.5)
    assert series.t == (0.0, 0.5)
    assert series.rate == (2.0, 2.0)


def test_nothing_is_no_steps() -> None:
    assert per_second(samples([]), Timeline((), (), 0.0)).t == ()


def test_samples_outside_the_run_are_left_out() -> None:
    series = per_second(samples([(-0.5, 0.1), (5.0, 0.1)]), Timeline((), (), 2.0))
    assert series.rate == (0.0, 0.0)
    assert series.p50 == (None, None)


def test_samples_alone_know_nothing_of_the_database() -> None:
    series = per_second(samples([(0.5, 0.1)]), Timeline((), (), 2.0))
    assert (series.blocked, series.wal, series.lag) == ((None, None),) * 3


def test_a_whole_record_has_the_same_clients() -> None:
    record, timeline = a_record(), Timeline((), (), 52.0)
    assert replace(per_second(record, timeline), blocked=(), wal=()) == replace(
        per_second(record.samples, timeline), blocked=(), wal=()
    )


def test_blocked_is_the_mean_number_of_sessions_that_waited() -> None:
    waits = (
        a_wait(1.5, 3.25, pid=600),
        a_wait(2.0, 2.5, pid=601),
        a_wait(4.75, None, pid=602, last_seen_at=5.0),
    )
    record = a_record(waits=waits, observed=watched(6.0, began_at=0.0))
    assert per_second(record, Timeline((), (), 8.0)).blocked == (0.0, 0.5, 1.5, 0.25, 0.25, 0.0, None, None)


def test_an_observer_that_died_knows_what_it_had_told() -> None:
    record = a_record(waits=(a_wait(1.0, 2.0),), observed=watched(began_at=0.5, ended_at=None))
    assert per_second(record, Timeline((), (), 3.0)).blocked == (0.0, 1.0, None)
    unseen = a_record(waits=(), observed=Observed())
    assert per_second(unseen, Timeline((), (), 2.0)).blocked == (None, None)


def test_nobody_was_counted_where_the_observer_could_not_see() -> None:
    gap = a_record(observed=watched(9.0, began_at=0.0, gaps=((0.8, 2.4),)))
    assert per_second(gap, Timeline((), (), 4.0)).blocked == (0.0, None, 0.0, 0.0)
    blind = a_record(observed=watched(9.0, began_at=0.0, why_blind="GRANT pg_monitor TO app;"))
    assert per_second(blind, Timeline((), (), 2.0)).blocked == (None, None)


def test_the_lag_is_the_longest_of_all_replicas_in_each_step() -> None:
    seen = [
        ReplicaPoint(at, "r1", "primary", lag)
        for at, lag in ((0.2, 0.5), (0.7, 1.5), (2.1, None), (9.0, 1.0))
    ]
    other = ReplicaPoint(0.9, "r2", "primary", 0.1)
    assert per_second(a_record(database=(*seen, other)), Timeline((), (), 4.0)).lag == (1.5, None, None, None)


def test_wal_is_the_rise_of_its_total() -> None:
    record = a_record(database=points(4, wal_bytes=[100, 300, 300, 1300]))
    assert per_second(record, Timeline((), (), 5.0)).wal == (200.0, 0.0, 1000.0, None, None)


def test_sessions_blocked_in_several_databases_are_counted_together() -> None:
    elsewhere = {BILLING: a_watch(waits=(a_wait(27.5, 28.0),))}
    record = several(waits=(a_wait(27.0, 28.0),), elsewhere=elsewhere)
    assert per_second(record, cut(record.events)).blocked[27] == 1.5
