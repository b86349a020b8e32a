"""What a snapshot tells: which locks are new, under which names, what was rewritten and what was read.

A snapshot is a look at the migration's own backend right after a statement, while its transaction is open.
The values here change while `harness.core.trace_fold` takes the tracer's records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.core.locks import MODES
from harness.core.session_settings import SessionSettings
from harness.core.trace import Record
from harness.core.trace_open import OpenLock, OpenStatement, OpenTransaction, Timeouts

__all__ = ["Backend", "Database", "take_relations", "take_snapshot"]

_TABLES = ("r", "m", "p")
_INDEX = "i"
_TOAST = re.compile(r"pg_toast(?:_temp_\d+)?\.pg_toast_(\d+)(?:_index)?$")
_FLUSHES_SINCE = 150_000  # server_version_num from which a snapshot has the counters of scans flushed


@dataclass(eq=False)
class Relation:
    """What is known of one oid. `full_name` has the schema's oid before the dot; `files` are its file nodes
    so far; `created` says that the transaction which made it is still open."""

    name: str
    kind: str
    full_name: str | None
    owner: int | None
    created: bool = False
    files: set[int] = field(default_factory=set)


class Database:
    """The relations of one database by oid, as all its backends taught them. `files` maps the oid of a table
    to its file node before the migration, `label` is the database's name."""

    def __init__(self, files: Mapping[int, int] | None = None) -> None:
        self.label: str | None = None
        self._first_files = dict(files or {})
        self.relations: dict[int, Relation] = {}

    def name(self, oid: int | None) -> str | None:
        found = self.relations.get(oid) if oid is not None else None
        return found.name if found else None

    def learn(self, row: _Row) -> Relation:
        """Remember what a row says of its relation."""
        relation = self.relations.get(row.oid)
        if relation is None:
            relation = self.relations[row.oid] = Relation(row.name, row.kind or "", row.full_name, row.owner)
        if row.oid in self._first_files:
            relation.files.add(self._first_files.pop(row.oid))
        relation.name, relation.full_name = row.name, row.full_name
        relation.owner = row.owner or relation.owner
        relation.created = row.created
        if row.file:
            relation.files.add(row.file)
        return relation

    def has_new_file(self, row: _Row) -> bool:
        """Whether the row's file was never seen before. A rewrite gives a number never used before, so one
        that was rolled back is not taken for another rewrite. An index made again under its name counts too.
        """
        if not row.file:
            return False
        relation = self.relations.get(row.oid)
        known = set(relation.files) if relation else set()
        if relation is None and row.kind == _INDEX and row.full_name:
            known = set().union(*(r.files for r in self.relations.values() if r.full_name == row.full_name))
        if row.oid in self._first_files:
            known.add(self._first_files[row.oid])
        return bool(known) and row.file not in known

    def forget_files(self) -> None:
        """After a statement whose rewrites were not looked for: no later one shall be charged with them."""
        self._first_files.clear()
        for relation in self.relations.values():
            relation.files.clear()


