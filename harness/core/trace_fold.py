"""From the tracer's records to what the migration did.

`TraceFold` takes records one by one, so the same code answers *what is it doing now* during the run and
gives the `Trace` after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from harness.core.counted import counted
from harness.core.trace import Now, Record, StatementKind, Trace, Transaction
from harness.core.trace_contexts import Contexts
from harness.core.trace_locks import Backend, Database, take_relations, take_snapshot
from harness.core.trace_open import OpenStatement, OpenTransaction, Timeouts

__all__ = ["TraceFold", "build"]

_PROBES = ("show transaction isolation level", "show standard_conforming_strings")


def build(
    records: Iterable[Record],
    *,
    unreadable: int = 0,
    relfilenodes: Mapping[int, int] | None = None,
    database_oid: int | None = None,
    seen_backends: Iterable[int] = (),
) -> Trace:
    """Fold all records into a trace. See `TraceFold` and `TraceFold.trace` for the arguments."""
    fold = TraceFold(relfilenodes, database_oid)
    for record in records:
        fold.add(record)
    return fold.trace(seen_backends=seen_backends, unreadable=unreadable)


class TraceFold:
    """`relfilenodes` maps the oid of a table to its file node before the migration, in the database of
    `database_oid`; unless given, the first that it goes to. The tracer itself lists all relations when it
    connects, the newest 20,000 of them."""

    def __init__(
        self, relfilenodes: Mapping[int, int] | None = None, database_oid: int | None = None
    ) -> None:
        self._relfilenodes = relfilenodes
        self._database_oid = database_oid
        self._databases: dict[tuple[str | None, int | None], Database] = {}
        self._backends: dict[tuple[int, int], Backend] = {}
        self._statements: list[OpenStatement] = []
        self._open: dict[tuple[int, int], OpenStatement] = {}
        self._prepares: dict[tuple[int, int], Record] = {}
        self._ended: dict[tuple[int, int], OpenStatement] = {}
        self._repeats: dict[tuple[Any, ...], OpenStatement] = {}
        self._transactions: list[OpenTransaction] = []
        self._contexts = Contexts()
        self._announced: set[int] = set()
        self._pooled_by: set[int] = set()
        self._hello = self._hooked_alembic = False
        self._finished: set[int] = set()
        self._gaps: list[str] = []
        self._strange: list[str] = []
        self._wrong_database: str | None = None
        self._blind: list[str] = []
        self._slow: list[str] = []
        self._count = 0

    def add(self, record: Record) -> None:
        """Take the next record. Kinds this version does not know are passed over; one of a known kind that is
        not understood makes the trace incomplete.
        """
        kind = record.get("kind")
        taker = getattr(self, f"_on_{kind}", None)
        if taker is None:
            return
        try:
            taker(record)
        except (KeyError, TypeError, ValueError) as error:
            self._strange.append(f"{kind} ({type(error).__name__}: {error})")

    # questions

    def now(self) -> Now | None:
        """What is running, None outside every revision."""
        revision = next((run for run in reversed(self._contexts.steps) if run.ended_mono is None), None)
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
            statements=tuple(statement.frozen() for statement in self._statements),
            revisions=tuple(self._contexts.steps),
            transactions=tuple(
                Transaction(found.id, found.backend_pid, found.started, found.ended, found.outcome)
                for found in self._transactions
            ),
            backends=self.backends,
            hello=self._hello,
            hooked_alembic=self._hooked_alembic,
            why_incomplete=self._why_incomplete(self._strangers(seen_backends), unreadable),
            wrong_database=self._wrong_database,
            blind=tuple(self._blind),
            slow=tuple(self._slow),
            contexts=self._contexts.all(),
            pooled_by=frozenset(self._pooled_by),
        )

    def _strangers(self, seen_backends: Iterable[int]) -> set[int]:
        """Behind a pooler any of the server's processes may be seen under the migration's name."""
        return set() if self._pooled_by else set(seen_backends) - self._announced

    def _why_incomplete(self, strangers: set[int], unreadable: int) -> str | None:
        if not self._hello:
            return "no Python of the migration's command loaded the tracer, or the trace could not be written"
        if not self._hooked_alembic:
            return "Alembic was not imported in a traced process"
        if self._wrong_database:
            return f"stopped before the first statement: {self._wrong_database}"
        if self._gaps:
            return f"a hook failed: {self._gaps[0]}"
        if self._strange:
            strange = counted(len(self._strange), "record of the trace is", "records of the trace are")
            return f"{strange} not understood: {self._strange[0]}"
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
        database = self._database(record.get("system_identifier"), record.get("database_oid"))
        database.label = record.get("database")
        pooled = record.get("server_pid") not in (None, record["backend"])
        timeouts = Timeouts() if pooled else Timeouts.of(record)
        found = Backend(database, record.get("server_version"), timeouts, pooled=pooled)
        for name, value in (record.get("defaults") or {}).items():
            found.session.take(f"SET {name} = '{value}'", None, in_transaction=False)
        self._backends[record["process"], record["backend"]] = found
        self._served(record, found)

    def _served(self, record: Record, backend: Backend) -> None:
        """The pooler's client is told a pid of the pooler's own, so PostgreSQL's must be asked for."""
        pid = record.get("server_pid")
        if backend.pooled and pid is not None:
            self._announced.add(pid)
            self._pooled_by.add(pid)

    def _on_unidentified(self, record: Record) -> None:
        self._announced.add(record["backend"])

    def _on_wrong_database(self, record: Record) -> None:
        self._wrong_database = (
            f"a connection went to database {record.get('database') or ''} {record['found']} (system"
            f" identifier:oid), guarded is {record['expected']}"
        )

    def _backend(self, record: Record) -> Backend:
        key = record["process"], record["backend"]
        if key not in self._backends:
            self._backends[key] = Backend(self._database(None, None))
        return self._backends[key]

    def _database(self, system: str | None, oid: int | None) -> Database:
        """The file nodes given are those of one database; another has the same oids for other tables."""
        if (system, oid) not in self._databases:
            first = self._database_oid is None and not self._databases
            ours = first or (oid is not None and oid == self._database_oid)
            self._databases[system, oid] = Database(self._relfilenodes if ours else None)
        return self._databases[system, oid]

    # revisions

    def _on_rev_begin(self, record: Record) -> None:
        self._contexts.step_begins(record)

    def _on_rev_end(self, record: Record) -> None:
        self._contexts.step_ends(record)

    def _on_context(self, record: Record) -> None:
        self._contexts.begin(record)

    def _on_heads(self, record: Record) -> None:
        self._contexts.heads(record)

    def _on_context_end(self, record: Record) -> None:
        self._contexts.end(record)

    # statements

    def _on_begin(self, record: Record) -> None:
        key = record["process"], record["k"]
        backend = self._backend(record)
        if record["status"] == "idle" and backend.transaction is not None:
            # psycopg2 rolls back by itself, without a call that could be hooked, when autocommit is
            # switched on.
            backend.close_transaction(record["mono"], "rollback")
        if record["prepare"]:
            self._prepares[key] = record
        else:
            self._open[key] = self._new_statement(record)

    def _new_statement(self, record: Record) -> OpenStatement:
        kind = _kind(record)
        self._count += kind == "migration"
        backend = self._backend(record)
        statement = OpenStatement(
            n=self._count if kind == "migration" else None,
            kind=kind,
            revision=record["revision"],
            sql=record["sql"],
            process=record["process"],
            backend_pid=record["backend"],
            started=record["mono"],
            timeouts=backend.timeouts,
            context=self._contexts.number(record),
        )
        self._contexts.belongs(record, backend.database)
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
        backend = self._backend(record)
        self._place(statement, backend, record["status"])
        if statement.error is None:
            backend.session.take(statement.sql, statement.n, backend.transaction is not None)

    def _place(self, statement: OpenStatement, backend: Backend, status: str | None) -> None:
        """Put the statement into its transaction; one that leaves the connection idle had none, or ended
        it."""
        if status in ("in", "error") and backend.transaction is None:
            self._open_transaction(statement.backend_pid, backend, statement.started)
        backend.last = statement
        statement.transaction = backend.transaction
        if status == "error" and backend.transaction is not None:
            backend.transaction.fail(statement)
        if status in ("idle", "closed") and backend.transaction is not None:
            outcome: Literal["commit", "rollback"] = "rollback" if statement.error else "commit"
            backend.close_transaction(statement.ended or statement.started, outcome)
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

    def _open_transaction(self, pid: int, backend: Backend, started: float) -> None:
        backend.transaction = OpenTransaction(len(self._transactions) + 1, pid, started)
        self._transactions.append(backend.transaction)

    def _on_txn(self, record: Record) -> None:
        backend = self._backend(record)
        what, ended = record["what"], record["mono"]
        if what == "rollback_to":
            backend.rolled_back_to = ended
            backend.session.rolled_back_to()
        elif what == "savepoint" and backend.transaction is not None:
            backend.transaction.has_savepoints = True
        elif what in ("commit", "rollback") and record["status"] != "error":
            committed = what == "commit" and record["ok"]
            backend.close_transaction(ended, "commit" if committed else "rollback")
        if record["status"] == "in" and backend.transaction is None:
            self._open_transaction(record["backend"], backend, record["started"])

    # what the tracer asked

    def _on_snapshot(self, record: Record) -> None:
        backend = self._backend(record)
        statement = self._ended.get((record["process"], record["k"]))
        self._on_settings(record)
        if statement is not None:
            statement.timeouts = backend.timeouts
        if statement is not None or record["k"] is None:
            take_snapshot(record, backend, statement)
            backend.unseen.clear()
            self._contexts.locked(statement.context if statement else None, record)

    def _on_settings(self, record: Record) -> None:
        backend = self._backend(record)
        timeouts = Timeouts.of(record)
        if not backend.pooled or backend.transaction is not None:
            backend.timeouts = timeouts
        self._served(record, backend)
        self._look_for_lost(record, backend, timeouts)
        self._charge(record, backend)

    def _look_for_lost(self, record: Record, backend: Backend, timeouts: Timeouts) -> None:
        statement = self._ended.get((record["process"], record.get("k") or 0))
        if backend.pooled and statement is not None:
            beside = backend.transaction is None
            statement.lost = statement.lost or backend.session.lost(timeouts.by_name(), beside)

    def _on_relations(self, record: Record) -> None:
        backend = self._backend(record)
        self._served(record, backend)
        if "lock_timeout_s" in record:
            self._look_for_lost(record, backend, Timeouts.of(record))
        take_relations(record, backend.database, self._ended.get((record["process"], record["k"])))
        self._charge(record, backend)

    def _charge(self, record: Record, backend: Backend) -> None:
        if backend.last is not None:
            backend.last.tracer_s += record.get("cost_s") or 0.0

    def _on_unlisted(self, record: Record) -> None:
        self._backend(record).database.forget_files()

    def _on_blind(self, record: Record) -> None:
        self._blind.append(f"backend {record['backend']}: {record['reason']}")

    def _on_slow(self, record: Record) -> None:
        self._slow.append(
            f"backend {record['backend']}: a snapshot took {record['cost_s'] * 1000:.0f} ms, so scans"
            " were not read in the rest of its transaction"
        )


def _kind(record: Record) -> StatementKind:
    if record["step"] == "version":
        return "version"
    if record["step"] != "migration" or record["sql"].strip().lower() in _PROBES:
        return "driver"
    return "migration"
