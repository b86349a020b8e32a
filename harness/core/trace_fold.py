"""From the tracer's records to what the migration did.

`TraceFold` takes records one by one, so the same code answers *what is it doing now* during the run and
gives the `Trace` after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.core.trace import Lock, Now, Record, RevisionRun, Statement, StatementKind, Trace, Transaction

__all__ = ["TraceFold", "build"]

_TABLES = ("r", "m", "p")
_PROBES = ("show transaction isolation level", "show standard_conforming_strings")


def build(
    records: Iterable[Record],
    *,
    unreadable: int = 0,
    relfilenodes: Mapping[int, int] | None = None,
    seen_backends: Iterable[int] = (),
) -> Trace:
    """Fold all records into a trace. See `TraceFold` and `TraceFold.trace` for the arguments."""
    fold = TraceFold(relfilenodes)
    for record in records:
        fold.add(record)
    return fold.trace(seen_backends=seen_backends, unreadable=unreadable)


@dataclass(eq=False)
class _Lock:
    relation: str
    kind: str | None
    mode: str
    granted: float
    released: float | None = None


@dataclass(eq=False)
class _Transaction:
    id: int
    backend_pid: int
    started: float
    ended: float | None = None
    outcome: Literal["commit", "rollback"] | None = None


@dataclass(eq=False)
class _Statement:
    n: int | None
    kind: StatementKind
    revision: str | None
    sql: str
    process: int
    backend_pid: int
    started: float
    lock_timeout: float | None
    statement_timeout: float | None
    transaction: _Transaction | None = None
    ended: float | None = None
    duration: float | None = None
    rows: int | None = None
    sqlstate: str | None = None
    error: str | None = None
    locks: list[_Lock] = field(default_factory=list)
    rewrites: list[str] = field(default_factory=list)
    executions: int = 1

    def committed(self) -> float | None:
        if self.error is not None:
            return None
        if self.transaction is None:
            return self.ended
        return self.transaction.ended if self.transaction.outcome == "commit" else None


@dataclass(eq=False)
class _Backend:
    lock_timeout: float | None = None
    statement_timeout: float | None = None
    transaction: _Transaction | None = None
    held: dict[tuple[int, str], _Lock] = field(default_factory=dict)
    unseen: list[_Statement] = field(default_factory=list)
    """LOCK TABLE statements since the last snapshot: none is taken after them."""
    rolled_back_to: float | None = None


class TraceFold:
    """`relfilenodes` maps the oid of a table to its file node before the migration; without it the first
    rewrite of a table is seen only if an earlier statement of the migration had locked it."""

    def __init__(self, relfilenodes: Mapping[int, int] | None = None) -> None:
        self._file_nodes = {oid: {node} for oid, node in (relfilenodes or {}).items()}
        self._names: dict[int, tuple[str, str | None]] = {}
        self._backends: dict[tuple[int, int], _Backend] = {}
        self._statements: list[_Statement] = []
        self._open: dict[tuple[int, int], _Statement] = {}
        self._prepares: dict[tuple[int, int], Record] = {}
        self._ended: dict[tuple[int, int], _Statement] = {}
        self._repeats: dict[tuple[Any, ...], _Statement] = {}
        self._transactions: list[_Transaction] = []
        self._revisions: list[RevisionRun] = []
        self._announced: set[int] = set()
        self._hello = self._hooked_alembic = False
        self._finished: set[int] = set()
        self._gaps: list[str] = []
        self._wrong_database: str | None = None
        self._blind: list[str] = []
        self._count = 0

    def add(self, record: Record) -> None:
        """Take the next record; kinds this version does not know are passed over."""
        taker = getattr(self, f"_on_{record.get('kind')}", None)
        if taker is not None:
            taker(record)

    # questions

    def now(self) -> Now | None:
        """What is running, None outside every revision."""
        revision = next((run for run in reversed(self._revisions) if run.ended_mono is None), None)
        running = [statement for statement in self._open.values() if statement.kind == "migration"]
        if running:
            latest = running[-1]
            return Now(latest.revision, latest.n, latest.sql, latest.started)
        return None if revision is None else Now(revision.revision, None, None, revision.started_mono)

    @property
    def backends(self) -> frozenset[int]:
        return frozenset(self._announced)

    @property
    def started(self) -> bool:
        """Whether the first statement of a revision has been sent."""
        return self._count > 0

    def trace(self, *, seen_backends: Iterable[int] = (), unreadable: int = 0) -> Trace:
        """`seen_backends`: pids of the migration's backends somebody else saw in the server; one that did not
        announce itself makes the trace incomplete, as does an `unreadable` line."""
        return Trace(
            statements=tuple(_frozen(statement) for statement in self._statements),
            revisions=tuple(self._revisions),
            transactions=tuple(
                Transaction(found.id, found.backend_pid, found.started, found.ended, found.outcome)
                for found in self._transactions
            ),
            backends=self.backends,
            hello=self._hello,
            hooked_alembic=self._hooked_alembic,
            why_incomplete=self._why_incomplete(set(seen_backends) - self._announced, unreadable),
            wrong_database=self._wrong_database,
            blind=tuple(self._blind),
        )

    def _why_incomplete(self, strangers: set[int], unreadable: int) -> str | None:
        if not self._hello:
            return "no Python of the migration's command loaded the tracer, or the trace could not be written"
        if not self._hooked_alembic:
            return "Alembic was not imported in a traced process"
        if self._wrong_database:
            return f"stopped before the first statement: {self._wrong_database}"
        if self._gaps:
            return f"a hook failed: {self._gaps[0]}"
        if strangers:
            pids = ", ".join(str(pid) for pid in sorted(strangers))
            return f"backends of the migration that did not announce themselves: {pids}"
        if unreadable:
            return f"{unreadable} lines of the trace are unreadable"
        lost = [statement for statement in self._open.values() if statement.process not in self._alive()]
        return f"the end of a statement is missing: {lost[0].sql[:80]}" if lost else None

    def _alive(self) -> set[int]:
        """Processes that have not said goodbye: a statement of theirs without an end is running, or they
        died in it."""
        return {statement.process for statement in self._statements} - self._finished

    # the process

    def _on_hello(self, _record: Record) -> None:
        self._hello = True

    def _on_hooked(self, record: Record) -> None:
        self._hooked_alembic = self._hooked_alembic or record["library"] == "alembic"

    def _on_hookfail(self, record: Record) -> None:
        self._gaps.append(f"{record['where']}: {record['error']}")

    def _on_bye(self, record: Record) -> None:
        self._finished.add(record["process"])

    def _on_conn(self, record: Record) -> None:
        self._announced.add(record["backend"])
        self._backends[record["process"], record["backend"]] = _Backend()
        self._on_settings(record)

    def _on_unidentified(self, record: Record) -> None:
        self._announced.add(record["backend"])

    def _on_wrong_database(self, record: Record) -> None:
        self._wrong_database = (
            f"a connection went to database {record['found']} (system identifier:oid),"
            f" the guarded one is {record['expected']}"
        )

    def _on_blind(self, record: Record) -> None:
        self._blind.append(f"backend {record['backend']}: {record['reason']}")

    def _on_settings(self, record: Record) -> None:
        backend = self._backend(record)
        backend.lock_timeout = record["lock_timeout_s"]
        backend.statement_timeout = record["statement_timeout_s"]

    def _backend(self, record: Record) -> _Backend:
        return self._backends.setdefault((record["process"], record["backend"]), _Backend())

    # revisions

    def _on_rev_begin(self, record: Record) -> None:
        self._revisions.append(
            RevisionRun(
                revision=record["revision"],
                down_revisions=tuple(record["down_revisions"]),
                is_upgrade=record["is_upgrade"],
                is_stamp=record["is_stamp"],
                doc=record["doc"],
                started_mono=record["mono"],
                ended_mono=None,
                ok=None,
            )
        )

    def _on_rev_end(self, record: Record) -> None:
        for number, run in reversed(list(enumerate(self._revisions))):
            if run.revision == record["revision"] and run.ended_mono is None:
                self._revisions[number] = replace(run, ended_mono=record["mono"], ok=record["ok"])
                return

    # statements

    def _on_begin(self, record: Record) -> None:
        key = record["process"], record["k"]
        backend = self._backend(record)
        if record["status"] == "idle" and backend.transaction is not None:
            # psycopg2 rolls back by itself, without a call that could be hooked, when autocommit is
            # switched on.
            self._close_transaction(backend, record["mono"], "rollback")
        if record["prepare"]:
            self._prepares[key] = record
        else:
            self._open[key] = self._new_statement(record)

    def _new_statement(self, record: Record) -> _Statement:
        kind = _kind(record)
        self._count += kind == "migration"
        backend = self._backend(record)
        statement = _Statement(
            n=self._count if kind == "migration" else None,
            kind=kind,
            revision=record["revision"],
            sql=record["sql"],
            process=record["process"],
            backend_pid=record["backend"],
            started=record["mono"],
            lock_timeout=backend.lock_timeout,
            statement_timeout=backend.statement_timeout,
        )
        self._statements.append(statement)
        return statement

    def _on_end(self, record: Record) -> None:
        key = record["process"], record["k"]
        prepare = self._prepares.pop(key, None)
        if prepare is not None and record["error"] is None:
            return  # it is counted when it is executed
        statement = self._open.pop(key, None) or (self._new_statement(prepare) if prepare else None)
        if statement is None:
            return
        statement.ended = record["mono"]
        statement.duration = record["duration_s"]
        statement.rows = record["rows"]
        statement.sqlstate = record["sqlstate"]
        statement.error = record["error"]
        self._ended[key] = statement
        self._place(statement, self._backend(record), record["status"])

    def _place(self, statement: _Statement, backend: _Backend, status: str | None) -> None:
        """Put the statement into its transaction; one that leaves the connection idle had none, or ended
        it."""
        if status in ("in", "error") and backend.transaction is None:
            self._open_transaction(statement.backend_pid, backend, statement.started)
        statement.transaction = backend.transaction
        if status == "idle" and backend.transaction is not None:
            outcome: Literal["commit", "rollback"] = "rollback" if statement.error else "commit"
            self._close_transaction(backend, statement.ended or statement.started, outcome)
        elif statement.sql.lstrip()[:4].upper() == "LOCK" and statement.error is None:
            backend.unseen.append(statement)

    def _on_more(self, record: Record) -> None:
        if record["prepare"]:
            return
        backend = self._backend(record)
        if record["status"] in ("in", "error") and backend.transaction is None:
            self._open_transaction(record["backend"], backend, record["mono"])
        transaction = backend.transaction.id if backend.transaction else None
        key = (
            record["process"],
            record["backend"],
            transaction,
            record["revision"],
            record["step"],
            record["key"],
        )
        statement = self._repeats.get(key)
        if statement is None:
            statement = self._repeats[key] = self._new_statement(record)
            statement.executions, statement.duration, statement.rows = 0, 0.0, 0
        statement.executions += record["count"]
        statement.duration = (statement.duration or 0.0) + record["duration_s"]
        statement.ended = record["ended"]
        statement.rows = (
            None if None in (statement.rows, record["rows"]) else (statement.rows or 0) + record["rows"]
        )
        self._place(statement, backend, record["status"])

    # transactions

    def _open_transaction(self, pid: int, backend: _Backend, started: float) -> None:
        backend.transaction = _Transaction(len(self._transactions) + 1, pid, started)
        self._transactions.append(backend.transaction)

    def _close_transaction(
        self, backend: _Backend, ended: float, outcome: Literal["commit", "rollback"]
    ) -> None:
        if backend.transaction is not None:
            backend.transaction.ended, backend.transaction.outcome = ended, outcome
        for lock in backend.held.values():
            lock.released = ended
        backend.transaction = None
        backend.held.clear()
        backend.unseen.clear()
        backend.rolled_back_to = None

    def _on_txn(self, record: Record) -> None:
        backend = self._backend(record)
        what, ended = record["what"], record["mono"]
        if what == "rollback_to":
            backend.rolled_back_to = ended
        elif what in ("commit", "rollback") and record["status"] != "error":
            committed = what == "commit" and record["ok"]
            self._close_transaction(backend, ended, "commit" if committed else "rollback")
        if record["status"] == "in" and backend.transaction is None:
            self._open_transaction(record["backend"], backend, record["started"])

    # snapshots

    def _on_snapshot(self, record: Record) -> None:
        self._on_settings(record)
        statement = self._ended.get((record["process"], record["k"]))
        if statement is None:
            return
        backend = self._backend(record)
        statement.lock_timeout = backend.lock_timeout
        statement.statement_timeout = backend.statement_timeout
        present = set()
        for oid, relation, kind, mode, file_node in record["locks"]:
            present.add((oid, mode))
            self._see_name(oid, relation, kind)
            self._see_file_node(statement, oid, file_node)
            if (oid, mode) not in backend.held:
                self._see_lock(statement, backend, oid, mode)
        self._see_released(backend, present, statement.started)
        backend.unseen.clear()

    def _see_name(self, oid: int, relation: str, kind: str | None) -> None:
        if kind is not None:
            self._names[oid] = relation, kind

    def _see_file_node(self, statement: _Statement, oid: int, file_node: int | None) -> None:
        if not file_node:
            return
        # A rewrite gives a number never used before, so one that was rolled back is not taken for another
        # rewrite.
        known = self._file_nodes.setdefault(oid, set())
        relation, kind = self._names[oid]
        if known and file_node not in known and kind in _TABLES:
            statement.rewrites.append(relation)
        known.add(file_node)

    def _see_lock(self, statement: _Statement, backend: _Backend, oid: int, mode: str) -> None:
        relation, kind = self._names.get(oid, (None, None))
        if relation is None:
            return  # made and dropped within one statement: nobody could wait for it
        owner = next(
            (earlier for earlier in backend.unseen if _locks(earlier.sql, relation, mode)), statement
        )
        lock = _Lock(relation, kind, mode, owner.started)
        backend.held[oid, mode] = lock
        known = any((found.relation, found.mode) == (relation, mode) for found in owner.locks)
        if not known and not relation.startswith("pg_toast."):
            owner.locks.append(lock)

    def _see_released(self, backend: _Backend, present: set[tuple[int, str]], started: float) -> None:
        """Only ROLLBACK TO SAVEPOINT gives locks back before the end of the transaction."""
        for key in [key for key in backend.held if key not in present]:
            backend.held.pop(key).released = backend.rolled_back_to or started


def _kind(record: Record) -> StatementKind:
    if record["step"] == "version":
        return "version"
    if record["step"] != "migration" or record["sql"].strip().lower() in _PROBES:
        return "driver"
    return "migration"


def _locks(sql: str, relation: str, mode: str) -> bool:
    """Whether this LOCK TABLE names that relation and mode."""
    bare = relation.rsplit(".", 1)[-1].strip('"')
    wanted = re.search(r"\bin\s+([a-z\s]+?)\s+mode\b", sql, re.IGNORECASE)
    words = (wanted[1] if wanted else "access exclusive").split()
    same_mode = "".join(word.capitalize() for word in words) + "Lock" == mode
    return same_mode and re.search(rf"\b{re.escape(bare)}\b", sql) is not None


def _frozen(found: _Statement) -> Statement:
    return Statement(
        n=found.n,
        kind=found.kind,
        revision=found.revision,
        sql=found.sql,
        process=found.process,
        backend_pid=found.backend_pid,
        transaction=found.transaction.id if found.transaction else None,
        started_mono=found.started,
        ended_mono=found.ended,
        duration_s=found.duration,
        rows=found.rows,
        sqlstate=found.sqlstate,
        error=found.error,
        lock_timeout_s=found.lock_timeout,
        statement_timeout_s=found.statement_timeout,
        locks=tuple(
            Lock(lock.relation, lock.kind, lock.mode, lock.granted, lock.released) for lock in found.locks
        ),
        rewrites=tuple(found.rewrites),
        executions=found.executions,
        committed_mono=found.committed(),
    )
