"""Records as the tracer writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.core.trace import Record

MIGRATION_PID = 500
TABLE_OID = 16400
ZERO = 1000.0  # the monotonic clock at the start of the run

PROCESS, BACKEND = 10, 500
TABLE, INDEX = 20_000, 20_001


def record(kind: str, mono: float, **fields: Any) -> Record:
    return {"kind": kind, "mono": mono, "process": PROCESS, "backend": BACKEND, **fields}


def head(lock_timeout: float = 0.0) -> list[Record]:
    return [
        record("hello", 0.0, parent=1, argv=[], python="3.11", wall=0.0),
        record("hooked", 0.1, library="alembic", version="1.20"),
        record("conn", 0.2, driver="psycopg", lock_timeout_s=lock_timeout, statement_timeout_s=0.0),
    ]


def begin(k: int, mono: float, sql: str, **fields: Any) -> Record:
    given = {"revision": "r1", "step": "migration", "many": False, "prepare": False, "status": None}
    return record("begin", mono, k=k, sql=sql, **(given | fields))


def end(k: int, mono: float, duration: float, status: str = "in", **fields: Any) -> Record:
    given = {"rows": None, "sqlstate": None, "error": None}
    return record("end", mono, k=k, duration_s=duration, status=status, **(given | fields))


def txn(what: str, started: float, mono: float, status: str, ok: bool = True) -> Record:
    return record("txn", mono, what=what, ok=ok, started=started, status=status)


def snapshot(
    k: int, mono: float, *locks: tuple[int, str, str, str, int], lock_timeout: float = 0.0
) -> Record:
    timeouts = {"lock_timeout_s": lock_timeout, "statement_timeout_s": 0.0}
    return record("snapshot", mono, k=k, locks=[list(lock) for lock in locks], cost_s=0.001, **timeouts)


def revision(name: str, mono: float) -> Record:
    return record(
        "rev_begin", mono, run=1, revision=name, down_revisions=[], is_upgrade=True, is_stamp=False, doc="d"
    )


EXCLUSIVE = (TABLE, "notes", "r", "AccessExclusiveLock", 7)


def row(
    relation: str,
    mode: str = "AccessExclusiveLock",
    *,
    oid: int = TABLE,
    kind: str | None = "r",
    file: int = 7,
    created: bool = False,
    owner: int | None = None,
    read: int | None = None,
) -> tuple[Any, ...]:
    return (oid, relation, kind, mode, file, f"2200.{relation}", created, owner, read)


def altered(k: int, mono: float, *rows: tuple[Any, ...], **fields: Any) -> list[Record]:
    given = {"cost_s": 0.001, "lock_timeout_s": 0.0, "statement_timeout_s": 0.0}
    found = record("snapshot", mono + 0.2, k=k, locks=[list(each) for each in rows], **(given | fields))
    return [begin(k, mono, "ALTER TABLE …"), end(k, mono + 0.1, 0.1), found]


def listed(mono: float, *rows: tuple[Any, ...], k: int | None = None, **fields: Any) -> Record:
    return record("relations", mono, k=k, relations=[list(each) for each in rows], cost_s=0.002, **fields)


LISTED = (
    (TABLE, "notes", "r", 7, "2200.notes", None),
    (INDEX, "notes_pkey", "i", 8, "2200.notes_pkey", TABLE),
)


def trace_records(start: float = 27.0, end: float = 28.0, revision: str = "0002") -> list[dict[str, Any]]:
    """The tracer's records of a revision with one committed statement; instants in run time."""
    one: dict[str, Any] = {"process": 77, "backend": 500, "k": 1}
    return [
        {"kind": "hello", "mono": ZERO + start - 1, "process": 77},
        {"kind": "hooked", "mono": ZERO + start - 1, "process": 77, "library": "alembic"},
        {"kind": "conn", "mono": ZERO + start, **one, "lock_timeout_s": 2.0, "statement_timeout_s": 0.0},
        {
            "kind": "rev_begin",
            "mono": ZERO + start,
            "process": 77,
            "revision": revision,
            "down_revisions": ["0001"],
            "is_upgrade": True,
            "is_stamp": False,
            "doc": "widen the id",
        },
        {
            "kind": "begin",
            "mono": ZERO + start,
            **one,
            "revision": revision,
            "step": "migration",
            "sql": "ALTER TABLE documents ALTER COLUMN id TYPE bigint",
            "prepare": False,
            "status": "idle",
        },
        {
            "kind": "end",
            "mono": ZERO + end,
            **one,
            "duration_s": end - start,
            "rows": None,
            "sqlstate": None,
            "error": None,
            "status": "in",
        },
        {
            "kind": "snapshot",
            "mono": ZERO + end,
            **one,
            "lock_timeout_s": 2.0,
            "statement_timeout_s": 0.0,
            "locks": [[TABLE_OID, "public.documents", "r", "AccessExclusiveLock", 9]],
        },
        {
            "kind": "txn",
            "mono": ZERO + end,
            "started": ZERO + end,
            "process": 77,
            "backend": 500,
            "what": "commit",
            "ok": True,
            "status": "idle",
        },
        {"kind": "rev_end", "mono": ZERO + end, "process": 77, "revision": revision, "ok": True},
        {"kind": "bye", "mono": ZERO + end, "process": 77},
    ]


