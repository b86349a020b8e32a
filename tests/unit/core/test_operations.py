"""Operations are packed in 24 bytes and come back whole, each with its record's key."""

from __future__ import annotations

import struct
import uuid

import pytest

from harness.core.blocks import Block, BlockStream
from harness.core.operations import (
    OPERATION_BYTES,
    KeyNumbers,
    OperationKind,
    OperationOutcome,
    OperationTable,
    draft_operation,
    pack_operations,
)

KEY, OTHER = uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID(int=7)


def table_of(
    records: bytes, keys: tuple[int, bytes], accounts: dict[int, str] | None = None
) -> OperationTable:
    stream = BlockStream("w1", records, {"accounts": accounts or {}}, (), (keys,))
    return OperationTable.join({"w1": 10.0}, [stream])


def an_operation(key: int) -> bytes:
    """A record of which only the key's number matters."""
    return pack_operations(draft_operation(0, 0, 0, 1, 0.0, 0.0, key, 0))


def test_an_operation_takes_24_bytes() -> None:
    assert OPERATION_BYTES == 24


def test_an_operation_comes_back_in_run_time() -> None:
    record = pack_operations(
        draft_operation(3, OperationKind.UPDATE, OperationOutcome.INDETERMINATE, 7, 1.5, 2.25, 0, 0)
    )
    (operation,) = table_of(record, (0, KEY.bytes), accounts={3: "ada"})
    assert operation.account == "ada"
    assert operation.key == str(KEY)
    assert (operation.kind, operation.outcome) == (OperationKind.UPDATE, OperationOutcome.INDETERMINATE)
    assert (operation.version, operation.worker) == (7, "w1")
    assert (operation.invoked, operation.ended) == pytest.approx((11.5, 12.25))


def test_an_account_whose_name_never_came_is_called_by_its_number() -> None:
    record = pack_operations(draft_operation(3, 0, 0, 1, 0.0, 0.0, 0, 0))
    assert [operation.account for operation in table_of(record, (0, KEY.bytes))] == ["#3"]


def test_an_instant_beyond_the_records_range_is_clamped() -> None:
    (operation,) = table_of(
        pack_operations(draft_operation(3, 0, 0, 1, -1.0, 50_000.0, 0, 0)), (0, KEY.bytes)
    )
    assert (operation.invoked, operation.ended) == pytest.approx((10.0, 42_959.67295))


def test_each_key_is_told_once() -> None:
    numbers = KeyNumbers()
    assert [numbers[key.int] for key in (KEY, OTHER, KEY)] == [0, 1, 0]
    assert numbers.take() == (0, KEY.bytes + OTHER.bytes)
    third = uuid.UUID(int=8)
    assert (numbers[OTHER.int], numbers[third.int]) == (1, 2)
    assert numbers.take() == (2, third.bytes)
    assert numbers.take() == (3, b"")


def test_how_many_keys_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes again is told again, and is the same record."""
    monkeypatch.setattr("harness.core.operations._MOST_NUMBERED", 2)
    numbers = KeyNumbers()
    given = [numbers[key] for key in (1, 2, 3, 1)]
    assert given == [0, 1, 2, 3]
    records = b"".join(an_operation(number) for number in given)
    table = table_of(records, numbers.take())
    assert [operation.key for operation in table] == [str(uuid.UUID(int=key)) for key in (1, 2, 3, 1)]
    assert len(table.keys) == 3


def test_keys_of_a_block_that_never_came_are_unlike_any_other() -> None:
    """Neither like a key that came, nor like the unknown one of the same number of another worker."""
    records = b"".join(an_operation(number) for number in (0, 1, 2, 2, 9))
    streams = [BlockStream(worker, records, {}, (1,), ((0, KEY.bytes),)) for worker in ("w1", "w2")]
    keys = [operation.key for operation in OperationTable.join({}, streams)]
    assert keys[0] == keys[5] == str(KEY)
    assert keys[2] == keys[3]
    assert len(set(keys)) == 7


def test_keys_survive_their_block() -> None:
    record = an_operation(5)
    block = Block("w1", 0, 1, record, {}, (5, KEY.bytes))
    assert [one.key for one in OperationTable.join({}, [BlockStream.join("w1", [block])])] == [str(KEY)]


def test_a_record_that_holds_its_key_is_read() -> None:
    record = struct.pack("<IBBBxIII16s", 3, 1, 0, 0, 7, 100_000, 200_000, KEY.bytes)
    (operation,) = OperationTable.join({}, [BlockStream.join("w1", [Block("w1", 0, 1, record)])])
    assert (operation.key, operation.version, operation.ended) == (str(KEY), 7, 2.0)
