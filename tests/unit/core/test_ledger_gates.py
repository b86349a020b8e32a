"""The gates over the ledger: lost and unexpected writes, duplicates, stale reads, totals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.operations import Operation, OperationKind
from harness.core.record import FinalRead
from tests.fix_gates import CREATE, result, shown
from tests.fix_ledger import a_key, a_read, an_operation, found, operations_of
from tests.fix_record import a_record, events


def test_hidden_writes_are_lost_to_whoever_made_them() -> None:
    hidden = (FinalRead("ada", 54.0, (), None, (found(1),), "w1"),)
    assert result(a_record(final_reads=hidden), "lost_writes").status == "fail"


@pytest.mark.parametrize(
    ("gate", "operation"),
    [
        ("unexpected_writes", a_read(7)),
        ("duplicates", a_read(1, 2)),
        ("stale_reads", a_read(0, 0)),
    ],
)
def test_what_a_read_showed_is_red_even_if_no_account_was_read_back(gate: str, operation: Operation) -> None:
    operations = operations_of(an_operation(CREATE, 1), operation)
    seen = result(a_record(operations=operations, final_reads=()), gate)
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why.startswith(f"{a_key('k1')} of ada: a read from 30.00 s to 30.10 s showed ")


def test_a_lost_transfer_is_red_even_if_nothing_else_was_written() -> None:
    gone = replace(shown()[0], stored=(), stored_transfers=())
    operations = operations_of(an_operation(OperationKind.TRANSFER, 0))
    assert result(a_record(operations=operations, final_reads=(gone,)), "lost_writes").status == "fail"


def test_a_loss_is_red_even_if_other_accounts_were_not_read() -> None:
    operations = operations_of(an_operation(CREATE, 1), an_operation(CREATE, 1, key="k2", account="bob"))
    seen = result(a_record(operations=operations, final_reads=shown()), "lost_writes")
    assert (seen.status, seen.observed) == ("fail", 1.0)
    assert seen.why == (
        f"{a_key('k1')} of ada: version 1 was acknowledged, nothing is there;"
        " 1 of 2 accounts was not read back"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"incomplete_workers": ("w1",)}, "the operations of 1 account are not all known"),
        (
            {"events": tuple(e for e in events() if e.kind != "worker_final"), "operations": operations_of()},
            "no write",
        ),
    ],
)
def test_no_loss_is_not_told_where_writes_are_unknown(changes: dict[str, Any], why: str) -> None:
    seen = result(a_record(**changes), "lost_writes")
    assert seen.status == "inconclusive"
    assert why in seen.why


def test_unexpected_writes_are_not_denied_where_an_account_was_not_read() -> None:
    unread = FinalRead("bob", 54.0, (), "timed out", None, "w1")
    seen = result(a_record(final_reads=(*shown(found(1)), unread)), "unexpected_writes")
    assert (seen.status, seen.why) == ("inconclusive", "1 of 2 accounts was not read back")
    strange = (*shown(found(1), found(1, "stranger")), unread)
    assert result(a_record(final_reads=strange), "unexpected_writes").status == "fail"
