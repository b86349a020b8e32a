"""What clients saw in a window, on literal samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.core.client import (
    NOTHING,
    broken_before,
    inside,
    rate,
    slices_with,
    stall,
    summaries,
    tail_with,
    throughput,
)
from harness.core.samples import Outcome
from harness.core.timeline import Window
from tests.fix_samples import ENDPOINT, joined, samples, steady

OK, ERROR, UNFINISHED = Outcome.OK, Outcome.ERROR, Outcome.UNFINISHED
TEN = Window("w", 10.0, 20.0)


@pytest.mark.parametrize(
    ("at", "latency", "belongs"),
    [
        (9.0, 0.5, False),
        (9.0, 1.0, True),  # ended as the window began
        (5.0, 30.0, True),  # waited through all of it
        (19.9, 5.0, True),
        (20.0, 0.1, False),  # the window is half open
    ],
)
def test_a_sample_belongs_where_its_interval_overlaps(at: float, latency: float, belongs: bool) -> None:
    assert len(inside(samples([(at, latency)]), TEN)) == belongs


def test_one_endpoint_is_picked_by_its_name() -> None:
    table = samples([(11.0, 0.1, OK, "GET /a"), (12.0, 0.1, OK, "GET /b")])
    assert len(inside(table, TEN, "GET /b")) == 1
    assert len(inside(table, TEN, "GET /c")) == 0


def test_throughput_counts_ok_answers_by_their_end() -> None:
    table = samples([(9.5, 1.0), (19.5, 1.0), (15.0, 0.1, ERROR), (16.0, 0.1, UNFINISHED)])
    assert throughput(table, TEN) == pytest.approx(0.1)


def test_rate_counts_sends_whatever_came_of_them() -> None:
    table = samples([(9.5, 1.0), (19.5, 1.0), (15.0, 0.1, ERROR), (16.0, 0.1, UNFINISHED)])
    assert rate(table, TEN) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("rows", "longest"),
    [
        ([], None),
        ([(11.0, 0.2), (12.0, 0.7)], 0.7),
        ([(11.0, 0.6, ERROR), (19.0, 0.5)], 0.6),  # one error counts for its own duration
        ([(11.0, 0.1, ERROR), (12.0, 0.1, ERROR), (13.0, 0.2)], 1.1),  # a run of them from first to last
        ([(11.0, 0.1, ERROR), (12.0, 0.1), (13.0, 0.1, ERROR)], 0.1),  # an answer between them ends it
        ([(11.0, 3.0, ERROR), (12.0, 0.1, ERROR)], 3.0),  # the latest end counts
        ([(11.0, 0.1, ERROR), (12.0, 40.0, UNFINISHED)], 41.0),
        ([(11.0, 0.1, ERROR, "GET /a"), (11.5, 0.1, OK, "GET /b"), (12.0, 0.1, ERROR, "GET /a")], 1.1),
        ([(11.0, 0.1, ERROR, "GET /a"), (12.0, 0.1, ERROR, "GET /b")], 0.1),  # each endpoint by itself
    ],
)
def test_a_stall_is_the_longest_time_an_arrival_was_due(
    rows: list[tuple[float, float]], longest: float | None
) -> None:
    assert stall(samples(rows), TEN) == (None if longest is None else pytest.approx(longest))


def test_an_endpoint_that_was_broken_before_has_no_stall() -> None:
    broken = steady(rate=1, outcome=ERROR, endpoint="GET /broken")
    table = joined(steady(), broken)
    assert broken_before(table, TEN) == ("GET /broken",)
    assert stall(table, TEN) == pytest.approx(0.02)
    assert stall(broken, TEN) is None


def test_a_few_failures_before_do_not_make_it_broken() -> None:
    table = samples([(number, 0.1, ERROR) for number in (6.0, 7.0, 8.0, 9.0, 11.0)])
    assert broken_before(table, TEN) == ()
    assert stall(table, TEN) == pytest.approx(0.1)


def test_an_endpoint_that_was_answered_once_was_not_broken() -> None:
    table = joined(samples([(1.0, 0.1)]), steady(2.0, 20.0, outcome=ERROR))
    assert broken_before(table, TEN) == ()


def test_a_stall_of_one_endpoint() -> None:
    table = samples([(11.0, 2.0, OK, "GET /a"), (11.5, 0.1, OK, "GET /b")])
    assert stall(table, TEN, "GET /b") == pytest.approx(0.1)


@given(
    st.lists(
        st.tuples(
            st.floats(5, 30),
            st.floats(0, 5),
            st.sampled_from(list(Outcome)),
            st.sampled_from(["GET /a", "GET /b"]),
        ),
        max_size=30,
    )
)
def test_a_stall_is_what_the_definition_says(rows: list[tuple[float, float, Outcome, str]]) -> None:
    waits = []
    assume(not broken_before(samples(rows), TEN))
    since: dict[str, float] = {}
    for at, latency, outcome, name in sorted(rows, key=lambda row: row[0]):
        if not (at < TEN.end and at + latency >= TEN.start):
            continue
        if outcome == OK:
            since.pop(name, None)
            waits.append(latency)
        else:
            waits.append(at + latency - since.setdefault(name, at))
    found = stall(samples(rows), TEN)
    assert found == (pytest.approx(max(waits)) if waits else None)


@given(
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 50), st.just(OK), st.sampled_from("ab")), max_size=40),
    st.sampled_from([None, "a", "c"]),
)
def test_inside_is_what_overlaps(rows: list[tuple[float, float, Outcome, str]], name: str | None) -> None:
    table = samples(rows)
    window = Window("w", 30.0, 40.0)
    found = inside(table, window, name)
    overlap = (table.at < window.end) & (table.end >= window.start)
    own = np.array([name is None or table.endpoints[n] == name for n in table.endpoint], np.bool_)
    assert found.at.tolist() == table.at[overlap & own].tolist()
    assert found.latency.tolist() == table.latency[overlap & own].tolist()


def test_nothing_is_inside_a_window_of_no_length_but_what_spans_it() -> None:
    assert len(inside(steady(), Window("w", 10.001, 10.001))) == 2  # each takes 20 ms, one begins every 10


def test_slices_hold_enough_samples_each() -> None:
    assert [(s.start, s.end) for s in slices_with(steady(rate=100), TEN, 200)] == [(10, 15), (15, 20)]


def test_a_slice_with_too_few_is_merged_with_its_neighbour() -> None:
    late = joined(steady(10.0, 15.0, rate=10), steady(15.0, 20.0, rate=100))
    early = joined(steady(10.0, 15.0, rate=100), steady(15.0, 20.0, rate=10))
    assert [(s.start, s.end) for s in slices_with(late, TEN, 200)] == [(10, 20)]
    assert [(s.start, s.end) for s in slices_with(early, TEN, 200)] == [(10, 20)]


def test_a_window_with_too_few_has_no_slices() -> None:
    assert slices_with(steady(rate=10), TEN, 200) == ()


def test_the_tail_grows_until_it_holds_enough() -> None:
    assert tail_with(steady(rate=100), TEN, 200).start == 15.0
    assert tail_with(steady(rate=25), TEN, 200).start == 12.0
    assert tail_with(steady(rate=1), TEN, 200) == TEN


def test_a_summary_of_nothing_is_unknown_not_zero() -> None:
    found, each = summaries(samples([]), TEN)
    assert each == {}
    assert found.requests == 0
    assert (found.rate, found.error_ratio, found.p50, found.max, found.stall_s) == (None,) * 5


def test_a_summary_without_an_ok_answer_has_no_latency() -> None:
    found, each = summaries(samples([(11.0, 0.1, ERROR)]), TEN)
    assert each == {ENDPOINT: found}
    assert (found.requests, found.error_ratio, found.p95, found.throughput) == (1, 1.0, None, 0.0)


def test_a_summary_of_one_endpoint() -> None:
    table = joined(steady(latency=0.02), steady(rate=10, latency=0.3, endpoint="POST /documents"))
    whole, each = summaries(table, TEN)
    assert each[ENDPOINT].p95 == pytest.approx(0.02)
    assert each["POST /documents"].p95 == pytest.approx(0.3)
    assert whole.requests == each[ENDPOINT].requests + each["POST /documents"].requests
    assert whole.stall_s == each["POST /documents"].stall_s == pytest.approx(0.3)


def test_a_summary_tells_what_was_due_from_what_was_sent_and_latency_from_service_time() -> None:
    held = samples((10 + n / 100, 2.02 - n / 100) for n in range(200))  # all are sent at 12
    found, _ = summaries(replace(held, service=np.full(200, 0.02)), Window("w", 10.0, 12.0))
    assert (found.due_rate, found.rate, found.throughput) == (100.0, 0.0, 0.0)
    assert (found.service_p50, found.service_p99) == (0.02, 0.02)
    assert found.p50 == pytest.approx(1.025)
    assert found.lag_p99 == pytest.approx(1.98, abs=0.01)


def test_an_endpoint_that_nobody_asked_in_the_window_has_a_summary_of_nothing() -> None:
    table = joined(steady(), steady(end=5.0, endpoint="POST /documents"))
    assert summaries(table, TEN)[1]["POST /documents"] == NOTHING
