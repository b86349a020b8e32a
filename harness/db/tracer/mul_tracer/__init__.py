"""The tracer inside the migration's own process: what was sent to PostgreSQL, when, and for which revision.

The driver's own methods are the record (SQLAlchemy's events miss a sixth of the statements); Alembic only
says which revision is running. Nothing here changes what the user's code does or sees: a failure of ours is
written down as `hookfail` and swallowed. The one exception is deliberate: where a database is expected, a
connection to another one, or to one that cannot be identified, ends the process before its first statement.

Environment:
    MUL_TRACE_FILE        path the records are appended to; without it nothing is hooked
    MUL_EXPECT_DATABASE   `<system_identifier>:<database oid>`, several separated by commas: every connection
                          must have one of them; else exit code 3
    MUL_TRACE_HALT        `STEP N POINT`: the statement at which the process waits to be killed (`halt.py`)
    MUL_DEFAULT_OPTIONS   JSON object of the server settings that every connection is to begin with; asyncpg
                          does not read PGOPTIONS

Records are JSON objects, one per line, one per write. Each has `kind`, `mono` (CLOCK_MONOTONIC, seconds) and
`process` (pid of the operating system); `backend` is the pid of PostgreSQL's process.
    hello           a Python started: parent, argv, python, wall (seconds since 1970)
    hooked          library, version
    hookfail        where, error: this call was left alone and the trace has a gap
    conn            backend, driver, database, database_oid, system_identifier, server_version, timeouts,
                    server_pid (another than `backend` behind a pooler, which invents pids), defaults
                    (what MUL_DEFAULT_OPTIONS asks for)
    unidentified    backend, driver, error: a connection whose identity could not be read
    wrong_database  expected, found (`unknown` if it cannot be told), database (its name); the process then
                    ends with exit code 3
    begin           k (unique in the process), backend, sql, revision, step, run, many, prepare, status
    end             k, backend, duration_s, rows, sqlstate, error, status (`idle`, `in`, `error`: the
                    transaction)
    more            backend, sql, key, revision, step, run, prepare, count, rows, duration_s (sum),
                    ended, status: repeats
    txn             backend, what, ok, started, status
    snapshot        k (null after ROLLBACK TO), backend, server_pid, timeouts, wal [before, now], unflushed,
                    cost_s, locks [oid, name, kind, mode, relfilenode, full name, made in this
                    transaction, oid of the index's or sequence's table, rows read by sequential scans]; a
                    lean one ends with `made`
    relations       k (null at the connection's start), backend, server_pid, timeouts, wal, cost_s,
                    relations [oid, name, kind, relfilenode, full name, oid of the table]: those that are
                    new or changed
    unlisted        k, backend: a statement outside a transaction after which relations were not listed
    settings        k, backend, timeouts, cost_s, server_pid (null in a transaction); null when they could
                    not be read
    blind           backend, reason: no more snapshots on this connection, none while its lock_timeout is
                    below 100 ms, or none in the rest of a transaction whose snapshots took a second
    slow            backend, cost_s: its first snapshot that took more than 5 ms
    context         run (unique in the process), version_table, version_table_schema: env.py has Alembic
                    go through its steps, once for each schema or database
    heads           run, heads: what Alembic read in the version table
    context_end     run, ok, heads (what it should hold once it is committed), error
    rev_begin       run, revision, down_revisions, is_upgrade, is_stamp, doc
    rev_end         run, revision, ok, error
    halt            point (`before` the statement was sent, `during`: it is sent now, `answered`: nothing
                    follows it, `given_up`: nobody killed the process), step, revision, sql, k, backend
    bye             the process ends by its own will

The timeouts are lock_timeout_s, statement_timeout_s and idle_in_transaction_session_timeout_s. A full name
has the schema's oid before the dot. `unflushed` says that rows read earlier may be among those.

A statement is `migration` work (`step` is `migration`), Alembic's own bookkeeping (`version`), or neither
(null).

Not seen: what functions and DO blocks do inside, other programs (psql, pg_restore) and other drivers, true
times in psycopg's pipeline mode, two-phase commit, psycopg2's asynchronous connections and large objects.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

from . import channel, hooks
from .backend import flush_all
from .sql import masked


def start() -> None:
    """Open the channel, say hello and wait for the libraries to be imported."""
    channel.open_channel(os.environ["MUL_TRACE_FILE"])
    channel.emit(
        "hello",
        parent=os.getppid(),
        argv=[masked(word) for word in getattr(sys, "orig_argv", None) or getattr(sys, "argv", [])],
        python=sys.version.split()[0],
        wall=time.time(),
    )
    hooks.install()
    atexit.register(_say_goodbye)


def _say_goodbye() -> None:
    flush_all()
    channel.emit("bye")
