"""Attribution: which wait is the migration's, and which of its statements it is charged to.

A wait is the migration's when one of its sessions stands in the chain of those waited for, be it at the root
or as the head of the queue that itself waits for somebody else. It is charged to the statement that took the
lock, over all the time the lock was kept: a cheap statement that holds ACCESS EXCLUSIVE while a backfill runs
after it in the same transaction is charged for all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from harness.core.locks import CONFLICTS, strength
from harness.core.migrations import Migration
from harness.core.names import same
from harness.core.samples import Floats, Ints
from harness.core.trace import Lock, Statement
from harness.core.waits import Wait

__all__ = ["OURS", "Attribution", "Charge", "attribute", "changes_rows", "joined"]

OURS = "mul-"
"""How the application names of the harness's own sessions begin."""

SLACK_S = 0.025
"""How far the end of a wait may be off where its polling interval is not known."""

COVERS = 0.25
"""The share of a wait that stronger evidence has to cover before weaker evidence is not asked. The end of a
wait is known to half a polling interval: one that a failed attempt made may touch the next attempt's lock.
"""

_CHUNK = 4_000_000
"""Pairs of a wait and a hold that are compared at once."""

_ROW_LOCKS = ("tuple", "transactionid")
_CHANGES_ROWS = ("insert", "update", "delete", "merge", "copy", "for share", "for key share", "do ")


@dataclass(frozen=True, slots=True)
class Charge:
    """A wait from `start` to `end` because of the migration's `statement`, None where it is not known which.

    `lock` is the one it waited for, None for row locks and where the trace does not know it. `inferred`: the
    statement follows from the time alone; where there is none, that the wait is the migration's at all.
    """

    wait: Wait
    migration: Migration
    statement: Statement | None
    lock: Lock | None
    start: float
    end: float
    inferred: bool

    @property
    def phase(self) -> str:
        """The phase of its migration."""
        return self.migration.phase

    @property
    def seconds(self) -> float:
        """Seconds of the wait that are charged."""
        return max(0.0, self.end - self.start)


@dataclass(frozen=True)
class Attribution:
    """`service`: waits of the service's sessions because of a migration. `own`: the migration's own waits, by
    the statement that waited; for them `lock` is None. `backends`: the sessions of all migrations."""

    service: tuple[Charge, ...] = ()
    own: tuple[Charge, ...] = ()
    backends: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Span:
    """Run time in which a statement made others wait; `inferred` as in `Charge`."""

    start: float
    end: float
    statement: Statement
    lock: Lock | None = None
    inferred: bool = False


_Key = tuple[int, int, str, str | None, int | None, str]
_Group = tuple[Migration, int, Sequence[Wait]]


def attribute(waits: Iterable[Wait], migrations: Sequence[Migration]) -> Attribution:
    """Charge every wait that is of a migration's making; all are of one database.

    Left out are advisory locks, which migrators take to keep each other away, sessions that are no clients
    (autovacuum), and the harness's own.
    """
    service: dict[_Key, list[Wait]] = defaultdict(list)
    own: dict[tuple[int, int], list[Wait]] = defaultdict(list)
    for wait in waits:
        if (migration := _of(wait.pid, wait, migrations)) is not None:
            own[migration.number, wait.pid].append(wait)
        elif _is_a_clients(wait) and (blamed := _blocker(wait, migrations)) is not None:
            of, pid = blamed
            key = of.number, pid, wait.lock_type, wait.relation, wait.relation_oid, wait.mode
            service[key].append(wait)
    by_number = {migration.number: migration for migration in migrations}
    return Attribution(
        service=_in_order(_charged((by_number[key[0]], key[1], of) for key, of in service.items())),
        own=_in_order(_ran((by_number[number], pid, of) for (number, pid), of in own.items())),
        backends=frozenset[int]().union(*(migration.backends for migration in migrations)),
    )


def joined(attributions: Iterable[Attribution]) -> Attribution:
    """Those of several databases in one."""
    found = list(attributions)
    return Attribution(
        service=_in_order(charge for one in found for charge in one.service),
        own=_in_order(charge for one in found for charge in one.own),
        backends=frozenset[int]().union(*(one.backends for one in found)),
    )


