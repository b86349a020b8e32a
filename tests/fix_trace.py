"""Records as the tracer writes them."""

from __future__ import annotations

from typing import Any

from harness.core.trace import Record

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
