"""The ledger's judgement: what was acknowledged against what the final read found.

Of every key four things matter, and one pass over the operations finds them: the newest version that was
acknowledged, the newest that may have been written, whether a delete may have happened, and whether a create
may still have arrived after it. What the final read shows must lie between the first two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.core.events import Event, Kind
from harness.core.operations import Bools, Operation, OperationKind, OperationOutcome, OperationTable
from harness.core.record import FinalRead, Found
from harness.core.samples import Ints

__all__ = ["Ledger", "Offender", "judge_ledger", "lost_workers"]

OFFENDERS = 10
"""How many offenders are told with their history."""


@dataclass(frozen=True)
class Offender:
    """A record that is not as acknowledged: what is wrong with it, and every operation on it."""

    kind: str  # lost | hidden | unexpected
    account: str
    key: str
    why: str
    history: tuple[Operation, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """Counts of writes (transfers apart) and of records that are not as they were acknowledged.

    `lost` was acknowledged and is not there. `hidden` is not shown by the service and present by SQL, None
    when no database was asked. `unexpected` bears this run's canary and nobody can have written it. `unread`
    are accounts that wrote and whose records were not, or not completely, read back; `unsure` those whose
    operations are not all known.
    """

    acknowledged: int
    indeterminate: int
    transfers: int
    lost: int
    hidden: int | None
    unexpected: int
    duplicated: int
    accounts_read: int
    unread: tuple[str, ...]
    unsure: tuple[str, ...]
    offenders: tuple[Offender, ...]


@dataclass(frozen=True)
class _Keys:
    """What is known of each record, by its index. Versions are 0 where nothing was written, `owner` is the
    account's index and -1 where nobody can have written it.
    """

    owner: Ints
    acknowledged: Ints
    possible: Ints
    deletable: Bools
    deleted: Bools
    create_may_come: Bools

    @classmethod
    def of(cls, table: OperationTable) -> _Keys:
        """One pass over the writes; what surely did not happen tells nothing of its record."""
        count = len(table.keys)
        written = (table.kind != OperationKind.TRANSFER) & (table.outcome != OperationOutcome.FAIL)
        sure = written & (table.outcome == OperationOutcome.OK)
        delete, create = table.kind == OperationKind.DELETE, table.kind == OperationKind.CREATE
        owner = np.full(count, -1, np.int64)
        owner[table.record[written][::-1]] = table.account[written][::-1]  # of several the first stays
        return cls(
            owner,
            _newest(table, sure & ~delete),
            _newest(table, written & ~delete),
            _any(table, written & delete),
            _any(table, sure & delete),
            _any(table, written & ~sure & create),
        )

    def fault(self, found: Found, record: int) -> tuple[str, str] | None:
        """The version number and the version its text claims must both lie in what can be there."""
        if self.deleted[record] and not self.create_may_come[record]:
            return "unexpected", "its delete was acknowledged, and it is there"
        claims = (found.version,) if found.content is None else (found.version, found.content)
        is_there = f"version {found.version} is there"
        if found.content is not None and found.content != found.version:
            is_there = f"the text of version {found.content} is there under version {found.version}"
        if min(claims) < self.acknowledged[record]:
            return "lost", f"version {self.acknowledged[record]} was acknowledged, {is_there}"
        if max(claims) > self.possible[record]:
            return "unexpected", f"{is_there}, the newest possibly written is {self.possible[record]}"
        return None


def _newest(table: OperationTable, rows: Bools) -> Ints:
    """The newest version in each record's `rows`, 0 without any."""
    newest = np.zeros(len(table.keys), np.int64)
    np.maximum.at(newest, table.record[rows], table.version[rows])
    return newest


def _any(table: OperationTable, rows: Bools) -> Bools:
    """Which records have one of `rows`."""
    found = np.zeros(len(table.keys), np.bool_)
    found[table.record[rows]] = True
    return found


def lost_workers(events: Iterable[Event]) -> frozenset[str]:
    """Workers that were lost, or joined and never delivered their last data."""
    of: dict[str, set[str]] = {Kind.WORKER_JOINED: set(), Kind.WORKER_FINAL: set(), Kind.WORKER_LOST: set()}
    for event in events:
        if event.kind in of:
            of[event.kind].add(str(event.data["worker"]))
    return frozenset(of[Kind.WORKER_LOST] | of[Kind.WORKER_JOINED] - of[Kind.WORKER_FINAL])


