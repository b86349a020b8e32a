"""Operations are packed in 36 bytes and come back whole."""

from __future__ import annotations

import uuid

import pytest

from harness.core.blocks import BlockStream
from harness.core.operations import (
    OPERATION,
    OperationKind,
    OperationOutcome,
    OperationTable,
    pack_operation,
)

KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")


def test_an_operation_takes_36_bytes() -> None:
    assert OPERATION.size == 36


def test_an_operation_comes_back_in_run_time() -> None:
    record = pack_operation(3, OperationKind.UPDATE, OperationOutcome.INDETERMINATE, 7, 1.5, 2.25, KEY)
    stream = BlockStream("w1", record, {"accounts": {3: "ada"}}, ())
    (operation,) = OperationTable.join({"w1": 10.0}, [stream])
    assert operation.account == "ada"
    assert operation.key == str(KEY)
    assert (operation.kind, operation.outcome) == (OperationKind.UPDATE, OperationOutcome.INDETERMINATE)
    assert (operation.version, operation.worker) == (7, "w1")
    assert (operation.invoked, operation.ended) == pytest.approx((11.5, 12.25))


def test_an_account_whose_name_never_came_is_called_by_its_number() -> None:
    record = pack_operation(3, 0, 0, 1, 0.0, 0.0, KEY)
    stream = BlockStream("w1", record, {}, ())
    assert [operation.account for operation in OperationTable.join({}, [stream])] == ["#3"]


def test_an_instant_beyond_the_records_range_is_clamped() -> None:
    record = pack_operation(3, 0, 0, 1, -1.0, 50_000.0, KEY)
    (operation,) = OperationTable.join({}, [BlockStream("w1", record, {}, ())])
    assert (operation.invoked, operation.ended) == pytest.approx((0.0, 42_949.67295))
