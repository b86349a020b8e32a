"""The ledger's judgement: what was acknowledged against what the final read found.

Of every key four things matter, and one pass over the operations finds them: the newest version that was
acknowledged, the newest that may have been written, whether a delete may have happened, and whether a create
may still have arrived after it. What the final read shows must lie between the first two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.events import Event, Kind
from harness.core.operations import Operation, OperationKind, OperationOutcome
from harness.core.record import FinalRead, Found

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


@dataclass(slots=True)
class _Key:
    """What is known of one key. Versions are 0 where nothing was written."""

    account: str
    acknowledged: int = 0
    possible: int = 0
    deletable: bool = False
    deleted: bool = False
    create_may_come: bool = False


@dataclass(slots=True)
class _Tally:
    keys: dict[str, _Key] = field(default_factory=dict)
    counts: Counter[OperationOutcome] = field(default_factory=Counter)
    transfers: int = 0
    workers: dict[str, str] = field(default_factory=dict)  # account → worker

    def add(self, operation: Operation) -> None:
        self.workers[operation.account] = operation.worker
        if operation.kind == OperationKind.TRANSFER:
            self.transfers += operation.outcome == OperationOutcome.OK
            return
        self.counts[operation.outcome] += 1
        if operation.outcome != OperationOutcome.FAIL:
            self._note(operation)

    def _note(self, operation: Operation) -> None:
        key = self.keys.setdefault(operation.key, _Key(operation.account))
        sure = operation.outcome == OperationOutcome.OK
        if operation.kind == OperationKind.DELETE:
            key.deletable = True
            key.deleted = key.deleted or sure
            return
        key.possible = max(key.possible, operation.version)
        if sure:
            key.acknowledged = max(key.acknowledged, operation.version)
        elif operation.kind == OperationKind.CREATE:
            key.create_may_come = True


def lost_workers(events: Iterable[Event]) -> frozenset[str]:
    """Workers that were lost, or joined and never delivered their last data."""
    of: dict[str, set[str]] = {Kind.WORKER_JOINED: set(), Kind.WORKER_FINAL: set(), Kind.WORKER_LOST: set()}
    for event in events:
        if event.kind in of:
            of[event.kind].add(str(event.data["worker"]))
    return frozenset(of[Kind.WORKER_LOST] | of[Kind.WORKER_JOINED] - of[Kind.WORKER_FINAL])


def judge_ledger(
    operations: Sequence[Operation],
    final_reads: Sequence[FinalRead],
    lost: Iterable[str] = (),
    incomplete: Iterable[str] = (),
) -> Ledger:
    """Compare the operations with the final reads.

    A record found is this run's when its text claims a version (`Found.content`). Accounts of the
    workers in `lost` are not judged; those of workers in `incomplete` only for what is lost.
    """
    tally = _Tally()
    for operation in operations:
        tally.add(operation)
    gone, unsure_workers = set(lost), set(incomplete)
    reads = {read.account: read for read in final_reads if read.error is None and read.worker not in gone}
    reads = {name: read for name, read in reads.items() if tally.workers.get(name, read.worker) not in gone}
    offenders = list(_missing(tally.keys, reads))
    for read in reads.values():
        sure = tally.workers.get(read.account, read.worker) not in unsure_workers
        offenders += (o for o in _wrong(read, tally.keys) if sure or o.kind == "lost")
    kinds = Counter(offender.kind for offender in offenders)
    asked = any(read.stored is not None for read in reads.values())
    writers = {key.account for key in tally.keys.values()}
    return Ledger(
        acknowledged=tally.counts[OperationOutcome.OK],
        indeterminate=tally.counts[OperationOutcome.INDETERMINATE],
        transfers=tally.transfers,
        lost=kinds["lost"],
        hidden=kinds["hidden"] if asked else None,
        unexpected=kinds["unexpected"],
        duplicated=sum(_duplicates(read) for read in reads.values()),
        accounts_read=len(reads),
        unread=tuple(sorted((writers | {read.account for read in final_reads}) - set(reads))),
        unsure=tuple(sorted(a for a, worker in tally.workers.items() if worker in unsure_workers)),
        offenders=_told(offenders, operations),
    )


def _missing(keys: Mapping[str, _Key], reads: Mapping[str, FinalRead]) -> Iterator[Offender]:
    """Acknowledged records that the service does not show: hidden if SQL finds them, else lost."""
    shown = {name: {found.key for found in read.found} for name, read in reads.items()}
    stored = {name: {found.key for found in read.stored or ()} for name, read in reads.items()}
    for name, key in keys.items():
        if key.account not in reads or not key.acknowledged or key.deletable or name in shown[key.account]:
            continue
        if name in stored[key.account]:
            yield Offender(
                "hidden", key.account, name, "acknowledged, not shown by the service, present by SQL"
            )
        else:
            yield Offender(
                "lost", key.account, name, f"version {key.acknowledged} was acknowledged, nothing is there"
            )


def _wrong(read: FinalRead, keys: Mapping[str, _Key]) -> Iterator[Offender]:
    """Records shown in another state than they can be in; a record shown twice is told once."""
    told: set[str] = set()
    for found in read.found:
        key = keys.get(found.key)
        fault = _stranger(found) if key is None else _misplaced(read, key) or _fault(found, key)
        if fault and found.key not in told:
            told.add(found.key)
            yield Offender(fault[0], read.account, found.key, fault[1])


def _stranger(found: Found) -> tuple[str, str] | None:
    if found.content is None:
        return None
    return "unexpected", "it bears this run's canary, and nobody can have written it"


def _misplaced(read: FinalRead, key: _Key) -> tuple[str, str] | None:
    return ("unexpected", f"it belongs to {key.account}") if key.account != read.account else None


def _fault(found: Found, key: _Key) -> tuple[str, str] | None:
    """The version number and the version its text claims must both lie in what can be there."""
    if key.deleted and not key.create_may_come:
        return "unexpected", "its delete was acknowledged, and it is there"
    claims = (found.version,) if found.content is None else (found.version, found.content)
    is_there = f"version {found.version} is there"
    if found.content is not None and found.content != found.version:
        is_there = f"the text of version {found.content} is there under version {found.version}"
    if min(claims) < key.acknowledged:
        return "lost", f"version {key.acknowledged} was acknowledged, {is_there}"
    if max(claims) > key.possible:
        return "unexpected", f"{is_there}, the newest possibly written is {key.possible}"
    return None


def _duplicates(read: FinalRead) -> int:
    return len(read.found) - len({found.key for found in read.found})


def _told(offenders: Iterable[Offender], operations: Iterable[Operation]) -> tuple[Offender, ...]:
    """The first offenders of an order that does not depend on the record's, each with its history."""
    first = sorted(offenders, key=lambda o: (o.kind != "lost", o.kind, o.account, o.key))[:OFFENDERS]
    histories: dict[str, list[Operation]] = {offender.key: [] for offender in first}
    for operation in operations:
        if operation.key in histories:
            histories[operation.key].append(operation)
    return tuple(
        Offender(
            o.kind,
            o.account,
            o.key,
            o.why,
            tuple(sorted(histories[o.key], key=lambda operation: (operation.invoked, operation.ended))),
        )
        for o in first
    )
