"""Blocks survive the trip, and what is torn or missing is noticed."""

from __future__ import annotations

import struct
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.blocks import Block, BlockStream, read_blocks
from harness.core.samples import draft_sample, pack_samples


def a_block(sequence: int, payload: bytes = b"abc", worker: str = "w1", **names: str) -> Block:
    tables = {"endpoints": dict(names)} if names else {}
    return Block(worker, sequence, 1, payload, tables)


def test_blocks_read_back_as_written() -> None:
    blocks = [a_block(0, b"one"), a_block(1, b"two")]
    assert read_blocks(b"".join(block.encode() for block in blocks)) == (blocks, None)


@given(count=st.integers(0, 50), size=st.integers(0, 20), odd=st.integers(0, 3), random=st.randoms())
def test_records_of_any_number_and_size_read_back(count: int, size: int, odd: int, random: Random) -> None:
    """`odd` bytes more than whole records are no reason to lose any."""
    block = Block("w1", 0, count, random.randbytes(count * size + odd))
    assert read_blocks(block.encode()) == ([block], None)


def test_keys_read_back_as_written() -> None:
    block = Block("w1", 0, 2, b"onetwo", {}, (7, bytes(range(48))))
    assert read_blocks(block.encode() + a_block(1).encode()) == ([block, a_block(1)], None)


def test_a_block_in_rows_is_read() -> None:
    """As a record holds it that was made when payloads were compressed in rows."""
    header = b'{"count":2,"sequence":0,"tables":{},"worker":"w1"}'
    payload = zlib.compress(b"onetwo", 1)
    check = zlib.crc32(payload, zlib.crc32(header))
    data = struct.pack("<4sIII", b"MUL1", len(header), len(payload), check) + header + payload
    assert read_blocks(data) == ([Block("w1", 0, 2, b"onetwo")], None)


def test_columns_make_samples_smaller() -> None:
    random = Random(1)
    rows = [(n / 1000, n / 1000, n / 1000 + random.lognormvariate(-5, 0.6), n % 8, 0, 0) for n in range(1000)]
    samples = pack_samples(b"".join(draft_sample(*row) for row in rows))
    columns, in_rows = Block("w1", 0, len(rows), samples), Block("w1", 0, 0, samples)
    assert len(columns.encode()) < 0.75 * len(in_rows.encode())


def test_nothing_is_no_blocks() -> None:
    assert read_blocks(b"") == ([], None)


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_torn_tail_keeps_what_was_before_it(cut: int) -> None:
    data = a_block(0).encode()
    blocks, wrong = read_blocks(data + a_block(1).encode()[:-cut])
    assert blocks == [a_block(0)]
    assert wrong is not None


def test_a_few_bytes_at_the_end_are_a_torn_block() -> None:
    _, wrong = read_blocks(a_block(0).encode() + b"MUL1")
    assert wrong == "4 bytes of a torn block at the end"


def test_a_flipped_bit_is_noticed() -> None:
    first, second = a_block(0).encode(), bytearray(a_block(1).encode())
    second[-1] ^= 1
    blocks, wrong = read_blocks(first + bytes(second))
    assert blocks == [a_block(0)]
    assert wrong == f"a damaged block at byte {len(first)}; nothing after it was read"


def test_a_stream_is_joined_in_the_order_of_its_numbers() -> None:
    stream = BlockStream.join("w1", [a_block(1, b"two"), a_block(0, b"one")])
    assert stream.payload == b"onetwo"
    assert stream.missing == ()


def test_tables_of_later_blocks_add_names() -> None:
    first = Block("w1", 0, 1, b"", {"endpoints": {"0": "GET /a"}})
    second = Block("w1", 1, 1, b"", {"endpoints": {"1": "GET /b"}})
    assert BlockStream.join("w1", [first, second]).tables == {"endpoints": {0: "GET /a", 1: "GET /b"}}


def test_a_gap_is_missing() -> None:
    assert BlockStream.join("w1", [a_block(0), a_block(2)]).missing == (1,)


def test_blocks_that_were_announced_and_never_came_are_missing() -> None:
    assert BlockStream.join("w1", [a_block(0)], expected=3).missing == (1, 2)
    assert BlockStream.join("w1", [], expected=1).missing == (0,)
