"""Which requests suffered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.core.affected import Affected, Requests, in_any, share_in
from harness.core.samples import Outcome, SampleTable
from harness.core.timeline import Window
from tests.fix_record import tied_query
from tests.fix_samples import joined, samples, steady

BASELINE = Window("baseline", 5.0, 25.0)


def at(start: float, end: float, table: SampleTable) -> Affected:
    return Requests(table, BASELINE).affected(["SELECT 1"], [(start, end)])


def test_a_sample_overlaps_intervals_that_touch_its_time() -> None:
    table = samples([(1.0, 1.0), (3.0, 0.5), (6.0, 4.0), (11.0, 1.0)])
    intervals = [(8.0, 9.0), (1.5, 2.5), (2.0, 3.0), (7.0, 8.5)]
    assert in_any(table, intervals).tolist() == [True, True, True, False]
    assert in_any(table, []).tolist() == [False] * 4


def test_the_share_of_a_sample_counts_no_moment_twice() -> None:
    table = samples([(1.0, 1.0), (3.0, 0.5), (6.0, 4.0), (11.0, 1.0)])
    intervals = [(8.0, 9.0), (1.5, 2.5), (2.0, 3.0), (7.0, 8.5)]
    assert share_in(table, intervals).tolist() == [0.5, 0.0, 0.5, 0.0]
    assert share_in(table, []).tolist() == [0.0] * 4


def test_each_endpoint_is_slow_by_its_own_measure() -> None:
    slow = steady(latency=0.5, endpoint="POST /report")
    once = samples([(28.0, 0.3)])
    assert at(28.0, 28.5, joined(steady(), slow, once)).requests == 1


def test_a_rare_endpoint_is_measured_by_all() -> None:
    rare = samples([(float(n), 0.05, Outcome.OK, "GET /rare") for n in range(5, 52)])
    found = at(30.0, 30.01, joined(steady(latency=0.02), rare))
    assert (found.requests, found.endpoints) == (1, ("GET /rare",))


def test_without_a_baseline_only_failures_suffer() -> None:
    table = joined(
        steady(), samples([(28.0, 9.0), (28.0, 0.1, Outcome.ERROR), (28.0, 9.0, Outcome.UNFINISHED)])
    )
    assert Requests(table, None).affected(["SELECT 1"], [(28.0, 28.01)]).requests == 2


def test_the_most_affected_endpoint_comes_first() -> None:
    one = samples([(28.0, 3.0, Outcome.OK, "GET /a")])
    two = samples([(28.0, 3.0, Outcome.OK, "GET /b"), (28.1, 3.0, Outcome.OK, "GET /b")])
    assert at(28.0, 29.0, joined(steady(), one, two)).endpoints == ("GET /b", "GET /a")


def test_several_queries_of_one_request_are_one_request() -> None:
    queries = [tied_query(28.0, "SELECT 1"), tied_query(28.0, "SELECT 2")]
    assert Requests(steady(), BASELINE).affected(queries, []) == Affected(
        1, 1, ("GET /documents",), "traceparent"
    )


def test_of_two_samples_of_one_instant_the_slower_is_meant() -> None:
    table = joined(steady(), samples([(28.0, 3.0, Outcome.OK, "GET /slow")]))
    position = Requests(table, BASELINE).tied_to(tied_query(28.0))
    assert position is not None
    assert table.latency[position] == 3.0


def test_workers_are_told_apart() -> None:
    table = replace(steady(), workers=("w2",))
    assert Requests(table, BASELINE).tied_to(tied_query(28.0)) is None
    assert Requests(table, BASELINE).tied_to(tied_query(28.0, worker="w2")) is not None


def test_each_worker_counts_from_its_own_zero() -> None:
    table = samples([(27.0, 0.1), (28.0, 0.2), (29.0, 0.3)])
    table = replace(table, workers=("w1", "w2"), bases=(0.0, 1.0), worker=np.array([0, 1, 1]))
    requests = Requests(table, BASELINE)
    told = requests.tied([tied_query(27.0), tied_query(27.0, worker="w2"), tied_query(28.0)])
    assert told.tolist() == [0, 1, -1]


@pytest.mark.parametrize("query", ["SELECT 1", tied_query(28.000_05), tied_query(9999.0)])
def test_what_ties_to_no_sample_is_tied_to_none(query: str) -> None:
    assert Requests(steady(), BASELINE).tied_to(query) is None


def test_no_samples_are_no_requests() -> None:
    nothing = samples([])
    assert at(0.0, 1.0, nothing) == Affected(None, 0, (), "")
    assert Requests(nothing, None).tied_to(tied_query(1.0)) is None