def _in_order(charges: Iterable[Charge]) -> tuple[Charge, ...]:
    return tuple(sorted(charges, key=lambda charge: (charge.start, charge.wait.pid)))


def _is_a_clients(wait: Wait) -> bool:
    return (
        wait.lock_type != "advisory"
        and wait.backend_type in ("", "client backend")
        and not wait.application.startswith(OURS)
    )


def _of(pid: int, wait: Wait, migrations: Sequence[Migration]) -> Migration | None:
    """The migration whose session `pid` is at the time of the wait; a pid may be given out again."""
    for migration in migrations:
        began, ended = migration.begin_at, inf if migration.end_at is None else migration.end_at
        if pid in migration.backends and began <= wait.until and wait.started_at <= ended:
            return migration
    return None


def _blocker(wait: Wait, migrations: Sequence[Migration]) -> tuple[Migration, int] | None:
    """The migration's session that stands nearest to the waiting one, if there is any.

    None where it only stands in the queue for a row that another session has locked: those behind it would
    wait for that one without it.
    """
    if wait.lock_type == "tuple" and wait.root is not None and _of(wait.root.pid, wait, migrations) is None:
        return None
    root = () if wait.root is None else (wait.root.pid,)
    for pid in (*wait.chain, *wait.blocking, *root):
        if (migration := _of(pid, wait, migrations)) is not None:
            return migration, pid
    return None


# waits of the service


def _charged(groups: Iterable[_Group]) -> Iterator[Charge]:
    for migration, pid, waits in groups:
        left, candidates = list(waits), [list(spans) for spans in _candidates(migration, pid, waits[0])]
        for spans in candidates:
            charges, left = _charge(left, spans, migration, COVERS)
            yield from charges
        charges, left = _charge(left, [span for spans in candidates for span in spans], migration)
        yield from charges
        guessed = migration.traced or pid in migration.guessed
        for wait in left:
            lock = _seen_lock(migration, pid, wait)
            yield Charge(wait, migration, None, lock, wait.started_at, wait.until, guessed)


def _seen_lock(migration: Migration, pid: int, wait: Wait) -> Lock | None:
    """The lock behind the wait that a session, of which no tracer tells, was seen with before it ended."""
    for sight in reversed([held for held in migration.held if held.pid == pid and held.at <= wait.until]):
        for relation, kind, mode, granted in sight.locks:
            if granted and same(relation, wait.relation) and wait.mode in CONFLICTS.get(mode, ()):
                return Lock(relation, kind, mode, sight.at + migration.zero, None)
    return None


def _candidates(migration: Migration, pid: int, like: Wait) -> Iterator[Iterable[_Span]]:
    """The spans that waits like this one may be charged to, the strongest evidence first."""
    if like.lock_type in _ROW_LOCKS:
        yield _row_locks(migration, pid)
    else:
        yield _holds(migration, pid, like)
    yield _runs(migration, pid, lambda statement: statement.sqlstate is not None)
    yield _inferred(_runs(migration, pid))
    yield _inferred(_transactions(migration, pid))


def _inferred(spans: Iterable[_Span]) -> Iterator[_Span]:
    return (replace(span, inferred=True) for span in spans)


def _statements(migration: Migration, pid: int) -> Iterator[Statement]:
    return (statement for statement in migration.trace.statements if statement.backend_pid == pid)


def _holds(migration: Migration, pid: int, like: Wait) -> Iterator[_Span]:
    """The statement's locks that conflict with what was waited for, from grant to release, strongest first.

    A lock outside a transaction was only seen now and then; it counts for as long as its statement ran.
    """
    for statement in _statements(migration, pid):
        for lock in sorted(statement.locks, key=lambda lock: strength(lock.mode), reverse=True):
            if _is_on(lock, like) and like.mode in CONFLICTS.get(lock.mode, ()):
                start, end = lock.granted_mono, lock.released_mono
                if statement.transaction is None:
                    start, end = statement.started_mono, statement.ended_mono
                yield _span(migration, start, end, statement, lock)


