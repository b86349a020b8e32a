"""Error classes: what went wrong for clients that no lock explains, by phase and statement.

Seen in the server's log and in the causes that clients gave.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.core.affected import Requests, in_any, share_in
from harness.core.attribution import OURS, Attribution, Charge
from harness.core.error_kinds import (
    CONSEQUENCE,
    MEANWHILE,
    NO_ROOM,
    POOL_EXHAUSTED,
    POOLED,
    REFUSED,
    REPLAYED,
    Kind,
    kind_of,
    said,
)
from harness.core.migrations import Migration
from harness.core.names import last_part
from harness.core.observation import LogEntry, ObserverLine
from harness.core.record import Record
from harness.core.samples import Floats, Outcome, SampleTable
from harness.core.timeline import Timeline
from harness.core.trace import Statement

__all__ = ["POOL_EXHAUSTED", "ErrorClass", "error_classes"]

POOL_SESSIONS = 5
"""Sessions that must be waiting at once before requests that wait for none of them are the pool's."""

POOL_SLOW_S = 1.0
"""A request on an unrelated endpoint that took longer than this while sessions waited stood in the queue."""

POOL_SHARE = 0.5
"""How much of a slow request's time so many sessions must have waited."""

POOL_REQUESTS = 5

COMMIT_SLACK_S = 0.05
"""A client may meet the new schema so long before the migration's process is told of its commit."""


@dataclass(frozen=True)
class ErrorClass:
    """`count` errors of one class in one phase. `source`: server log, clients, or clients and waits.

    `statement` is (revision, n) of the one after whose commit they began, or which made them wait, where the
    evidence says so, and `migration` the name of its migration where there are several; `why` says what the
    evidence is, or why there is none.
    """

    name: str
    sqlstate: str | None
    phase: str | None
    count: int
    endpoints: tuple[str, ...]
    source: str
    statement: tuple[str | None, int] | None
    why: str
    migration: str = ""


@dataclass(frozen=True)
class _Guilty:
    """A statement that errors are laid to."""

    migration: str
    revision: str | None
    n: int

    @property
    def statement(self) -> tuple[str | None, int]:
        return self.revision, self.n


_NAMED = re.compile(r'"([^"]+)"|\bcolumn ([\w.]+) does')


@dataclass(frozen=True)
class _Error:
    """One error; `text` is what was said of it, `query` the text that failed, `database` the one whose
    server logged it, None where a client told of it.
    """

    at: float
    kind: Kind
    endpoint: str | None = None
    text: str = ""
    query: str = ""
    count: int = 1
    database: str | None = None


def error_classes(
    record: Record,
    timeline: Timeline,
    migrations: Sequence[Migration],
    attribution: Attribution,
    requests: Requests,
) -> tuple[ErrorClass, ...]:
    """The classes by phase, in the order of the run; the server's log goes before what clients said."""
    edges = _edges(timeline, [_began(migration) for migration in migrations])
    told = _grouped(_told(requests, edges), timeline)
    logged = _grouped(_logged(record, migrations, requests), timeline)
    groups = {**told, **logged}
    found: list[tuple[float, ErrorClass]] = []
    for (kind, phase), own in groups.items():
        alike = [error for (other, _), errors in groups.items() if other == kind for error in errors]
        guilty, why = _Cause(kind, own[0], alike, migrations, attribution.service).found()
        endpoints = _endpoints(own) or _endpoints(told.get((kind, phase), ()))
        count = sum(error.count for error in own)
        source = "server log" if (kind, phase) in logged else "clients"
        one = ErrorClass(kind.name, kind.sqlstate, phase, count, endpoints, source, None, why)
        found.append((own[0].at, _laid_to(guilty, one)))
    if not any(one.name == POOL_EXHAUSTED for _, one in found):
        found += _starved(timeline, attribution.service, requests)
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def _laid_to(guilty: _Guilty | None, one: ErrorClass) -> ErrorClass:
    if guilty is None:
        return one
    return replace(one, statement=guilty.statement, migration=guilty.migration)


def _grouped(errors: Iterable[_Error], timeline: Timeline) -> dict[tuple[Kind, str | None], list[_Error]]:
    groups: dict[tuple[Kind, str | None], list[_Error]] = defaultdict(list)
    for error in sorted(errors, key=lambda error: error.at):
        groups[error.kind, timeline.phase_at(error.at)].append(error)
    return dict(groups)


def _endpoints(errors: Iterable[_Error]) -> tuple[str, ...]:
    return tuple(sorted({error.endpoint for error in errors if error.endpoint is not None}))


# where they are seen


def _logged(record: Record, migrations: Sequence[Migration], requests: Requests) -> Iterator[_Error]:
    """Errors in the servers' logs, of other sessions than the migrations' own."""
    for database, watch in record.watches.items():
        own = frozenset[int]().union(*(m.backends for m in migrations if m.database == database))
        for error in _logged_by(watch.database, own, requests):
            yield replace(error, database=database)


