"""The ledger's judgement: what was acknowledged against what reads showed, during the run and at its end.

A record is *lost* when what was acknowledged, or shown by a read, is not there at the end; *hidden* when
only SQL finds it; *resurrected* when its delete was acknowledged and it is there; *unexpected* when nobody
can have written what is there; *duplicated* when it is there more than once. A read during the run is *stale*
when it showed less than was there before it began, and what it missed was there after all; reads that missed
what is lost are a part of that loss. A read that found nothing at the instant when a migration put another
table in the place of the old one is *absent*, and nobody's fault: a transaction with an older snapshot finds
the new table empty (https://www.postgresql.org/docs/current/mvcc-caveats.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.core.ledger_final import (
    Keys,
    Offender,
    duplicates,
    missing,
    missing_transfers,
    overwritten,
    wrong,
)
from harness.core.ledger_reads import Reads, judge_reads
from harness.core.operations import Bools, Operation, OperationKind, OperationOutcome, OperationTable
from harness.core.record import FinalRead
from harness.core.samples import Ints
from harness.core.timeline import Window

__all__ = ["Ledger", "Offender", "judge_ledger"]

OFFENDERS = 10
"""How many offenders are told with their history, of each kind alike as far as there are any."""

HISTORY = 20
"""How many operations of an offender are told, the last ones."""

KINDS = ("lost", "resurrected", "hidden", "unexpected", "duplicated", "stale")
"""In the order in which they are told."""


@dataclass(frozen=True)
class Ledger:
    """Counts of writes (transfers apart, but for those that are `lost`), and of what is not as it was
    acknowledged: records, or, of `stale` and `absent`, reads. `reads` are those of which anything was known
    before.

    `hidden` is None when no database was asked. `unread` are accounts that wrote and whose records were not,
    or not completely, read back; `unsure` those whose operations are not all known.
    """

    acknowledged: int
    indeterminate: int
    transfers: int
    lost: int
    hidden: int | None
    resurrected: int
    unexpected: int
    duplicated: int
    reads: int
    stale: int
    absent: int
    accounts_read: int
    unread: tuple[str, ...]
    unsure: tuple[str, ...]
    offenders: tuple[Offender, ...]


def judge_ledger(
    operations: OperationTable,
    final_reads: Sequence[FinalRead],
    lost: Iterable[str] = (),
    incomplete: Iterable[str] = (),
    swaps: Sequence[Window] = (),
) -> Ledger:
    """Compare the operations with the final reads, and the reads among them with the writes before them.

    A record found is this run's when its text claims a version (`Found.content`). Accounts of the workers in
    `lost` are not judged. Of those of workers in `incomplete` some operations never came, which may have
    deleted what is not there, or written what is: they are judged only for versions that are too old. In
    `swaps` a table is put in the place of another.
    """
    keys, workers = Keys.of(operations), _workers(operations)
    gone, unsure_workers = set(lost), set(incomplete)
    reads = {read.account: read for read in final_reads if read.error is None and read.worker not in gone}
    reads = {name: read for name, read in reads.items() if workers.get(name, read.worker) not in gone}
    sure = np.array([workers[name] not in gone | unsure_workers for name in operations.accounts], np.bool_)
    whole = {n: read for n, read in reads.items() if workers.get(n, read.worker) not in unsure_workers}
    offenders = _Offenders(operations)
    offenders.add(missing(operations, keys, whole))
    offenders.add(missing_transfers(operations, reads))
    offenders.add(one for one in overwritten(operations) if workers[one.account] not in gone)
    for name, read in reads.items():
        offenders.add(one for one in wrong(read, operations, keys) if name in whole or one.kind == "lost")
        offenders.add(duplicates(read))
    during = judge_reads(operations, keys.possible, sure)
    stale, absent = _of_reads(operations, keys, during, offenders, reads, swaps)
    write = operations.writes
    outcomes = np.bincount(operations.outcome[write], minlength=len(OperationOutcome))
    transfer = operations.kind == OperationKind.TRANSFER
    asked = any(read.stored is not None for read in reads.values())
    writers = {operations.accounts[number] for number in np.unique(keys.owner[keys.owner >= 0])}
    return Ledger(
        acknowledged=int(outcomes[OperationOutcome.OK]),
        indeterminate=int(outcomes[OperationOutcome.INDETERMINATE]),
        transfers=int(np.count_nonzero(transfer & (operations.outcome == OperationOutcome.OK))),
        lost=offenders.count("lost"),
        hidden=offenders.count("hidden") if asked else None,
        resurrected=offenders.count("resurrected"),
        unexpected=offenders.count("unexpected"),
        duplicated=offenders.count("duplicated"),
        reads=during.checked,
        stale=stale,
        absent=absent,
        accounts_read=len(reads),
        unread=tuple(sorted((writers | {read.account for read in final_reads}) - set(reads))),
        unsure=tuple(sorted(a for a, worker in workers.items() if worker in unsure_workers)),
        offenders=offenders.told(keys),
    )


def _workers(operations: OperationTable) -> dict[str, str]:
    """The worker of each account: of several the one that wrote last."""
    last = np.zeros(len(operations.accounts), np.int64)
    last[operations.account] = operations.worker
    return {name: operations.workers[last[number]] for number, name in enumerate(operations.accounts)}


class _Offenders:
    """What was found, once for each record; that it is there twice may be told besides."""

    def __init__(self, operations: OperationTable) -> None:
        self._operations = operations
        self._found: dict[tuple[bool, str, str], Offender] = {}

    def add(self, offenders: Iterable[Offender]) -> None:
        """Add those whose record has none yet."""
        for one in offenders:
            self._found.setdefault((one.kind == "duplicated", one.account, one.key), one)

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return sum(one.kind == kind for one in self._found.values())

    def records(self, *kinds: str) -> Bools:
        """The records, as a flag for each, with one of such a kind."""
        records = self._operations.records([one.key for one in self._found.values() if one.kind in kinds])
        found = np.zeros(len(self._operations.keys), np.bool_)
        found[records[records >= 0]] = True
        return found

    def told(self, keys: Keys) -> tuple[Offender, ...]:
        """The first ones, in an order that does not depend on the record's, each with its history."""
        order = sorted(self._found.values(), key=lambda one: (KINDS.index(one.kind), one.account, one.key))
        number: Counter[str] = Counter()
        ranked = []
        for one in order:
            number[one.kind] += 1
            ranked.append((number[one.kind], one))
        first = {id(one) for _, one in sorted(ranked, key=lambda pair: pair[0])[:OFFENDERS]}
        return tuple(self._with_history(one, keys) for one in order if id(one) in first)

    def _with_history(self, offender: Offender, keys: Keys) -> Offender:
        record = int(self._operations.records([offender.key])[0])
        if record < 0:
            return offender
        history = list(self._operations.of_record(record))
        showed = [one.ended for one in history if one.shown and one.version >= keys.must[record]]
        last = max(showed, default=None)
        return replace(offender, history=tuple(_changes(history))[-HISTORY:], last_seen=last)


