"""What the tracer asks of PostgreSQL on the migration's own connection: one row of one JSON text each.

Everything is named with its schema: the user's search_path may hold functions and tables of the same names.
"""

from __future__ import annotations

TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
MOST_RELATIONS = 20_000
FLUSHES_SINCE = 150_000
"""server_version_num from which on pg_stat_force_next_flush() exists."""

_SELECT = "/* migrate-under-load tracer */ SELECT "
"""Others see it as the last query of a migration that is idle in its transaction."""
_SETTINGS = "'pid', pg_catalog.pg_backend_pid(), " + ", ".join(
    f"'{name}', pg_catalog.current_setting('{name}')" for name in TIMEOUTS
)
_SYSTEM_IDENTIFIER = (
    ", 'system', (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system())"
)
_IDENTITY = (
    _SELECT + "pg_catalog.json_build_object({settings},"
    " 'version', pg_catalog.current_setting('server_version_num'),"
    " 'database', d.datname, 'oid', d.oid::pg_catalog.int8{system})::pg_catalog.text"
    " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
)
SETTINGS = f"{_SELECT}pg_catalog.json_build_object({_SETTINGS})::pg_catalog.text"

# The table an index or an owned sequence belongs to. 1259 is pg_class, 99 (below) the schema pg_toast; a
# TOAST table has its table's oid in its name (catalog/toasting.c).
_OWNER = (
    "CASE WHEN c.relkind IN ('i', 'I') THEN"
    " (SELECT i.indrelid::pg_catalog.int8 FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid)"
    " WHEN c.relkind = 'S' THEN (SELECT d.refobjid::pg_catalog.int8 FROM pg_catalog.pg_depend d"
    " WHERE d.classid = 1259 AND d.objid = c.oid AND d.refclassid = 1259 AND d.refobjsubid > 0"
    " AND d.deptype IN ('a', 'i') LIMIT 1) END"
)
# A relation whose columns are all rows of this transaction was made in it. age() counts back from its xid;
# those of its savepoints are a little younger, while rows frozen long ago may look younger by far.
_CREATED = (
    "NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a"
    " WHERE a.attrelid = c.oid AND pg_catalog.age(a.xmin) NOT BETWEEN -1000000 AND 0)"
)
# Rows read by sequential scans in this transaction, and in earlier ones that are not yet reported to the
# shared statistics: that happens at most once a second, so `flush` asks for it at the end of each.
_ROWS_READ = "CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_xact_tuples_returned(c.oid) END"
_FLUSH = ", 'flush', pg_catalog.pg_stat_force_next_flush()::pg_catalog.text"
_WAL = (
    ", 'wal', CASE WHEN NOT pg_catalog.pg_is_in_recovery()"
    " THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0') END"
)
_NAME = "l.relation::pg_catalog.regclass::pg_catalog.text"
_FULL_NAME = "c.relnamespace::pg_catalog.text || '.' || c.relname"
# Oids below 16384 are PostgreSQL's own (access/transam.h, FirstNormalObjectId); our locks on the catalog are
# among them.
_SNAPSHOT = (
    _SELECT + "pg_catalog.json_build_object({settings}{more}, 'locks', (SELECT pg_catalog.json_agg("
    "pg_catalog.json_build_array(l.relation::pg_catalog.int8, " + _NAME + ", c.relkind, l.mode,"
    " c.relfilenode::pg_catalog.int8{columns}))"
    " FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation"
    " WHERE l.locktype = 'relation' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()"
    " AND l.relation >= 16384))::pg_catalog.text"
)
_RELATIONS = (
    _SELECT + "pg_catalog.json_build_object({settings}{more}, 'relations', (SELECT pg_catalog.json_agg("
    "pg_catalog.json_build_array(c.oid::pg_catalog.int8, c.oid::pg_catalog.regclass::pg_catalog.text,"
    " c.relkind, c.relfilenode::pg_catalog.int8, " + _FULL_NAME + ", " + _OWNER + "))"
    " FROM (SELECT * FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind <> 'c' AND relkind <> 't'"
    " AND relnamespace <> 99 ORDER BY oid DESC LIMIT " + str(MOST_RELATIONS) + ") c))::pg_catalog.text"
)


def identity(with_system: bool) -> str:
    """Who is at the other end; the system identifier may be read by fewer roles, so only where it is
    needed."""
    return _IDENTITY.format(settings=_SETTINGS, system=_SYSTEM_IDENTIFIER if with_system else "")


def snapshot(version: int | None, lean: bool) -> str:
    """The locks held, as rows [oid, name, kind, mode, relfilenode, full name, created, owner's oid, rows
    read]; `lean` ends with `created` and takes two thirds of the time."""
    more = "" if lean else ", " + ", ".join((_OWNER, _ROWS_READ))
    columns = f", {_FULL_NAME}, {_CREATED}{more}"
    return _SNAPSHOT.format(settings=_SETTINGS, more=_position(version), columns=columns)


def relations(version: int | None) -> str:
    """The newest relations of the database: rows [oid, name, kind, relfilenode, full name, owner's oid]."""
    return _RELATIONS.format(settings=_SETTINGS, more=_position(version))


def _position(version: int | None) -> str:
    return _WAL + (_FLUSH if version is not None and version >= FLUSHES_SINCE else "")
