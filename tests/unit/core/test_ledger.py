"""The ledger on literal histories: what was acknowledged against what is there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.core.ledger import Ledger, judge_ledger
from harness.core.operations import Operation, OperationKind, OperationOutcome
from harness.core.record import FinalRead, Found
from harness.core.timeline import Window
from tests.fix_ledger import a_key, a_read, an_operation, found, operations_of

CREATE, UPDATE, DELETE, TRANSFER, READ = OperationKind
OK, FAIL, MAYBE = OperationOutcome
History = Sequence[tuple[OperationKind, int, OperationOutcome]]


def judged(history: History, shown: Sequence[Found], stored: Sequence[Found] | None = None) -> Ledger:
    operations = [an_operation(*step, at=float(number)) for number, step in enumerate(history)]
    read = FinalRead("ada", 99.0, tuple(shown), None, None if stored is None else tuple(stored), "w1")
    return judge_ledger(operations_of(*operations), [read])


def faults(ledger: Ledger) -> dict[str, int]:
    kinds = ("lost", "hidden", "resurrected", "unexpected", "duplicated", "stale")
    counts = {kind: getattr(ledger, kind) or 0 for kind in kinds}
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
        ([(CREATE, 1, OK), (DELETE, 1, OK)], [found(1)], {"resurrected": 1}),
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
    assert faults(ledger) == {"duplicated": 1}


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


def test_only_versions_that_are_too_old_are_judged_where_operations_are_missing() -> None:
    """What is not there may have been deleted, what is there written, by an operation that never came."""
    operations = [an_operation(CREATE, 1), an_operation(CREATE, 1, key="k2"), an_operation(UPDATE, 2)]
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


# reads during the run


def read_at(*reads: Operation, last: Sequence[Found] = (found(2),)) -> Ledger:
    """A record created at 1 s and updated at 5 s, each in a tenth of a second, with reads in between."""
    writes = an_operation(CREATE, 1, at=1.0), an_operation(UPDATE, 2, at=5.0)
    return judge_ledger(operations_of(*writes, *reads), [FinalRead("ada", 99.0, tuple(last))])


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([a_read(2, at=6.0)], {}),
        ([a_read(1, at=6.0)], {"stale": 1}),
        ([a_read(1, at=6.0), a_read(2, at=7.0), a_read(1, at=8.0)], {"stale": 2}),
        ([a_read(0, at=6.0)], {}),  # an answer that tells no version
        ([a_read(0, 0, at=6.0)], {"stale": 1}),  # it found nothing
        ([a_read(0, 0, at=0.5)], {}),
        ([a_read(0, 0, at=1.05)], {}),  # while it was created
        ([a_read(1, at=5.05)], {}),  # while it was updated
        ([a_read(1, at=5.1)], {}),  # at the very instant
        ([a_read(1, at=4.0, took=5.0)], {}),
        ([a_read(2, at=5.05, took=0.01), a_read(1, at=5.07, took=0.01)], {"stale": 1}),  # it had been there
        ([a_read(2, at=4.0)], {"unexpected": 1}),  # before it was sent
        ([a_read(3, at=6.0)], {"unexpected": 1}),
        ([a_read(2, 2, at=6.0)], {"duplicated": 1}),
    ],
)
def test_a_read_during_the_run(reads: list[Operation], expected: dict[str, int]) -> None:
    ledger = read_at(*reads)
    assert faults(ledger) == expected
    assert ledger.absent == 0


@pytest.mark.parametrize(("read", "stale"), [(a_read(1, at=7.0), 1), (a_read(0, 0, at=7.0), 0)])
def test_after_a_delete_without_a_clear_end_a_record_may_be_gone_and_not_older(
    read: Operation, stale: int
) -> None:
    ledger = read_at(an_operation(DELETE, 2, MAYBE, at=6.0), read)
    assert faults(ledger) == ({"stale": stale} if stale else {})


def test_reads_of_which_nothing_was_known_are_not_counted() -> None:
    assert read_at(a_read(0, 0, at=0.5), a_read(1, at=3.0), a_read(2, at=6.0)).reads == 2


def test_reads_that_missed_what_is_lost_are_a_part_of_the_loss() -> None:
    ledger = read_at(a_read(2, at=5.5), a_read(1, at=6.0), a_read(1, at=7.0), last=[found(1)])
    assert faults(ledger) == {"lost": 1}
    (offender,) = ledger.offenders
    assert offender.last_seen == pytest.approx(5.6)
    showed = [(one.kind, one.version) for one in offender.history]
    assert showed == [(CREATE, 1), (UPDATE, 2), (READ, 2), (READ, 1), (READ, 1)]


def test_what_a_read_showed_and_nobody_acknowledged_may_not_go_either() -> None:
    operations = operations_of(an_operation(CREATE, 1, MAYBE), a_read(1, at=6.0))
    ledger = judge_ledger(operations, [FinalRead("ada", 99.0, ())])
    assert [one.why for one in ledger.offenders] == ["version 1 was shown by a read, nothing is there"]


def test_an_update_that_another_undid_is_lost_though_its_version_is_there() -> None:
    """The second could name the same version only because the first was gone."""
    twice = [(CREATE, 1, OK), (UPDATE, 2, OK), (UPDATE, 2, OK), (UPDATE, 3, OK)]
    assert faults(judged(twice, [found(3)])) == {"lost": 1}


def test_updates_that_bear_no_version_may_be_many() -> None:
    assert faults(judged([(CREATE, 1, OK), (UPDATE, 1, OK), (UPDATE, 1, OK)], [found(1)])) == {}


def test_a_deleted_record_that_was_shown_once_more_was_stale() -> None:
    writes = an_operation(CREATE, 1, at=1.0), an_operation(DELETE, 1, at=5.0)
    reads = a_read(1, at=5.05), a_read(1, at=6.0)
    ledger = judge_ledger(operations_of(*writes, *reads), [FinalRead("ada", 99.0, ())])
    assert faults(ledger) == {"stale": 1}
    assert "its delete was acknowledged before" in ledger.offenders[0].why


@pytest.mark.parametrize(("other_is_lost", "expected"), [(True, {"lost": 2}), (False, {"stale": 1})])
def test_what_was_deleted_before_it_was_seen_whole_again_is_told_as_the_rest(
    other_is_lost: bool, expected: dict[str, int]
) -> None:
    operations = operations_of(
        an_operation(CREATE, 1, at=1.0),
        an_operation(UPDATE, 2, at=2.0),
        a_read(1, at=3.0),
        an_operation(DELETE, 2, at=4.0),
        an_operation(CREATE, 1, key="k2"),
    )
    last = () if other_is_lost else (found(1, "k2"),)
    assert faults(judge_ledger(operations, [FinalRead("ada", 99.0, last)])) == expected


@pytest.mark.parametrize(
    "again",
    [
        a_read(2, at=3.5),
        an_operation(UPDATE, 3, at=3.5),  # it names the version that it builds on
    ],
)
def test_what_was_seen_whole_again_before_it_was_deleted_was_not_lost(again: Operation) -> None:
    operations = operations_of(
        an_operation(CREATE, 1, at=1.0),
        an_operation(UPDATE, 2, at=2.0),
        a_read(1, at=3.0),
        again,
        an_operation(DELETE, 2, at=4.0),
        an_operation(CREATE, 1, key="k2"),
    )
    assert faults(judge_ledger(operations, [FinalRead("ada", 99.0, ())])) == {"lost": 1, "stale": 1}


@pytest.mark.parametrize(
    ("read", "absent", "expected"),
    [
        (a_read(0, 0, at=6.0), 1, {}),
        (a_read(0, 0, at=7.0), 0, {"stale": 1}),
        (a_read(1, at=6.0), 0, {"stale": 1}),  # an older snapshot shows what it holds, or nothing
    ],
)
def test_a_record_may_be_absent_while_its_table_is_replaced(
    read: Operation, absent: int, expected: dict[str, int]
) -> None:
    writes = an_operation(CREATE, 1, at=1.0), an_operation(UPDATE, 2, at=5.0)
    final, swap = FinalRead("ada", 99.0, (found(2),)), Window("swap", 6.05, 6.2)
    ledger = judge_ledger(operations_of(*writes, read), [final], swaps=[swap])
    assert (ledger.absent, faults(ledger)) == (absent, expected)


def test_absent_while_its_table_is_replaced_and_ever_after_is_lost() -> None:
    operations = operations_of(an_operation(CREATE, 1), a_read(0, 0, at=6.0))
    ledger = judge_ledger(operations, [FinalRead("ada", 99.0, ())], swaps=[Window("swap", 6.0, 6.2)])
    assert (ledger.absent, faults(ledger)) == (0, {"lost": 1})


@pytest.mark.parametrize(("lost", "incomplete"), [(["w1"], []), ([], ["w1"])])
def test_reads_are_not_judged_where_writes_are_unknown(lost: list[str], incomplete: list[str]) -> None:
    operations = operations_of(an_operation(CREATE, 1), a_read(0, 0, at=6.0))
    ledger = judge_ledger(operations, [FinalRead("ada", 99.0, (found(1),), worker="w1")], lost, incomplete)
    assert (ledger.reads, ledger.stale) == (0, 0)


def test_twice_in_the_database_is_a_duplicate_too() -> None:
    assert faults(judged([(CREATE, 1, OK)], [found(1)], stored=[found(1), found(1)])) == {"duplicated": 1}


@pytest.mark.parametrize(
    ("outcome", "stored", "lost"),
    [(OK, (), 1), (OK, (a_key("t1"),), 0), (OK, None, 0), (MAYBE, (), 0), (FAIL, (), 0)],
)
def test_a_transfer_that_was_acknowledged_is_in_the_database(
    outcome: OperationOutcome, stored: tuple[str, ...] | None, lost: int
) -> None:
    read = FinalRead("ada", 99.0, (), stored_transfers=stored)
    ledger = judge_ledger(operations_of(an_operation(TRANSFER, 0, outcome, key="t1")), [read])
    assert ledger.lost == lost


def test_a_few_of_each_kind_of_offender_are_told() -> None:
    lost = [an_operation(CREATE, 1, key=f"k{number:02}") for number in range(50)]
    read = FinalRead("ada", 9.0, tuple(found(1, f"x{number}") for number in range(3)))
    told = [one.kind for one in judge_ledger(operations_of(*lost), [read]).offenders]
    assert told == ["lost"] * 7 + ["unexpected"] * 3
