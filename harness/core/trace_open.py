"""What of a migration is not over yet: statements, their locks and transactions, while the tracer's records
are taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.core.session_settings import TIMEOUTS, LostSetting
from harness.core.trace import Lock, Record, Statement, StatementKind

__all__ = ["OpenLock", "OpenStatement", "OpenTransaction", "Timeouts"]


@dataclass(eq=False)
class OpenLock:
    """A lock as `trace.Lock` has it, `released` still to come."""

    relation: str
    kind: str | None
    mode: str
    granted: float
    of: str | None
    oid: int
    released: float | None = None


@dataclass(eq=False)
class OpenTransaction:
    """A transaction block, its end still to come. `failed` is when a statement's error aborted it: its locks
    are released then, unless a savepoint keeps some."""

    id: int
    backend_pid: int
    started: float
    ended: float | None = None
    outcome: Literal["commit", "rollback"] | None = None
    failed: float | None = None
    has_savepoints: bool = False

    def fail(self, statement: OpenStatement) -> None:
        """The statement's error aborted it, back to the last savepoint at least."""
        self.failed = self.failed or statement.ended
        self.has_savepoints = self.has_savepoints or "savepoint" in statement.sql.lower()

    @property
    def released(self) -> float | None:
        return self.ended if self.has_savepoints or self.failed is None else self.failed


@dataclass(eq=False)
class OpenStatement:
    """A statement as `trace.Statement` has it, most of it still to come."""

    n: int | None
    kind: StatementKind
    revision: str | None
    sql: str
    process: int
    backend_pid: int
    started: float
    timeouts: Timeouts
    context: int | None = None
    transaction: OpenTransaction | None = None
    ended: float | None = None
    duration: float | None = None
    rows: int | None = None
    sqlstate: str | None = None
    error: str | None = None
    locks: list[OpenLock] = field(default_factory=list)
    rewrites: list[str] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    wal_bytes: int | None = None
    tracer_s: float = 0.0
    executions: int = 1
    lost: tuple[LostSetting, ...] = ()

    def committed(self) -> float | None:
        if self.error is not None:
            return None
        if self.transaction is None:
            return self.ended
        return self.transaction.ended if self.transaction.outcome == "commit" else None

    def frozen(self) -> Statement:
        """As it is now."""
        return Statement(
            n=self.n,
            kind=self.kind,
            revision=self.revision,
            sql=self.sql,
            process=self.process,
            backend_pid=self.backend_pid,
            transaction=self.transaction.id if self.transaction else None,
            started_mono=self.started,
            ended_mono=self.ended,
            duration_s=self.duration,
            rows=self.rows,
            sqlstate=self.sqlstate,
            error=self.error,
            lock_timeout_s=self.timeouts.lock,
            statement_timeout_s=self.timeouts.statement,
            locks=tuple(
                Lock(lock.relation, lock.kind, lock.mode, lock.granted, lock.released, lock.of, lock.oid)
                for lock in self.locks
            ),
            rewrites=tuple(self.rewrites),
            executions=self.executions,
            committed_mono=self.committed(),
            scans=tuple(self.scans),
            rebuilt=tuple(self.rebuilt),
            wal_bytes=self.wal_bytes,
            tracer_s=self.tracer_s,
            idle_timeout_s=self.timeouts.idle,
            context=self.context,
            lost=self.lost,
        )


class Timeouts(NamedTuple):
    """In seconds; 0 is none, None unknown."""

    lock: float | None = None
    statement: float | None = None
    idle: float | None = None

    @classmethod
    def of(cls, record: Record) -> Timeouts:
        idle = record.get("idle_in_transaction_session_timeout_s")
        return cls(record["lock_timeout_s"], record["statement_timeout_s"], idle)

    def by_name(self) -> dict[str, float | None]:
        """By PostgreSQL's names of the settings."""
        return dict(zip(TIMEOUTS, self, strict=True))
