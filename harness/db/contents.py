"""Reads what tables hold, as hashes of their rows; only ever with ACCESS SHARE, and in bounded time.

The hashes are computed by the server (`hashtextextended` of each column's text), so that neither values nor
whole rows leave it. A table of more than `SAMPLE` rows is sampled by its keys, the same rows each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from harness.clock import monotonic
from harness.core.contents import (
    Contents,
    TableChange,
    TableContents,
    Traffic,
    compare_tables,
    traffic_on,
)
from harness.db import contents_sql as text
from harness.db.guard import connect
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

__all__ = ["DatabaseContents"]

APPLICATION = "mul-contents"
"""The errors of sessions called so are the harness's own, and none of the service."""

SAMPLE = 200_000
"""Rows of one table that are compared, about."""

SAMPLES = 1_000_000
"""Rows of all tables together; at some forty bytes each, and eight more for every column."""

READ_WITHIN_S = 60.0
LOOK_WITHIN_S = 5.0
"""How long a look at what the traffic did may take, under load, just before the migration begins."""

FETCHED = 5_000
"""Rows that are taken in at a time, so that others of this process have their turn."""


@dataclass(frozen=True)
class _Table:
    """A table as the catalog tells of it: `key` are the columns of its primary key, none without one."""

    name: str
    relation: str
    key: Mapping[str, str]
    columns: Mapping[str, str]
    plain: bool

    @property
    def values(self) -> Mapping[str, str]:
        return {name: kind for name, kind in self.columns.items() if name not in self.key} if self.key else {}


@dataclass
class _Read:
    """One table before the load, and what the traffic had done to it when the migration began."""

    table: _Table
    rows: int = 0
    before: TableContents | None = None
    traffic: Traffic | None = None
    why_not: str = ""


class DatabaseContents:
    """What a database held before the load, to be compared with what it holds in the end.

    None of its methods raises for what the database does not answer: the tables then say why they were not
    compared.
    """

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self._xid = ""
        self._unmigrated: list[tuple[str, str | None]] = []  # transactions from, to; None: to the end
        self._reads: list[_Read] = []
        self._sequences: dict[str, int | None] = {}
        self._launched_at = 0.0
        self._why_not = "it was not read before the load"

    def read(self) -> None:
        """Take in every table, the smallest first."""
        try:
            self._why_not = ""
            with _session(self._url, READ_WITHIN_S) as session:
                self._xid = session.value(text.OLDEST_TRANSACTION)
                self._sequences = session.sequences()
                self._reads = [_Read(table) for table in session.tables()]
                left = SAMPLES
                for read in self._reads:
                    left -= session.take_in(read, left)
        except (SetupError, psycopg.Error) as error:
            self._why_not = f"before the load {_reason(error)}"

    def look(self, at: float) -> None:
        """See what the traffic has done until the instant `at`, when the migration is about to begin."""
        self._launched_at = at
        try:
            with _session(self._url, LOOK_WITHIN_S) as session:
                for read in self._reads:
                    session.look(read, self._xid)
        except (SetupError, psycopg.Error) as error:
            self._why_not = self._why_not or f"what the traffic did is not known: {_reason(error)}"

    def migrated(self) -> None:
        """From here on no migration runs, and whoever writes is the traffic. Without an answer nobody is."""
        xid = self._next_transaction()
        if xid is not None:
            self._unmigrated.append((xid, None))

    def launched(self) -> None:
        """A migration is about to begin again."""
        xid = self._next_transaction()
        if self._unmigrated:
            since, _ = self._unmigrated.pop()
            self._unmigrated += [(since, xid)] if xid is not None else []

    def _next_transaction(self) -> str | None:
        if self._why_not:
            return None
        try:
            with _session(self._url, LOOK_WITHIN_S) as session:
                return session.value(text.NEXT_TRANSACTION)
        except (SetupError, psycopg.Error):
            return None

    def compare(self, at: float) -> Contents:
        """What became of it, at the instant `at`, when nobody writes any more."""
        if self._why_not:
            return Contents(self._launched_at, at, why_not=self._why_not)
        try:
            with _session(self._url, READ_WITHIN_S) as session:
                now, stand = {table.name: table for table in session.tables()}, session.sequences()
                tables = tuple(
                    session.compare(read, now.get(read.table.name), self._unmigrated) for read in self._reads
                )
        except (SetupError, psycopg.Error) as error:
            return Contents(self._launched_at, at, why_not=f"at the end {_reason(error)}")
        sequences = {name: (was, stand[name]) for name, was in self._sequences.items() if name in stand}
        return Contents(self._launched_at, at, tables, sequences)


@contextmanager
def _session(url: DatabaseUrl, within_s: float) -> Iterator[_Session]:
    with connect(url, APPLICATION) as connection:
        yield _Session(connection, monotonic() + within_s)