def _logged_by(lines: Iterable[ObserverLine], own: frozenset[int], requests: Requests) -> Iterator[_Error]:
    samples = requests.samples
    for entry in lines:
        if not isinstance(entry, LogEntry) or entry.application.startswith(OURS):
            continue
        pid = entry.pids[0] if entry.kind == "deadlock" and entry.pids else entry.pid
        kind = kind_of(entry)
        if kind is not None and pid not in own:
            query = entry.query or (entry.queries[0] if entry.queries else "")
            sample = requests.tied_to(query)
            endpoint = None if sample is None else samples.endpoints[samples.endpoint[sample]]
            yield _Error(entry.at, kind, endpoint, entry.message, query, entry.count)


def _told(requests: Requests, edges: Floats) -> Iterator[_Error]:
    """Errors whose class the clients' causes tell: those of one cause and endpoint between two `edges` are
    one, told by its first.
    """
    samples = requests.samples
    kinds = [said(cause) for cause in samples.causes]
    telling = [number for number, kind in enumerate(kinds) if kind is not None]
    failed = np.flatnonzero(np.isin(samples.cause, telling) & (samples.outcome == Outcome.ERROR))
    found = samples.where(failed)
    found = found.where(np.argsort(found.end, kind="stable"))
    alike = np.column_stack([found.cause, found.endpoint, np.searchsorted(edges, found.end, side="right")])
    _, first, counts = np.unique(alike, axis=0, return_index=True, return_counts=True)
    for position, count in sorted(zip(first.tolist(), counts.tolist(), strict=True)):
        cause = int(found.cause[position])
        kind = kinds[cause]
        if kind is not None:
            endpoint = samples.endpoints[found.endpoint[position]]
            yield _Error(float(found.end[position]), kind, endpoint, samples.causes[cause], count=count)


def _edges(timeline: Timeline, others: Iterable[float] = ()) -> Floats:
    """Where a phase begins or ends, and `others`: nothing that is asked of an instant changes in between."""
    return np.unique([*(at for phase in timeline.phases for at in (phase.start, phase.end)), *others])


# what brought them about


@dataclass(frozen=True)
class _Cause:
    """The search for the statement behind errors of one class and phase: the `first` of them, and all
    that are `alike` in any phase.
    """

    kind: Kind
    first: _Error
    alike: Sequence[_Error]
    migrations: Sequence[Migration]
    charges: Sequence[Charge]

    def found(self) -> tuple[_Guilty | None, str]:
        """The statement, and what speaks for it."""
        if self.kind.begins == CONSEQUENCE:
            return None, "a consequence of an earlier error in the same transaction"
        if self.kind.begins == REFUSED:
            return None, "the service refused them for coming too often"
        if self.kind.begins == POOLED:
            return None, "one of PostgreSQL's processes has them, and a pooler in transaction mode changes it"
        if self.kind.begins == REPLAYED:
            return None, "a replica canceled them to go on with what the primary had done"
        if self.kind.begins == NO_ROOM:
            return None, "the disk of the database had no room left"
        migration = self._migration(self.first)
        if migration is None:
            return None, ""
        before = sum(error.count for error in self.alike if error.at < _began(migration))
        if before:
            return None, f"there were {before} of them before the {migration.direction} too"
        if self.kind.begins == MEANWHILE:
            return self._made_wait(self.first)
        return self._committed(migration, self.first)

    def _migration(self, first: _Error) -> Migration | None:
        """The latest one that had begun there."""
        begun = [
            m
            for m in self.migrations
            if not m.placebo and m.begin_at <= first.at and first.database in (None, m.database)
        ]
        return begun[-1] if begun else None

    def _made_wait(self, first: _Error) -> tuple[_Guilty | None, str]:
        """The statement for which most sessions waited when the first of them failed."""
        then = [c for c in self.charges if c.start <= first.at <= c.end + 1.0]
        worst = _worst(then)
        if worst is None:
            return None, "no session waited for the migration then"
        return worst, "sessions waited for it when they began"

    def _committed(self, migration: Migration, first: _Error) -> tuple[_Guilty | None, str]:
        """The statement, committed by then, that speaks of what the error names, or the last one."""
        done = [
            statement
            for statement in migration.trace.migration_statements
            if (at := migration.at(_settled(statement))) is not None and at <= first.at + COMMIT_SLACK_S
        ]
        last = max((_settled(statement) or 0.0 for statement in done), default=0.0)
        likeliest = max(reversed(done), key=lambda statement: _speaks_of(statement, first), default=None)
        if likeliest is None or likeliest.n is None:
            return None, "they began before anything was committed"
        if _speaks_of(likeliest, first):
            guilty = _Guilty(migration.name, likeliest.revision, likeliest.n)
            return guilty, "they began after its commit and name what it changed"
        latest = [statement for statement in done if _settled(statement) == last]
        if len(latest) == 1 and latest[0].n is not None:
            guilty = _Guilty(migration.name, latest[0].revision, latest[0].n)
            return guilty, "they began after its commit"
        return None, f"they began after the commit of {len(latest)} statements"