def judge_ledger(
    operations: OperationTable,
    final_reads: Sequence[FinalRead],
    lost: Iterable[str] = (),
    incomplete: Iterable[str] = (),
) -> Ledger:
    """Compare the operations with the final reads.

    A record found is this run's when its text claims a version (`Found.content`). Accounts of the
    workers in `lost` are not judged; those of workers in `incomplete` only for what is lost.
    """
    keys = _Keys.of(operations)
    workers = _workers(operations)
    gone, unsure_workers = set(lost), set(incomplete)
    reads = {read.account: read for read in final_reads if read.error is None and read.worker not in gone}
    reads = {name: read for name, read in reads.items() if workers.get(name, read.worker) not in gone}
    offenders = list(_missing(operations, keys, reads))
    for read in reads.values():
        sure = workers.get(read.account, read.worker) not in unsure_workers
        offenders += (o for o in _wrong(read, operations, keys) if sure or o.kind == "lost")
    kinds = Counter(offender.kind for offender in offenders)
    asked = any(read.stored is not None for read in reads.values())
    writers = {operations.accounts[number] for number in np.unique(keys.owner[keys.owner >= 0])}
    write = operations.kind != OperationKind.TRANSFER
    outcomes = np.bincount(operations.outcome[write], minlength=len(OperationOutcome))
    return Ledger(
        acknowledged=int(outcomes[OperationOutcome.OK]),
        indeterminate=int(outcomes[OperationOutcome.INDETERMINATE]),
        transfers=int(np.count_nonzero(~write & (operations.outcome == OperationOutcome.OK))),
        lost=kinds["lost"],
        hidden=kinds["hidden"] if asked else None,
        unexpected=kinds["unexpected"],
        duplicated=sum(_duplicates(read) for read in reads.values()),
        accounts_read=len(reads),
        unread=tuple(sorted((writers | {read.account for read in final_reads}) - set(reads))),
        unsure=tuple(sorted(a for a, worker in workers.items() if worker in unsure_workers)),
        offenders=_told(offenders, operations),
    )


def _workers(operations: OperationTable) -> dict[str, str]:
    """The worker of each account: of several the one that wrote last."""
    last = np.zeros(len(operations.accounts), np.int64)
    last[operations.account] = operations.worker
    return {name: operations.workers[last[number]] for number, name in enumerate(operations.accounts)}


def _missing(operations: OperationTable, keys: _Keys, reads: Mapping[str, FinalRead]) -> Iterator[Offender]:
    """Acknowledged records that the service does not show: hidden if SQL finds them, else lost."""
    owners = {name: number for number, name in enumerate(operations.accounts)}
    expected = (keys.acknowledged > 0) & ~keys.deletable
    for read in reads.values():
        own = expected & (keys.owner == owners.get(read.account, -1))
        own[_records(operations, read.found)] = False
        stored = set(_records(operations, read.stored or ()).tolist())
        for record in np.flatnonzero(own).tolist():
            version = keys.acknowledged[record]
            told = (
                ("hidden", "acknowledged, not shown by the service, present by SQL")
                if record in stored
                else ("lost", f"version {version} was acknowledged, nothing is there")
            )
            yield Offender(told[0], read.account, operations.key(record), told[1])


def _records(operations: OperationTable, found: Iterable[Found]) -> Ints:
    """The records that were found, without those that no operation is on."""
    records = operations.records([one.key for one in found])
    known: Ints = records[records >= 0]
    return known


def _wrong(read: FinalRead, operations: OperationTable, keys: _Keys) -> Iterator[Offender]:
    """Records shown in another state than they can be in; a record shown twice is told once."""
    told: set[str] = set()
    records = operations.records([found.key for found in read.found])
    for found, record in zip(read.found, records.tolist(), strict=True):
        owner = keys.owner[record] if record >= 0 else -1
        if owner < 0:
            fault = _stranger(found)
        elif operations.accounts[owner] != read.account:
            fault = "unexpected", f"it belongs to {operations.accounts[owner]}"
        else:
            fault = keys.fault(found, record)
        if fault and found.key not in told:
            told.add(found.key)
            yield Offender(fault[0], read.account, found.key, fault[1])


def _stranger(found: Found) -> tuple[str, str] | None:
    if found.content is None:
        return None
    return "unexpected", "it bears this run's canary, and nobody can have written it"


def _duplicates(read: FinalRead) -> int:
    return len(read.found) - len({found.key for found in read.found})


def _told(offenders: Iterable[Offender], operations: OperationTable) -> tuple[Offender, ...]:
    """The first offenders of an order that does not depend on the record's, each with its history."""
    first = sorted(offenders, key=lambda o: (o.kind != "lost", o.kind, o.account, o.key))[:OFFENDERS]
    records = operations.records([offender.key for offender in first]).tolist()
    return tuple(
        replace(offender, history=tuple(operations.of_record(record)) if record >= 0 else ())
        for offender, record in zip(first, records, strict=True)
    )