class _Session:
    """A connection that is used until `deadline`; what is asked of it afterwards raises QueryCanceled."""

    def __init__(self, connection: psycopg.Connection, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A transaction of one snapshot that writes nothing and waits for nothing."""
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            raise psycopg.errors.QueryCanceled("the time for it was over")
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._connection.execute(text.SETTINGS, {"timeout": f"{math.ceil(left_s * 1000)}ms"})
            yield

    def value(self, query: str) -> str:
        with self._reading():
            [found] = self._connection.execute(query).fetchone() or [""]
            return str(found)

    def tables(self) -> list[_Table]:
        with self._reading(), self._connection.cursor(row_factory=dict_row) as cursor:
            return [_Table(**row) for row in cursor.execute(text.TABLES)]

    def sequences(self) -> dict[str, int | None]:
        with self._reading():
            return dict(self._connection.execute(text.SEQUENCES).fetchall())

    def take_in(self, read: _Read, room: int) -> int:
        """Read a table before the load; how many rows were taken in of the `room` there is."""
        with self._noting(read):
            read.rows = self._count(read.table)
            one_in = math.ceil(read.rows / SAMPLE) or 1
            if read.rows / one_in > room:
                read.why_not = f"the rows of all tables are more than the {SAMPLES:,} that are compared"
            else:
                read.before = self._contents(read.table, read.rows, one_in, read.table.columns)
        return 0 if read.before is None else len(read.before.hashes)

    def look(self, read: _Read, xid: str) -> None:
        """Read what was written to a table since the transaction `xid` began."""
        before = read.before
        if before is None:
            return
        with self._noting(read):
            touched = self._contents(read.table, 0, before.one_in, read.table.columns, _written(xid))
            untouched = self._count(read.table, before.one_in, untouched_since=xid)
            read.traffic = traffic_on(before, touched, untouched)

    def compare(
        self, read: _Read, now: _Table | None, unmigrated: Sequence[tuple[str, str | None]]
    ) -> TableChange:
        """Read a table in the end, and set it beside what it was."""
        table, before = read.table, read.before
        found = TableChange(table.name, read.rows)
        if now is None:
            return replace(found, why_not="it is not there any more")
        if before is None or read.traffic is None:
            return replace(found, why_not=read.why_not or "what the traffic did to it is not known")
        key = table.key or table.columns
        if any(now.columns.get(name) != kind for name, kind in key.items()):
            return replace(found, why_not="the columns that tell its rows apart are not the same")
        with self._noting(read):
            rows = self._count(table)
            after = self._contents(table, rows, before.one_in, now.columns)
            excused = self._excused(table, before.one_in, unmigrated)
            found = compare_tables(before, after, read.traffic, excused)
        return replace(found, why_not=read.why_not)

    def _excused(
        self, table: _Table, one_in: int, unmigrated: Sequence[tuple[str, str | None]]
    ) -> TableContents | None:
        """The keys of the rows that were last written while no migration ran."""
        if not unmigrated:
            return None
        spans = sql.SQL(" OR ").join([_written(since, until) for since, until in unmigrated])
        return self._contents(table, 0, one_in, {}, sql.SQL("({})").format(spans))

    @contextmanager
    def _noting(self, read: _Read) -> Iterator[None]:
        """What a table does not answer is noted; a lost connection concerns all of them."""
        try:
            yield
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            read.why_not = _reason(error)

    def _count(self, table: _Table, one_in: int = 1, untouched_since: str | None = None) -> int:
        conditions = _sampled(table, one_in)
        if untouched_since is not None:
            conditions.append(sql.SQL("NOT {}").format(_written(untouched_since)))
        query = sql.SQL("SELECT count(*) FROM {}{}").format(_source(table), _where(conditions))
        with self._reading():
            [found] = self._connection.execute(query).fetchone() or [0]
            return int(found)

    def _contents(
        self,
        table: _Table,
        rows: int,
        one_in: int,
        columns: Mapping[str, str],
        written: sql.Composable | None = None,
    ) -> TableContents:
        values = {name: columns[name] for name in table.values if name in columns}
        conditions = [*_sampled(table, one_in), *([] if written is None else [written])]
        packed = sql.SQL(" || ").join([_hash(_key(table)), *(_hash(_text(name)) for name in values)])
        shown = _key(table) if table.key and set(table.key.values()) <= text.SHOWN else sql.SQL("''")
        query = sql.SQL("SELECT {}, {} FROM {}{}").format(shown, packed, _source(table), _where(conditions))
        keys, hashes = [], []
        with self._reading(), self._connection.cursor("contents", binary=True) as cursor:
            cursor.execute(query)
            while fetched := cursor.fetchmany(FETCHED):
                keys += [str(key) for key, _ in fetched]
                hashes.append(b"".join(row for _, row in fetched))
        return TableContents.of(table.name, rows, one_in, values, keys if any(keys) else (), b"".join(hashes))


# pieces of queries; names of columns are quoted by the catalog


def _source(table: _Table) -> sql.Composable:
    return sql.SQL("ONLY " if table.plain else "") + sql.SQL(table.relation)


def _where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _written(since: str, until: str | None = None) -> sql.Composable:
    """Whether a row was last written by a transaction from `since` on, and before `until`."""
    written = sql.SQL("age(xmin) <= age({}::xid)").format(since)
    if until is not None:
        written = sql.SQL("{} AND age(xmin) > age({}::xid)").format(written, until)
    return sql.SQL("({})").format(written)


def _sampled(table: _Table, one_in: int) -> list[sql.Composable]:
    if one_in == 1:
        return []
    return [sql.SQL("hashtextextended({}, 0) % {} = 0").format(_key(table), one_in)]


def _key(table: _Table) -> sql.Composable:
    """A row's key as text: of several columns as the text of a row of them."""
    names = list(table.key or table.columns)
    if len(names) == 1:
        return _text(names[0])
    return sql.SQL('row({})::text COLLATE "C"').format(sql.SQL(", ").join(map(sql.SQL, names)))


def _text(column: str) -> sql.Composable:
    return sql.SQL('{}::text COLLATE "C"').format(sql.SQL(column))


def _hash(value: sql.Composable) -> sql.Composable:
    """Eight bytes. A NULL is zero, which no more than one in 2^64 texts is."""
    return sql.SQL("int8send(coalesce(hashtextextended({}, 0), 0))").format(value)


def _reason(error: Exception) -> str:
    if isinstance(error, SetupError):
        return f"the database did not answer: {error.message.rstrip('.')}"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "it could not be read in time"
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return f"it could not be read: {told or type(error).__name__}"