def _began(migration: Migration) -> float:
    return migration.first_statement_at or migration.begin_at


def _settled(statement: Statement) -> float | None:
    """When what it did could be seen by others. One outside a transaction leaves something behind even where
    it fails: an invalid index still enforces uniqueness.
    """
    return statement.ended_mono if statement.transaction is None else statement.committed_mono


def _speaks_of(statement: Statement, error: _Error) -> int:
    """How much a statement has to do with an error: it writes its names, or locked a table of its query."""
    text = statement.sql.lower()
    named = {last_part(found[1] or found[2]).lower() for found in _NAMED.finditer(error.text)}
    query = set(re.findall(r"\w+", error.query.lower()))
    strongest = {lock.relation for lock in statement.locks if lock.mode == "AccessExclusiveLock"}
    locked = sum(last_part(relation).lower() in query for relation in strongest)
    return 2 * sum(re.search(rf"\b{re.escape(name)}\b", text) is not None for name in named) + (locked > 0)


# the pool


def _starved(
    timeline: Timeline, charges: Sequence[Charge], requests: Requests
) -> Iterator[tuple[float, ErrorClass]]:
    """Requests that failed or stood still while many sessions waited, of endpoints of which none did.

    The database shows nothing of them: they never got a connection. Seen only where waits are tied to their
    requests, as else nobody knows which endpoints waited.
    """
    crowded = _crowded(charges)
    if not crowded:
        return
    told = requests.tied(charge.wait.query for charge in charges)
    tied = told[told >= 0]
    if 2 * len(tied) < len(told):
        return
    samples = requests.samples
    related = np.unique(samples.endpoint[tied])
    failed = np.flatnonzero(samples.outcome != Outcome.OK)
    failed = failed[in_any(samples.where(failed), crowded)]
    # On a busy machine requests are slow anyway: the crowd explains those that it lasted for.
    slow = np.flatnonzero(samples.latency > POOL_SLOW_S)
    stood_still = slow[share_in(samples.where(slow), crowded) >= POOL_SHARE]
    starved = samples.where(np.union1d(failed, stood_still))
    starved = starved.where(~np.isin(starved.endpoint, related))
    worst = _worst(charges)
    for phase, own in _by_phase(starved, timeline):
        if len(own) >= POOL_REQUESTS:
            names = tuple(sorted(own.endpoints[number] for number in np.unique(own.endpoint)))
            why = f"they failed or took over {POOL_SLOW_S:g} s while {POOL_SESSIONS} sessions or more waited"
            found = ErrorClass(
                *(POOL_EXHAUSTED, None, phase, len(own), names, "clients and waits", None, why)
            )
            yield float(own.end[0]), _laid_to(worst, found)


def _by_phase(samples: SampleTable, timeline: Timeline) -> Iterator[tuple[str | None, SampleTable]]:
    """The samples by the phase in which they ended."""
    stretch = np.searchsorted(_edges(timeline), samples.end, side="right")
    stretches: dict[str | None, list[int]] = defaultdict(list)
    for number, position in zip(*np.unique(stretch, return_index=True), strict=True):
        stretches[timeline.phase_at(float(samples.end[position]))].append(int(number))
    for phase, numbers in stretches.items():
        yield phase, samples.where(np.isin(stretch, numbers))


def _crowded(charges: Sequence[Charge]) -> list[tuple[float, float]]:
    """The intervals in which at least `POOL_SESSIONS` sessions waited for the migration."""
    steps = sorted([(c.start, 1) for c in charges] + [(c.end, -1) for c in charges])
    crowded, waiting, since = [], 0, 0.0
    for at, step in steps:
        if waiting < POOL_SESSIONS <= waiting + step:
            since = at
        elif waiting + step < POOL_SESSIONS <= waiting:
            crowded.append((since, at))
        waiting += step
    return crowded


def _worst(charges: Iterable[Charge]) -> _Guilty | None:
    """The statement for which sessions waited most."""
    seconds: dict[_Guilty, float] = defaultdict(float)
    for charge in charges:
        if charge.statement is not None and charge.statement.n is not None:
            guilty = _Guilty(charge.migration.name, charge.statement.revision, charge.statement.n)
            seconds[guilty] += charge.seconds
    return max(seconds, key=lambda key: seconds[key], default=None)
