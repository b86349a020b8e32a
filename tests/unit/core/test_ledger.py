"""The ledger on literal histories: what was acknowledged against what is there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.events import Event, Kind
from harness.core.ledger import Ledger, judge_ledger, lost_workers
from harness.core.operations import Operation, OperationKind, OperationOutcome
from harness.core.record import FinalRead, Found
from tests.fix_record import a_key, an_operation, found, operations_of

CREATE, UPDATE, DELETE, TRANSFER = OperationKind
OK, FAIL, MAYBE = OperationOutcome
History = Sequence[tuple[OperationKind, int, OperationOutcome]]


def judged(history: History, shown: Sequence[Found], stored: Sequence[Found] | None = None) -> Ledger:
    operations = [an_operation(*step, at=float(number)) for number, step in enumerate(history)]
    read = FinalRead("ada", 99.0, tuple(shown), None, None if stored is None else tuple(stored), "w1")
    return judge_ledger(operations_of(*operations), [read])


def faults(ledger: Ledger) -> dict[str, int]:
    counts = {"lost": ledger.lost, "hidden": ledger.hidden or 0, "unexpected": ledger.unexpected}
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize(
    ("history", "shown", "expected"),
    [
        # empty
        ([], [], {}),
        # definite
        ([(CREATE, 1, OK)], [found(1)], {}),
        ([(CREATE, 1, OK)], [], {"lost": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(2)], {}),
        ([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(1)], {"lost": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(3)], {"unexpected": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(2, content=1)], {"lost": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(2, content=3)], {"unexpected": 1}),
        ([(CREATE, 1, OK), (DELETE, 1, OK)], [], {}),
        ([(CREATE, 1, OK), (DELETE, 1, OK)], [found(1)], {"unexpected": 1}),
        ([(CREATE, 1, FAIL)], [], {}),
        ([(CREATE, 1, FAIL)], [found(1)], {"unexpected": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, FAIL)], [found(1)], {}),
        ([(CREATE, 1, OK), (UPDATE, 2, FAIL)], [found(2)], {"unexpected": 1}),
        ([(CREATE, 1, OK), (DELETE, 1, FAIL)], [], {"lost": 1}),
        ([], [found(1)], {"unexpected": 1}),
        ([], [found(1, content=None)], {}),  # not one of this run's
        # indefinite
        ([(CREATE, 1, MAYBE)], [], {}),
        ([(CREATE, 1, MAYBE)], [found(1)], {}),
        ([(CREATE, 1, MAYBE)], [found(2)], {"unexpected": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, MAYBE)], [found(1)], {}),
        ([(CREATE, 1, OK), (UPDATE, 2, MAYBE)], [found(2)], {}),
        ([(CREATE, 1, OK), (UPDATE, 2, MAYBE)], [], {"lost": 1}),
        ([(CREATE, 1, OK), (UPDATE, 2, MAYBE), (UPDATE, 3, OK)], [found(2)], {"lost": 1}),
        ([(CREATE, 1, OK), (DELETE, 1, MAYBE)], [], {}),
        ([(CREATE, 1, OK), (DELETE, 1, MAYBE)], [found(1)], {}),
        ([(CREATE, 1, MAYBE), (CREATE, 1, OK), (DELETE, 1, OK)], [found(1)], {}),  # the first came late
        # a transfer is no record
        ([(TRANSFER, 0, OK)], [], {}),
    ],
)
def test_a_history(history: History, shown: Sequence[Found], expected: dict[str, int]) -> None:
    assert faults(judged(history, shown)) == expected


def test_absent_by_the_service_and_present_by_sql_is_hidden() -> None:
    ledger = judged([(CREATE, 1, OK)], [], stored=[found(1)])
    assert faults(ledger) == {"hidden": 1}


def test_absent_by_both_is_lost() -> None:
    assert faults(judged([(CREATE, 1, OK)], [], stored=[])) == {"lost": 1}


def test_hidden_is_unknown_when_no_database_was_asked() -> None:
    assert judged([(CREATE, 1, OK)], []).hidden is None


def test_writes_are_counted_and_transfers_apart() -> None:
    ledger = judged(
        [(CREATE, 1, OK), (UPDATE, 2, MAYBE), (UPDATE, 3, FAIL), (TRANSFER, 0, OK), (TRANSFER, 0, MAYBE)],
        [found(1)],
    )
    assert (ledger.acknowledged, ledger.indeterminate, ledger.transfers) == (1, 1, 1)


def test_a_record_shown_twice_is_a_duplicate() -> None:
    ledger = judged([(CREATE, 1, OK)], [found(1), found(1)])
    assert (ledger.duplicated, faults(ledger)) == (1, {})


def test_a_record_shown_to_another_account_is_unexpected() -> None:
    operations = [an_operation(CREATE, 1), an_operation(CREATE, 1, key="k2", account="bob")]
    reads = [FinalRead("ada", 9.0, (found(1), found(1, "k2"))), FinalRead("bob", 9.0, (found(1, "k2"),))]
    ledger = judge_ledger(operations_of(*operations), reads)
    assert [offender.why for offender in ledger.offenders] == ["it belongs to bob"]


@pytest.mark.parametrize(
    "reads", [[], [FinalRead("ada", 9.0, (), "page 2 timed out")], [FinalRead("ada", 9.0, (), worker="w1")]]
)
def test_an_account_that_was_not_read_is_not_judged(reads: list[FinalRead]) -> None:
    ledger = judge_ledger(
        operations_of(an_operation(CREATE, 1)), reads, lost=["w1"] if reads and not reads[0].error else []
    )
    assert (faults(ledger), ledger.unread, ledger.accounts_read) == ({}, ("ada",), 0)


def test_unexpected_records_are_not_judged_where_operations_are_missing() -> None:
    operations = [an_operation(CREATE, 1), an_operation(CREATE, 1, key="k2")]
    read = FinalRead("ada", 9.0, (found(1, "stranger"), found(1)), worker="w1")
    ledger = judge_ledger(operations_of(*operations), [read], incomplete=["w1"])
    assert faults(ledger) == {"lost": 1}
    assert ledger.unsure == ("ada",)


def test_the_offenders_come_with_their_history() -> None:
    ledger = judged([(CREATE, 1, OK), (UPDATE, 2, OK)], [found(1)])
    (offender,) = ledger.offenders
    assert (offender.kind, offender.account, offender.key) == ("lost", "ada", a_key("k1"))
    assert offender.why == "version 2 was acknowledged, version 1 is there"
    assert [operation.version for operation in offender.history] == [1, 2]


def test_only_the_first_offenders_are_told_and_all_are_counted() -> None:
    operations = [an_operation(CREATE, 1, key=f"k{number:02}") for number in range(50)]
    ledger = judge_ledger(operations_of(*operations), [FinalRead("ada", 9.0, ())])
    assert (ledger.lost, len(ledger.offenders)) == (50, 10)
    assert ledger.offenders[0].key == a_key("k00")


def test_lost_workers_are_those_that_never_delivered() -> None:
    log = [
        *(Event(0.0, Kind.WORKER_JOINED, {"worker": name}) for name in ("a", "b", "c")),
        Event(9.0, Kind.WORKER_FINAL, {"worker": "a"}),
        Event(9.0, Kind.WORKER_LOST, {"worker": "b"}),
    ]
    assert lost_workers(log) == {"b", "c"}


@given(
    writes=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    planted=st.data(),
)
def test_a_planted_loss_is_always_found_and_nothing_else(writes: list[int], planted: st.DataObject) -> None:
    """Every key is written up to its version; then one is dropped, or set back, from what is shown."""
    operations: list[Operation] = []
    for number, newest in enumerate(writes):
        for version in range(1, newest + 1):
            kind = CREATE if version == 1 else UPDATE
            operations.append(an_operation(kind, version, key=f"k{number}", at=float(version)))
    shown = [found(newest, f"k{number}") for number, newest in enumerate(writes)]
    table = operations_of(*operations)
    assert faults(judge_ledger(table, [FinalRead("ada", 99.0, tuple(shown))])) == {}
    victim = planted.draw(st.integers(0, len(writes) - 1))
    back_to = planted.draw(st.integers(0, writes[victim] - 1))
    shown[victim : victim + 1] = [found(back_to, f"k{victim}")] if back_to else []
    ledger = judge_ledger(table, [FinalRead("ada", 99.0, tuple(shown))])
    assert faults(ledger) == {"lost": 1}
    assert ledger.offenders[0].key == a_key(f"k{victim}")