def _is_on(lock: Lock, wait: Wait) -> bool:
    if lock.oid is not None and wait.relation_oid is not None:
        return lock.oid == wait.relation_oid
    return same(lock.relation, wait.relation)


def _row_locks(migration: Migration, pid: int) -> Iterator[_Span]:
    """From statements that change rows to the end of their transactions, the latest first: of those that
    began before the wait it is the likeliest."""
    spans = _transactions(migration, pid, changes_rows)
    return reversed(list(spans))


def changes_rows(statement: Statement) -> bool:
    """Whether the statement's text speaks of changing or locking rows."""
    text = " ".join(statement.sql.lower().split())
    return any(word in text for word in _CHANGES_ROWS)


def _runs(
    migration: Migration, pid: int, wanted: Callable[[Statement], bool] = lambda _: True
) -> Iterator[_Span]:
    """While the statement itself ran."""
    for statement in _statements(migration, pid):
        if wanted(statement):
            yield _span(migration, statement.started_mono, statement.ended_mono, statement)


def _transactions(
    migration: Migration, pid: int, wanted: Callable[[Statement], bool] = lambda _: True
) -> Iterator[_Span]:
    """From the statement to the end of its transaction."""
    ends = {transaction.id: transaction.ended_mono for transaction in migration.trace.transactions}
    for statement in _statements(migration, pid):
        if wanted(statement):
            end = statement.ended_mono if statement.transaction is None else ends.get(statement.transaction)
            yield _span(migration, statement.started_mono, end, statement)


def _span(
    migration: Migration, start: float, end: float | None, statement: Statement, lock: Lock | None = None
) -> _Span:
    return _Span(start - migration.zero, inf if end is None else end - migration.zero, statement, lock)


def _charge(
    waits: list[Wait], spans: Sequence[_Span], migration: Migration, covers: float = 0.0
) -> tuple[list[Charge], list[Wait]]:
    """Charge each wait to the span that covers most of it; the waits that none touches, or covers to this
    share, are left.
    """
    if not waits or not spans:
        return [], waits
    charges, left = [], []
    for wait, number in zip(waits, _best(waits, spans, covers), strict=True):
        if number < 0:
            left.append(wait)
            continue
        span = spans[number]
        slack = SLACK_S if wait.interval_s is None else wait.interval_s / 2
        start, end = max(wait.started_at, span.start), min(wait.until, span.end + slack)
        charges.append(Charge(wait, migration, span.statement, span.lock, start, end, span.inferred))
    return charges, left


def _best(waits: Sequence[Wait], spans: Sequence[_Span], covers: float) -> list[int]:
    """The number of the span that covers most of each wait, the first of equals; -1 where none touches it,
    or covers that share.
    """
    starts, ends = (np.array([getattr(span, name) for span in spans]) for name in ("start", "end"))
    size = max(1, _CHUNK // len(spans))
    found: list[int] = []
    for first in range(0, len(waits), size):
        chunk = waits[first : first + size]
        since = np.array([wait.started_at for wait in chunk])
        until = np.array([wait.until for wait in chunk])
        found += _most(since, until, starts, ends, covers).tolist()
    return found


def _most(since: Floats, until: Floats, starts: Floats, ends: Floats, covers: float) -> Ints:
    overlap = np.minimum(until[:, None], ends) - np.maximum(since[:, None], starts)
    best = np.argmax(overlap, axis=1)
    most = overlap[np.arange(len(best)), best]
    numbers: Ints = np.where((most > 0) & (most >= covers * (until - since)), best, -1)
    return numbers


# waits of the migration


def _ran(groups: Iterable[_Group]) -> Iterator[Charge]:
    for migration, pid, waits in groups:
        charges, left = _charge(list(waits), list(_runs(migration, pid)), migration)
        yield from charges
        for wait in left:
            yield Charge(wait, migration, None, None, wait.started_at, wait.until, True)
