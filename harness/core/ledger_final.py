"""The final read against the operations: what is not there, or is there and cannot be.

Of every record five things matter, and one pass over the operations finds them: the newest version that was
acknowledged, the newest that a read showed, the newest that may have been written, whether a delete may have
happened, and from when on it surely had. What the final read shows must lie between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.core.ledger_reads import Deletes, deletes_of
from harness.core.operations import Bools, Operation, OperationKind, OperationOutcome, OperationTable
from harness.core.record import FinalRead, Found
from harness.core.samples import Ints

__all__ = ["Keys", "Offender", "duplicates", "missing", "missing_transfers", "overwritten", "wrong"]


@dataclass(frozen=True)
class Offender:
    """A record that is not as it must be, what is wrong with it, and what was done with it. `kind`: lost |
    hidden | resurrected | unexpected | duplicated | stale | total, of which the last is no record: `key` is
    then what is summed up. `last_seen` is when a read last showed what must be there.
    """

    kind: str
    account: str
    key: str
    why: str
    history: tuple[Operation, ...] = ()
    last_seen: float | None = None


@dataclass(frozen=True)
class Keys:
    """What is known of each record, by its index. Versions are 0 where nothing was written or seen; `owner`
    is the account's index, -1 where nobody can have written it.
    """

    owner: Ints
    acknowledged: Ints
    seen: Ints
    possible: Ints
    deletes: Deletes

    @classmethod
    def of(cls, table: OperationTable) -> Keys:
        """One pass over the writes; what surely did not happen tells nothing of its record."""
        written = table.writes & (table.outcome != OperationOutcome.FAIL)
        leaves = written & (table.kind != OperationKind.DELETE)
        owner = np.full(len(table.keys), -1, np.int64)
        owner[table.record[written][::-1]] = table.account[written][::-1]  # of several the first stays
        possible = _newest(table, leaves)
        shown = (table.kind == OperationKind.READ) & (table.shown > 0)
        return cls(
            owner,
            _newest(table, leaves & (table.outcome == OperationOutcome.OK)),
            _newest(table, shown & (table.version <= possible[table.record])),
            possible,
            deletes_of(table),
        )

    @cached_property
    def must(self) -> Ints:
        """The newest version of each record that was there for sure."""
        newest: Ints = np.maximum(self.acknowledged, self.seen)
        return newest

    @cached_property
    def deletable(self) -> Bools:
        """The records of which a delete may have happened."""
        return np.isfinite(self.deletes.sent)

    def had(self, record: int) -> str:
        """What must be there, for a sentence."""
        version, acknowledged = int(self.must[record]), int(self.acknowledged[record])
        return f"version {version} was {'acknowledged' if version == acknowledged else 'shown by a read'}"

    def fault(self, found: Found, record: int, at: float) -> tuple[str, str] | None:
        """The version number and the version its text claims must both lie in what can be there."""
        if self.deletes.gone[record] < at:
            return "resurrected", "its delete was acknowledged, and it is there"
        claims = (found.version,) if found.content is None else (found.version, found.content)
        is_there = f"version {found.version} is there"
        if found.content is not None and found.content != found.version:
            is_there = f"the text of version {found.content} is there under version {found.version}"
        if min(claims) < self.must[record]:
            return "lost", f"{self.had(record)}, {is_there}"
        if max(claims) > self.possible[record]:
            return "unexpected", f"{is_there}, the newest possibly written is {self.possible[record]}"
        return None


def _newest(table: OperationTable, rows: Bools) -> Ints:
    """The newest version in each record's `rows`, 0 without any."""
    newest = np.zeros(len(table.keys), np.int64)
    np.maximum.at(newest, table.record[rows], table.version[rows])
    return newest


