"""The schema as the catalog tells it, read before and after a migration.

Sizes and the text of definitions are the only parts for which PostgreSQL locks a relation (ACCESS SHARE;
`pg_relation_size` in src/backend/utils/adt/dbsize.c, `deparse_context_for` in ruleutils.c). They are left out
for a table that somebody holds or wants ACCESS EXCLUSIVE, and for all of them when such a lock comes while we
read. The rest are rows of the catalog, which no lock on a user's table keeps from being read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from harness.core.schema_state import ConstraintState, IndexState, SchemaState, SequenceState, TableState
from harness.db import catalog_sql as sql
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["read_schema"]


def read_schema(url: DatabaseUrl, at: float) -> SchemaState:
    """The schemas of the user at the instant `at` of the run, in one snapshot. PostgreSQL 14 and later.

    Waits for no lock and for no query longer than `SETTINGS` allow, and never raises: where it could not be
    read, `error` says why.
    """
    try:
        with connect(url, "migrate-under-load catalog") as connection:
            return _read_around_locks(connection, at)
    except SetupError as error:
        return SchemaState(at=at, error=error.message)
    except _TooMuch:
        return SchemaState(at=at, error=f"The catalog of {url.masked} has over {sql.LIMIT:,} rows of a kind.")
    except (psycopg.Error, UnicodeDecodeError) as error:
        return SchemaState(at=at, error=f"The catalog of {url.masked} could not be read: {_reason(error)}.")


class _TooMuch(Exception):  # noqa: N818 - a finding about the schema, not a fault
    """A query found more than `LIMIT` rows."""


def _reason(error: Exception) -> str:
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return told or type(error).__name__


def _read_around_locks(connection: psycopg.Connection, at: float) -> SchemaState:
    try:
        return _read(connection, at, unlocked=True)
    except psycopg.errors.LockNotAvailable:
        return _read(connection, at, unlocked=False)


def _read(connection: psycopg.Connection, at: float, *, unlocked: bool) -> SchemaState:
    """`unlocked` False reads nothing for which PostgreSQL would lock a relation."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(sql.SETTINGS)
        locked = [row["oid"] for row in cursor.execute(sql.LOCKED)]
        return _Reader(cursor, unlocked, locked).state(at)


class _Reader:
    """One transaction's reading."""

    def __init__(self, cursor: psycopg.Cursor[DictRow], unlocked: bool, locked: list[int]) -> None:
        self._cursor = cursor
        self._parameters = {"unlocked": unlocked, "locked": locked}

    def state(self, at: float) -> SchemaState:
        rows = self._rows(sql.TABLES)
        grants = _by_table(self._rows(sql.GRANTS), "grantee", "privileges")
        indexes = [IndexState(**_tupled(row)) for row in self._rows(sql.INDEXES)]
        tables = self._tables(rows, grants, indexes)
        version = self._cursor.connection.info.server_version
        constraints = [ConstraintState(**_tupled(row)) for row in self._rows(sql.constraints(version))]
        return SchemaState(
            at=at,
            tables={table.name: table for table in tables},
            indexes={index.name: index for index in indexes},
            constraints={f"{found.table}.{found.name}": found for found in constraints},
            sequences={row["name"]: _sequence(row, grants) for row in self._rows(sql.SEQUENCES)},
            unread=tuple(_unread(rows, tables)),
        )

    def _rows(self, query: str) -> list[DictRow]:
        found = self._cursor.execute(query, self._parameters).fetchall()
        if len(found) > sql.LIMIT:
            raise _TooMuch
        return found

    def _tables(
        self, rows: list[DictRow], grants: dict[int, dict[str, Any]], indexes: Iterable[IndexState]
    ) -> list[TableState]:
        whole = bool(self._rows(sql.STATISTICS_READABLE)[0]["whole"])
        told = self._rows(sql.STATISTICS if whole else sql.STATISTICS_OF_ONES_OWN)
        statistics = {row["oid"]: tuple(row["columns"]) for row in told}
        policies = _by_table(self._rows(sql.POLICIES), "name", "definition")
        reads = _by_table(self._rows(sql.READS), "name", "oid")
        index_bytes = Counter[str]()
        for index in indexes:
            index_bytes[index.table] += index.bytes or 0
        return [
            _table(
                row,
                bytes=_total(row["heap_bytes"], row["toast_bytes"], index_bytes[row["name"]]),
                acl=grants.get(row["oid"], {}),
                policies=policies.get(row["oid"], {}),
                reads=tuple(reads.get(row["oid"], ())),
                statistics=statistics.get(row["oid"], ()) if whole or row["statistics_readable"] else None,
            )
            for row in rows
        ]


def _table(row: DictRow, **more: Any) -> TableState:
    """Columns of the query that are no fields of a table serve to make one up."""
    told = {key: value for key, value in _tupled(row).items() if key in TableState.__dataclass_fields__}
    visible_ratio = min(1.0, row["visible_bytes"] / row["heap_bytes"]) if row["heap_bytes"] else None
    return TableState(**told, **more, visible_ratio=visible_ratio)


def _total(heap: int | None, toast: int | None, indexes: int) -> int | None:
    return None if heap is None else heap + (toast or 0) + indexes


def _sequence(row: DictRow, grants: dict[int, dict[str, Any]]) -> SequenceState:
    told = {key: value for key, value in row.items() if key != "oid"}
    return SequenceState(**told, acl=grants.get(row["oid"], {}))


def _by_table(rows: Iterable[DictRow], key: str, value: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        found[row["oid"]][row[key]] = _tupled(row)[value]
    return found


def _tupled(row: DictRow) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _unread(rows: Iterable[DictRow], tables: Iterable[TableState]) -> Iterable[str]:
    if locked := sorted(row["name"] for row in rows if row["locked"]):
        yield f"Sizes and definitions of {_listed(locked)}: another session had, or wanted, ACCESS EXCLUSIVE."
    if hidden := sorted(table.name for table in tables if table.kind in _STORED and table.statistics is None):
        yield f"Planner statistics of {_listed(hidden)}: the role may not SELECT from them."


_STORED = ("r", "p", "m")


def _listed(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
