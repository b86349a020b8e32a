"""The traceparent header: made, found again in a comment, and tied to the sample as it is packed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.samples import SAMPLE, U32, draft_sample, pack_samples
from harness.core.traceparent import Tie, make, packed_start, parse, worker_crc

VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01")
"""https://www.w3.org/TR/trace-context/#version-format"""


def test_a_header_is_made_of_worker_tick_user_and_counter() -> None:
    made = make("local", 1_234_567, 42, 7)
    assert made == f"00-{worker_crc('local'):08x}000000000012d6870000002a-0000000000000007-01"


@given(st.text(max_size=20), st.integers(0, U32), st.integers(0, U32), st.integers(0, 2**63))
def test_every_header_is_valid_and_is_found_again(worker: str, tick: int, user: int, counter: int) -> None:
    made = make(worker, tick, user, counter)
    assert VALID.fullmatch(made)
    found = parse(f"/*traceparent='{made}'*/ SELECT 1")
    assert found is not None
    assert (found.worker_crc, found.tick) == (worker_crc(worker), tick)
    assert found.user == user or (worker_crc(worker), tick, user) == (0, 0, 0)


def test_no_id_is_zeros_alone() -> None:
    assert worker_crc("") == 0
    assert make("", 0, 0, 0) == f"00-{'0' * 31}1-{'0' * 15}1-01"


@given(st.floats(min_value=-10, max_value=50_000))
def test_the_tick_is_the_one_that_is_packed_with_the_sample(intended_s: float) -> None:
    intended, *_ = SAMPLE.unpack(pack_samples(draft_sample(intended_s, 0.1, 0.1, 0, 0, 0)))
    assert packed_start(intended_s) == intended


@pytest.mark.parametrize(
    "place", ["{0} SELECT 1", "SELECT 1 {0}", "SELECT 1 -- {0}", "UPDATE t {0} SET a = 1"]
)
def test_it_is_found_wherever_the_comment_stands(place: str) -> None:
    made = make("local", 5, 3, 1)
    comment = f"/*db_driver='psycopg',traceparent='{made}'*/"
    assert parse(place.format(comment)) == Tie(worker_crc("local"), 5, 3)


def test_a_service_that_makes_its_own_span_keeps_the_tie() -> None:
    made = make("local", 5, 3, 1).replace("0000000000000001-01", "00f067aa0ba902b7-00")
    assert parse(f"SELECT 1 /*traceparent='{made}'*/") == Tie(worker_crc("local"), 5, 3)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "",
        "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",  # another tool's
        f"/*traceparent='00-{'0' * 32}-00f067aa0ba902b7-01'*/",
        f"/*traceparent='00-00000001{'0' * 23}1-{'0' * 16}-01'*/",
        f"/*traceparent='{make('local', 5, 3, 1)[:40]}",  # cut off by track_activity_query_size
    ],
)
def test_what_is_not_ours_ties_nothing(text: str) -> None:
    assert parse(text) is None