@dataclass(eq=False)
class Backend:
    """One connection: its timeouts, its transaction and what it holds. `pooled` says that a pooler is
    between: what was seen of its settings in one transaction then says nothing of the next."""

    database: Database
    version: int | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    transaction: OpenTransaction | None = None
    held: dict[tuple[int, str], OpenLock] = field(default_factory=dict)
    unseen: list[OpenStatement] = field(default_factory=list)
    """LOCK TABLE statements since the last snapshot: none is taken after one that begins a transaction."""
    rolled_back_to: float | None = None
    last: OpenStatement | None = None
    rows_read: dict[int, int] = field(default_factory=dict)
    made: dict[int, Relation] = field(default_factory=dict)
    """Relations its open transaction made, by oid."""
    renamed: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    """Names of relations before its open transaction renamed them, by oid."""
    pooled: bool = False
    session: SessionSettings = field(default_factory=SessionSettings)

    def close_transaction(self, ended: float, outcome: Literal["commit", "rollback"]) -> None:
        """The transaction is over, and its locks are released."""
        released: float | None = ended
        if self.transaction is not None:
            self.transaction.ended, self.transaction.outcome = ended, outcome
            released = self.transaction.released
        for lock in self.held.values():
            lock.released = released
        self._settle(outcome)
        self.session.transaction_over(committed=outcome == "commit")
        if self.pooled:
            self.timeouts = Timeouts()
        self.transaction = None
        self.held.clear()
        self.unseen.clear()
        self.rolled_back_to = None
        if self.version is not None and self.version >= _FLUSHES_SINCE:
            self.rows_read.clear()

    def _settle(self, outcome: Literal["commit", "rollback"]) -> None:
        """What the transaction made and renamed is there for all, or never was."""
        for oid, relation in self.made.items():
            relation.created = False
            if outcome == "rollback":
                self.database.relations.pop(oid, None)
        for oid, before in self.renamed.items():
            if outcome == "rollback" and oid in self.database.relations:
                self.database.relations[oid].name, self.database.relations[oid].full_name = before
        self.made.clear()
        self.renamed.clear()


class _Row(NamedTuple):
    """One relation of a snapshot, or one of the list of all. `name` is as PostgreSQL prints it now; a
    relation that is gone has no `kind`. `rows_read`: by sequential scans, in this transaction at least."""

    oid: int
    name: str
    kind: str | None
    mode: str
    file: int | None
    full_name: str | None = None
    created: bool = False
    owner: int | None = None
    rows_read: int | None = None


class _Names:
    """How the relations of one snapshot are called: as they were before the statement, if it renamed them."""

    def __init__(self, database: Database, rows: Sequence[_Row]) -> None:
        self._database = database
        self._names = {row.oid: self._name(row) for row in rows}
        self._owners = {row.oid: row.owner for row in rows}

    def _name(self, row: _Row) -> str | None:
        known = self._database.relations.get(row.oid)
        if known is None:
            return row.name if row.kind else None
        # Only a change of the full name is a renaming; another search_path prints another name too.
        return row.name if row.kind and known.full_name in (None, row.full_name) else known.name

    def name(self, oid: int | None) -> str | None:
        """None for one that nobody has ever seen."""
        return None if oid is None else self._names.get(oid) or self._database.name(oid)

    def owner(self, oid: int) -> int | None:
        """The oid of the table it belongs to."""
        toast = _TOAST.match(self.name(oid) or "")
        if toast:
            return int(toast[1])
        known = self._database.relations.get(oid)
        return self._owners.get(oid) or (known.owner if known else None)


def take_snapshot(record: Record, backend: Backend, statement: OpenStatement | None) -> None:
    """Charge the statement with what is new in the snapshot; without one only what is gone is noted."""
    rows = sorted((_Row(*row) for row in record["locks"]), key=lambda row: (row.oid, _rank(row.mode)))
    names = _Names(backend.database, rows)
    present = {(row.oid, row.mode) for row in rows}
    if statement is not None:
        statement.wal_bytes = _difference(record)
        new = [row for row in rows if (row.oid, row.mode) not in backend.held]
        for row in new:
            if not _is_nobodys(row, rows, names, backend.database):
                _take_lock(statement, backend, row, names)
        _take_rewrites(statement, {row.oid: row for row in rows}.values(), names, backend.database)
    read = _newly_read(rows, backend)
    if statement is not None and not record.get("unflushed"):
        statement.scans += [names.name(oid) or "" for oid in read]
    _release(backend, present, statement)
    for row in rows:
        if row.kind:
            _learn(row, backend)


def _learn(row: _Row, backend: Backend) -> None:
    known = backend.database.relations.get(row.oid)
    if known is not None and known.full_name not in (None, row.full_name):
        backend.renamed.setdefault(row.oid, (known.name, known.full_name))
    relation = backend.database.learn(row)
    if row.created:
        backend.made[row.oid] = relation