def statement_records(
    sql: str,
    start: float,
    end: float,
    *,
    k: int,
    locks: Sequence[tuple[str, str]] = (),
    commit_at: float | None = None,
    sqlstate: str | None = None,
    autocommit: bool = False,
    backend: int = MIGRATION_PID,
    lock_timeout_s: float = 2.0,
    process: int = 77,
) -> list[dict[str, Any]]:
    """The tracer's records of one statement: `locks` are what its backend holds after it, `commit_at` ends
    its transaction.
    """
    one: dict[str, Any] = {"process": process, "backend": backend, "k": k}
    after = "idle" if autocommit or sqlstate else "in"
    begin = {"revision": "0002", "step": "migration", "sql": sql, "prepare": False, "status": "idle"}
    ended = {"rows": None, "sqlstate": sqlstate, "error": sqlstate, "status": after}
    told: list[dict[str, Any]] = [
        {
            "kind": "begin",
            "mono": ZERO + start,
            **one,
            **begin,
            **({} if k == 1 or autocommit else {"status": "in"}),
        },
        {"kind": "end", "mono": ZERO + end, **one, "duration_s": end - start, **ended},
    ]
    if after == "in":
        held = [[TABLE_OID + n, relation, "r", mode, 9] for n, (relation, mode) in enumerate(locks)]
        timeouts = {"lock_timeout_s": lock_timeout_s, "statement_timeout_s": 0.0}
        told.append({"kind": "snapshot", "mono": ZERO + end, **one, **timeouts, "locks": held})
    if commit_at is not None:
        mono = {"mono": ZERO + commit_at, "started": ZERO + commit_at}
        told.append({"kind": "txn", **mono, **one, "what": "commit", "ok": True, "status": "idle"})
    return told


def trace_of(
    *statements: Sequence[dict[str, Any]], ok: bool = True, end: float = 36.0
) -> list[dict[str, Any]]:
    """The records of one revision with these statements, from 27 on."""
    hello, hooked, conn, revision, *_ = trace_records()
    ended = {"kind": "rev_end", "mono": ZERO + end, "process": 77, "revision": "0002", "ok": ok}
    bye = {"kind": "bye", "mono": ZERO + end, "process": 77}
    return [hello, hooked, conn, revision, *(record for told in statements for record in told), ended, bye]


def idle_trace() -> list[dict[str, Any]]:
    """The records of a tracer that was there all the time and saw no statement."""
    hello, hooked, conn, *_, bye = trace_records()
    return [hello, hooked, conn, bye]
