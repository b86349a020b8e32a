"""Samples are packed exactly to a microsecond and joined over workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.blocks import BlockStream
from harness.core.samples import SAMPLE, Outcome, SampleTable, draft_sample, pack_samples
from tests.fix_samples import columns


def a_stream(worker: str, *records: bytes, endpoints: dict[int, str], missing: int = 0) -> BlockStream:
    causes = {1: "timeout"}
    return BlockStream(worker, b"".join(records), {"endpoints": endpoints, "causes": causes}, ())


def a_draft(
    at: float, latency: float, service: float, endpoint: int = 0, outcome: int = 0, cause: int = 0
) -> bytes:
    """Of a request that was intended for `at`."""
    return draft_sample(at, at + latency - service, at + latency, endpoint, outcome, cause)


def a_sample(*numbers: Any) -> bytes:
    """The record of `a_draft`."""
    return pack_samples(a_draft(*numbers))


def test_a_sample_takes_16_bytes() -> None:
    assert SAMPLE.size == 16


@given(st.floats(0, 40_000), st.floats(0, 4_000), st.floats(0, 4_000))
def test_packing_keeps_instants_to_ten_and_durations_to_one_microsecond(
    intended: float, latency: float, service: float
) -> None:
    stream = a_stream("w", a_sample(intended, latency, service, 0, 0, 0), endpoints={0: "GET /"})
    table = SampleTable.join({}, [stream])
    assert table.at[0] == pytest.approx(intended, abs=1e-5)
    assert table.latency[0] == pytest.approx(latency, abs=1e-6)
    assert table.service[0] == pytest.approx(service, abs=1e-6)


def test_what_a_record_cannot_hold_is_clamped() -> None:
    assert SAMPLE.unpack(a_sample(-1.0, 1e9, -0.5, 3, 1, 2)) == (0, 0xFFFFFFFF, 0, 3, 1, 2)


def test_many_samples_are_packed_as_each_would_be() -> None:
    one, other = a_draft(1.23456, 0.1, 0.05, 3, 1, 2), a_draft(2.0, 0.2, 0.2, 0, 0, 0)
    assert pack_samples(one + other) == pack_samples(one) + pack_samples(other)
    assert pack_samples(b"") == b""


def test_workers_are_joined_in_run_time_with_one_numbering() -> None:
    one = a_stream("w1", a_sample(2.0, 0.1, 0.1, 0, 0, 0), endpoints={0: "GET /a"})
    two = a_stream("w2", a_sample(0.5, 0.2, 0.2, 0, 1, 1), endpoints={0: "GET /b"})
    table = SampleTable.join({"w1": 0.0, "w2": 1.0}, [one, two])
    assert table.at.tolist() == pytest.approx([1.5, 2.0])
    assert [table.endpoints[n] for n in table.endpoint] == ["GET /b", "GET /a"]
    assert [table.causes[n] for n in table.cause] == ["timeout", ""]
    assert table.outcome.tolist() == [Outcome.ERROR, Outcome.OK]


def test_an_endpoint_whose_name_never_came_is_called_by_its_number() -> None:
    table = SampleTable.join({}, [a_stream("w1", a_sample(0, 0, 0, 4, 0, 0), endpoints={})])
    assert table.endpoints[table.endpoint[0]] == "#4"


def test_no_streams_are_an_empty_table() -> None:
    table = SampleTable.join({}, [])
    assert len(table) == 0
    assert table.end.dtype == np.float64


def test_an_empty_stream_adds_nothing() -> None:
    assert len(SampleTable.join({}, [a_stream("w1", endpoints={})])) == 0


def test_the_end_is_the_start_and_the_latency() -> None:
    stream = a_stream("w1", a_sample(2.0, 0.25, 0.1, 0, 0, 0), endpoints={0: "GET /"})
    assert SampleTable.join({"w1": 10.0}, [stream]).end.tolist() == pytest.approx([12.25])


def test_a_sample_is_found_by_its_worker_and_its_tick() -> None:
    one = a_stream("w1", a_sample(2.0, 0.1, 0.1, 0, 0, 0), endpoints={0: "GET /a"})
    two = a_stream("w2", a_sample(0.12345, 0.2, 0.2, 0, 0, 0), endpoints={0: "GET /a"})
    table = SampleTable.join({"w2": 3601.000001}, [one, two])
    assert [table.workers[number] for number in table.worker] == ["w1", "w2"]
    assert table.tick.tolist() == [200_000, 12_345]
    assert SampleTable.join({}, []).tick.tolist() == []


def test_a_sample_takes_no_more_memory_than_its_numbers_need() -> None:
    table = SampleTable.join({}, [a_stream("w1", a_sample(1, 1, 1, 0, 0, 1), endpoints={0: "GET /"})])
    assert sum(column.itemsize for column in columns(table)) == 31


def test_more_endpoints_over_all_workers_than_one_worker_can_number() -> None:
    names = {number: f"GET /{number}" for number in range(0x10000)}
    others = {number: f"PUT /{number}" for number in range(0x10000)}
    last = 0xFFFF
    streams = [
        a_stream("w1", a_sample(0, 0.1, 0.1, last, 0, 0), endpoints=names),
        a_stream("w2", a_sample(1, 0.1, 0.1, last, 0, 0), endpoints=others),
    ]
    table = SampleTable.join({}, streams)
    assert [table.endpoints[number] for number in table.endpoint] == ["GET /65535", "PUT /65535"]


def test_those_that_took_long_are_told_by_their_positions() -> None:
    records = [a_sample(at, latency, 0.1, 0, 0, 0) for at, latency in ((1, 10.0), (2, 10.1), (3, 0.1))]
    table = SampleTable.join({}, [a_stream("w1", *records, endpoints={0: "GET /"})])
    assert table.long.tolist() == [1]


def test_a_slice_shares_the_columns() -> None:
    records = [a_sample(at, 0.1, 0.1, 0, 0, 0) for at in (1.0, 2.0, 3.0)]
    table = SampleTable.join({}, [a_stream("w1", *records, endpoints={0: "GET /"})])
    middle = table.where(slice(1, 2))
    assert middle.at.tolist() == pytest.approx([2.0])
    assert np.shares_memory(middle.at, table.at)
