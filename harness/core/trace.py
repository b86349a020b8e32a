"""What a migration did: its statements, revisions and transactions, as its tracer saw them.

All times are CLOCK_MONOTONIC seconds of the machine the migration ran on. `harness.core.trace_fold` builds
these from the tracer's records, which `harness/db/tracer/mul_tracer/__init__.py` lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.core.session_settings import LostSetting

__all__ = [
    "Context",
    "Lock",
    "Now",
    "Record",
    "RevisionRun",
    "Statement",
    "StatementKind",
    "Trace",
    "Transaction",
    "VersionTable",
    "parse",
]

Record = Mapping[str, Any]
StatementKind = Literal["migration", "version", "driver"]


@dataclass(frozen=True)
class Lock:
    """A lock on a relation this statement was the first of its transaction to hold, in that mode.

    `relation` is the name as PostgreSQL prints it for the session's search path, and as it was before the
    statement if that renamed it; `kind` is `pg_class.relkind`, `of` the table that an index, an owned
    sequence or a TOAST table belongs to, None for tables. `granted_mono` is the statement's start: PostgreSQL
    does not tell when within the statement it was granted, so `hold_s` is an upper bound that includes the
    wait for the lock. `released_mono` is None while it is held.
    """

    relation: str
    kind: str | None
    mode: str
    granted_mono: float
    released_mono: float | None
    of: str | None = None
    oid: int | None = None

    @property
    def hold_s(self) -> float | None:
        return None if self.released_mono is None else self.released_mono - self.granted_mono


@dataclass(frozen=True)
class Statement:
    """One statement as the driver sent it, or the sum of `executions` fast repeats of one.

    `n` counts the migration's own statements from 1 and is None for the others: `version` is Alembic's
    bookkeeping, `driver` everything outside a revision (dialect probes, what env.py does). `lock_timeout_s`
    and the other timeouts are the values in effect, 0 meaning no timeout, None unknown. `committed_mono` is
    None for what was rolled back or still is open.

    `locks` are exact for what succeeded in a transaction. Left out are relations made in the same
    transaction, which nobody else can see, and TOAST tables locked no more than their table is. They are
    unknown for a statement that failed and for one outside a transaction (`transaction` is None), whose locks
    are gone when it answers. `rewrites` are tables, `rebuilt` indexes with a new file; `scans` are tables of
    which it read rows one after the other, through PostgreSQL's own checks too (in version 14 a second scan
    of just as many rows in another transaction may be missed; outside a transaction they are unknown).
    `wal_bytes` is what the whole server wrote between our questions before and after the statement, so an
    upper bound that includes what users wrote (PostgreSQL 18 counts by backend, but only when a transaction
    ends); None where a statement about which we did not ask came between. `tracer_s` is our own time on its
    connection after it, a part of the hold of its locks. `attempt_of` is the number of the statement that
    this one runs again, see `harness.core.attempts`. `lost` are timeouts that its session had set and that a
    connection pooler took away.
    """

    n: int | None
    kind: StatementKind
    revision: str | None
    sql: str
    process: int
    backend_pid: int
    transaction: int | None
    started_mono: float
    ended_mono: float | None
    duration_s: float | None
    rows: int | None
    sqlstate: str | None
    error: str | None
    lock_timeout_s: float | None
    statement_timeout_s: float | None
    locks: tuple[Lock, ...]
    rewrites: tuple[str, ...]
    executions: int
    committed_mono: float | None
    scans: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    wal_bytes: int | None = None
    tracer_s: float = 0.0
    idle_timeout_s: float | None = None
    attempt_of: int | None = None
    context: int | None = None
    lost: tuple[LostSetting, ...] = ()


@dataclass(frozen=True)
class VersionTable:
    """Where Alembic keeps the revisions of one schema. `schema` is what env.py gives, None where the search
    path decides; `schema_oid` is that of the schema it is in, None where the tracer could not see it. (The
    table's own oid would be another after an attempt that was rolled back.)"""

    name: str
    schema: str | None = None
    schema_oid: int | None = None
    database: str | None = None


@dataclass(frozen=True)
class Context:
    """One `context.run_migrations()` of env.py, numbered from 1: there is one for each schema or database
    that it goes through.

    `heads_before` is what the version table held, `heads_after` what it holds if the transaction is
    committed; None where Alembic did not get that far. `error` is the exception that ended it, whether or not
    env.py let it through; `ok` is None while it runs.
    """

    number: int
    table: VersionTable
    heads_before: tuple[str, ...] | None = None
    heads_after: tuple[str, ...] | None = None
    ok: bool | None = None
    error: str | None = None


@dataclass(frozen=True)
class RevisionRun:
    """One step of Alembic; `ok` is None while it runs, or when its process died in it; `error` is the
    exception that ended it."""

    revision: str | None
    down_revisions: tuple[str, ...]
    is_upgrade: bool
    is_stamp: bool
    doc: str | None
    started_mono: float
    ended_mono: float | None
    ok: bool | None
    error: str | None = None
    context: int | None = None


@dataclass(frozen=True)
class Transaction:
    """A transaction block, numbered from 1; `outcome` is None when its end was not seen."""

    id: int
    backend_pid: int
    started_mono: float
    ended_mono: float | None
    outcome: Literal["commit", "rollback"] | None


@dataclass(frozen=True)
class Now:
    """What the migration is doing: between two statements `n`, `sql` and `since_mono` are those of the
    revision."""

    revision: str | None
    n: int | None
    sql: str | None
    since_mono: float


@dataclass(frozen=True)
class Trace:
    """`complete` says whether every statement of the migration is here; `why_incomplete` says what is
    missing.

    `blind` holds the reasons for which locks and rewrites are missing from some statements, `slow` those for
    which scans may be: the first snapshot of a connection that took more than 5 ms. `pooled_by` are the pids
    of PostgreSQL's processes that were seen to serve a connection through a pooler.
    """

    statements: tuple[Statement, ...]
    revisions: tuple[RevisionRun, ...]
    transactions: tuple[Transaction, ...]
    backends: frozenset[int]
    hello: bool
    hooked_alembic: bool
    why_incomplete: str | None
    wrong_database: str | None
    blind: tuple[str, ...]
    slow: tuple[str, ...] = ()
    contexts: tuple[Context, ...] = ()
    pooled_by: frozenset[int] = frozenset()

    @property
    def complete(self) -> bool:
        return self.why_incomplete is None

    @property
    def migration_statements(self) -> tuple[Statement, ...]:
        return tuple(statement for statement in self.statements if statement.kind == "migration")

    @property
    def first_statement_mono(self) -> float | None:
        """Start of the first statement of a revision; where the impact window begins."""
        return min((statement.started_mono for statement in self.migration_statements), default=None)

    @property
    def last_commit_mono(self) -> float | None:
        """End of the last commit that made a statement of a revision visible."""
        ends = (statement.committed_mono for statement in self.migration_statements)
        return max((end for end in ends if end is not None), default=None)


def parse(lines: Iterable[str]) -> tuple[list[Record], int]:
    """Records from lines, and how many lines before the last were unreadable; a torn last line is no
    fault."""
    records: list[Record] = []
    bad: list[int] = []
    last = -1
    for last, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            bad.append(last)
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            bad.append(last)
    return records, sum(number != last for number in bad)
