"""Blocks survive the trip, and what is torn or missing is noticed."""

from __future__ import annotations

import pytest

from harness.core.blocks import Block, BlockStream, read_blocks


def a_block(sequence: int, payload: bytes = b"abc", worker: str = "w1", **names: str) -> Block:
    tables = {"endpoints": dict(names)} if names else {}
    return Block(worker, sequence, 1, payload, tables)


def test_blocks_read_back_as_written() -> None:
    blocks = [a_block(0, b"one"), a_block(1, b"two")]
    assert read_blocks(b"".join(block.encode() for block in blocks)) == (blocks, None)


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