def take_relations(record: Record, database: Database, statement: OpenStatement | None) -> None:
    """The list of relations that are new or changed since the last one: what a statement outside a
    transaction rewrote, or without a statement what was there before."""
    rows = [
        _Row(oid, name, kind, "", file, full_name, False, owner)
        for oid, name, kind, file, full_name, owner in record["relations"]
    ]
    if statement is not None:
        statement.wal_bytes = _difference(record)
        _take_rewrites(statement, rows, _Names(database, rows), database)
    for row in rows:
        database.learn(row)


def _difference(record: Record) -> int | None:
    since, until = record.get("wal") or (None, None)
    return None if since is None or until is None else int(until) - int(since)


def _is_nobodys(row: _Row, rows: Sequence[_Row], names: _Names, database: Database) -> bool:
    """Whether no other session can wait for this lock, or will not before it waits for one on the table."""
    known = database.relations.get(row.oid)
    created = row.created if row.kind else known is None or known.created
    if created or names.name(row.oid) is None:
        return True
    if not _TOAST.match(names.name(row.oid) or ""):
        return False
    table = names.owner(row.oid)
    return any(other.oid == table and _rank(other.mode) >= _rank(row.mode) for other in rows)


def _rank(mode: str) -> int:
    return MODES.index(mode) if mode in MODES else -1


def _take_lock(statement: OpenStatement, backend: Backend, row: _Row, names: _Names) -> None:
    known = backend.database.relations.get(row.oid)
    relation, kind = names.name(row.oid) or "", row.kind or (known.kind if known else None)
    owner = next(
        (earlier for earlier in backend.unseen if _locks(earlier.sql, relation, row.mode)), statement
    )
    lock = OpenLock(relation, kind, row.mode, owner.started, names.name(names.owner(row.oid)), row.oid)
    backend.held[row.oid, row.mode] = lock
    # A summed-up statement takes the same locks in each of its repeats.
    if not any((found.relation, found.mode) == (relation, row.mode) for found in owner.locks):
        owner.locks.append(lock)


def _locks(sql: str, relation: str, mode: str) -> bool:
    """Whether this LOCK TABLE names that relation and mode."""
    bare = relation.rsplit(".", 1)[-1].strip('"')
    wanted = re.search(r"\bin\s+([a-z\s]+?)\s+mode\b", sql, re.IGNORECASE)
    words = (wanted[1] if wanted else "access exclusive").split()
    same_mode = "".join(word.capitalize() for word in words) + "Lock" == mode
    return same_mode and re.search(rf"\b{re.escape(bare)}\b", sql) is not None


def _take_rewrites(statement: OpenStatement, rows: Iterable[_Row], names: _Names, database: Database) -> None:
    for row in rows:
        name = names.name(row.oid) or ""
        if not database.has_new_file(row) or _TOAST.match(name):
            continue
        if row.kind in _TABLES:
            statement.rewrites.append(name)
        elif row.kind == _INDEX:
            statement.rebuilt.append(name)


def _newly_read(rows: Iterable[_Row], backend: Backend) -> list[int]:
    """Oids of the tables of which more rows were read than at the last snapshot. A smaller number than then
    was counted from zero: the counters were flushed between."""
    read = []
    for row in {row.oid: row for row in rows if row.rows_read is not None}.values():
        before, now = backend.rows_read.get(row.oid, 0), int(row.rows_read or 0)
        backend.rows_read[row.oid] = now
        if not row.created and (now > before or 0 < now < before):
            read.append(row.oid)
    return read


def _release(backend: Backend, present: set[tuple[int, str]], statement: OpenStatement | None) -> None:
    """Only ROLLBACK TO SAVEPOINT gives locks back before the end of the transaction, or a COMMIT within a
    text of several statements."""
    released = backend.rolled_back_to or (statement.ended if statement else None)
    for key in [key for key in backend.held if key not in present]:
        backend.held.pop(key).released = released
    backend.rolled_back_to = None