def missing(operations: OperationTable, keys: Keys, reads: Mapping[str, FinalRead]) -> Iterator[Offender]:
    """Records that must be there and that the service does not show: hidden if SQL finds them, else lost."""
    owners = {name: number for number, name in enumerate(operations.accounts)}
    expected = (keys.must > 0) & ~keys.deletable
    for read in reads.values():
        own = expected & (keys.owner == owners.get(read.account, -1))
        own[_records(operations, read.found)] = False
        stored = set(_records(operations, read.stored or ()).tolist())
        for record in np.flatnonzero(own).tolist():
            name = operations.key(record)
            if record in stored:
                yield Offender(
                    "hidden", read.account, name, "acknowledged, not shown by the service, present by SQL"
                )
            else:
                yield Offender("lost", read.account, name, f"{keys.had(record)}, nothing is there")


def missing_transfers(operations: OperationTable, reads: Mapping[str, FinalRead]) -> Iterator[Offender]:
    """Transfers that were acknowledged, and that SQL does not find."""
    owners = {name: number for number, name in enumerate(operations.accounts)}
    sure = (operations.kind == OperationKind.TRANSFER) & (operations.outcome == OperationOutcome.OK)
    for read in reads.values():
        if read.stored_transfers is None:
            continue
        own = operations.record[sure & (operations.account == owners.get(read.account, -1))]
        for record in np.setdiff1d(own, operations.records(read.stored_transfers)).tolist():
            why = "the transfer was acknowledged, and is not in the database"
            yield Offender("lost", read.account, operations.key(record), why)


def _records(operations: OperationTable, found: Iterable[Found]) -> Ints:
    """The records that were found, without those that no operation is on."""
    records = operations.records([one.key for one in found])
    known: Ints = records[records >= 0]
    return known


def wrong(read: FinalRead, operations: OperationTable, keys: Keys) -> Iterator[Offender]:
    """Records shown in another state than they can be in; a record shown twice is told once."""
    told: set[str] = set()
    records = operations.records([found.key for found in read.found])
    for found, record in zip(read.found, records.tolist(), strict=True):
        owner = int(keys.owner[record]) if record >= 0 else -1
        if owner < 0:
            fault = _stranger(found)
        elif operations.accounts[owner] != read.account:
            fault = "unexpected", f"it belongs to {operations.accounts[owner]}"
        else:
            fault = keys.fault(found, record, read.at)
        if fault and found.key not in told:
            told.add(found.key)
            yield Offender(fault[0], read.account, found.key, fault[1])


def _stranger(found: Found) -> tuple[str, str] | None:
    if found.content is None:
        return None
    return "unexpected", "it bears this run's canary, and nobody can have written it"


def overwritten(operations: OperationTable) -> Iterator[Offender]:
    """Updates of which one undid another: each version of a record follows from the one before, so when the
    same one is acknowledged a second time, after the first time, the first was gone in between.
    """
    sure = operations.writes & (operations.outcome == OperationOutcome.OK)
    rows = np.flatnonzero(sure & (operations.kind != OperationKind.DELETE))
    if not len(rows):
        return
    record, version = operations.record[rows], operations.version[rows]
    oldest = np.full(len(operations.keys), np.iinfo(np.int64).max)
    np.minimum.at(oldest, record, version)
    rows = rows[version > oldest[record]]  # without versions all writes are of the same
    order = np.lexsort((operations.version[rows], operations.record[rows]))
    rows = rows[order]
    record, version = operations.record[rows], operations.version[rows]
    starts = np.flatnonzero(np.r_[True, (np.diff(record) != 0) | (np.diff(version) != 0)][: len(rows)])
    if not len(starts):
        return
    first_ended = np.minimum.reduceat(operations.ended[rows], starts)
    last_begun = np.maximum.reduceat(operations.invoked[rows], starts)
    for group in starts[first_ended < last_begun].tolist():
        row = rows[group]
        yield Offender(
            "lost",
            operations.accounts[operations.account[row]],
            operations.key(operations.record[row]),
            f"version {operations.version[row]} was acknowledged twice: the first was gone before the second",
        )


def duplicates(read: FinalRead) -> Iterator[Offender]:
    """Records that the service, or the database, has more than once."""
    for where, found in (("shown", read.found), ("stored", read.stored or ())):
        for key, times in Counter(one.key for one in found).items():
            if times > 1:
                yield Offender("duplicated", read.account, key, f"it is {where} {times} times")