def _changes(history: Sequence[Operation]) -> Iterator[Operation]:
    """A history without the reads that showed what the one before and the one after showed."""
    showed = [(one.shown, one.version) if one.kind == OperationKind.READ else None for one in history]
    for before, own, after, one in zip([None, *showed], showed, [*showed[1:], None], history, strict=False):
        if own is None or not before == own == after:
            yield one


def _of_reads(
    operations: OperationTable,
    keys: Keys,
    during: Reads,
    offenders: _Offenders,
    reads: Mapping[str, FinalRead],
    swaps: Sequence[Window],
) -> tuple[int, int]:
    """How many reads were stale, and how many absent; adds their offenders to those of the final read."""
    offenders.add(_each(operations, during, during.early, "unexpected"))
    offenders.add(_each(operations, during, during.twice, "duplicated"))
    explained = offenders.records("lost", "hidden", "resurrected")
    rows = np.unique(np.concatenate([during.older, during.absent, during.deleted]))
    rows = rows[~explained[operations.record[rows]]]
    excused = np.isin(rows, during.absent) & _overlap(operations, rows, swaps)
    short = rows[~excused]
    # Of a record that was deleted before anybody saw it whole again, nobody knows whether it had been lost.
    # It is told as what else went wrong, and where nothing did, as what was seen: a stale read.
    unclear = not any(_recovered(operations, keys, during, reads, row) for row in short.tolist())
    kind = "lost" if unclear and offenders.count("lost") else "stale"
    offenders.add(_each(operations, during, short, kind))
    return (len(short) if kind == "stale" else 0), int(np.count_nonzero(excused))


def _recovered(
    operations: OperationTable, keys: Keys, during: Reads, reads: Mapping[str, FinalRead], row: int
) -> bool:
    """Whether what a read missed was there after it: by the final read, which else had made an offender of
    it, by a later read, or because a later update built on it.
    """
    record, must = int(operations.record[row]), int(during.must[row])
    if operations.accounts[operations.account[row]] in reads and not keys.deletable[record]:
        return True
    if keys.deletes.gone[record] < operations.invoked[row]:
        return True
    return any(
        one.outcome == OperationOutcome.OK
        and ((one.kind == OperationKind.UPDATE and one.version > must) or (one.shown and one.version >= must))
        for one in operations.of_record(record)
        if one.invoked > operations.invoked[row]
    )


def _overlap(operations: OperationTable, rows: Ints, windows: Sequence[Window]) -> Bools:
    """Which rows have a time in common with one of the windows."""
    found = np.zeros(len(rows), np.bool_)
    for window in windows:
        found |= (operations.invoked[rows] <= window.end) & (operations.ended[rows] >= window.start)
    return found


def _each(operations: OperationTable, during: Reads, rows: Ints, kind: str) -> Iterator[Offender]:
    """An offender for each record of the reads in `rows`."""
    deleted, early = set(during.deleted.tolist()), set(during.early.tolist())
    of_record: dict[int, list[int]] = {}
    columns = operations.version, operations.ended, operations.invoked
    for row in rows[np.lexsort([column[rows] for column in columns])].tolist():
        of_record.setdefault(int(operations.record[row]), []).append(row)
    for own in of_record.values():
        read = operations.operation(own[0])
        more = f", and {len(own) - 1} more" if len(own) > 1 else ""
        what = f"version {read.version}" if read.shown else "nothing"
        if kind == "duplicated":
            showed = f"it {read.shown} times"
        elif own[0] in deleted:
            showed = "it, and its delete was acknowledged before"
        elif own[0] in early:
            showed = f"{what}, which nobody had sent"
        else:
            showed = f"{what}, and version {during.must[own[0]]} was there before"
        why = f"a read from {read.invoked:.2f} s to {read.ended:.2f} s showed {showed}{more}"
        yield Offender(kind, read.account, read.key, why)
