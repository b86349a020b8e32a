"""What the database had to say of the hurried migration: waits, blame, advice, errors, the schema, claims."""

from __future__ import annotations

from typing import Any

_PRINCIPLES = "https://www.postgresql.org/docs/current/"

SAFE_INDEX = (
    "with op.get_context().autocommit_block():\n"
    "    op.create_index(\n"
    '        "ix_documents_public_id", "documents", ["public_id"],\n'
    "        postgresql_concurrently=True, if_not_exists=True,\n"
    "    )"
)

SAFE_COLUMN = (
    'op.add_column("documents", sa.Column("public_id", sa.Uuid(), nullable=True))\n'
    'op.alter_column("documents", "public_id", server_default=sa.text("gen_random_uuid()"))\n'
    "# then backfill in batches, each its own transaction\n"
)

ROOT = (
    "session 4711, psql, idle in transaction, its transaction 41s old, last query 'SELECT count(*) FROM"
    " documents': the statement waited 3.1s for it, and all others behind it; it should have had a"
    " lock_timeout"
)


def statement_facts() -> list[dict[str, Any]]:
    """What was measured of the five statements, in their order."""
    return [
        {
            "locks": [
                _lock("documents", "r", "AccessExclusiveLock", 9.22),
                _lock("documents_pkey", "i", "AccessExclusiveLock", 9.22, of="documents"),
            ],
            "rewrites": ["documents"],
            "rebuilt": ["documents_pkey", "ix_documents_owner_id"],
            "scans": ["documents"],
            "blocks": [{"relation": "documents", "operations": _ALL}],
            "wal_bytes": 48_400_000,
            "tracer_s": 0.0021,
            "blocked": {"sessions": 10, "session_seconds": 84.1, "longest_s": 9.17},
            "provenance": "exact",
            "advice": ["add-column-volatile-default"],
            "statement_timeout_s": 0.0,
            "idle_timeout_s": 60.0,
        },
        {
            "locks": [_lock("transfers", "r", "AccessExclusiveLock", 6.1)],
            "rewrites": ["transfers"],
            "blocks": [{"relation": "transfers", "operations": _ALL}],
            "wal_bytes": 3_100_000,
            "blocked": {"sessions": 0, "session_seconds": 0.0, "longest_s": None},
            "provenance": "exact",
        },
        {
            "locks": [_lock("documents", "r", "ShareLock", 5.35)],
            "blocks": [{"relation": "documents", "operations": _ALL[1:4]}],
            "scans": ["documents"],
            "wal_bytes": 2_400_000,
            "blocked": {"sessions": 14, "session_seconds": 62.0, "longest_s": 7.4},
            "provenance": "exact",
            "advice": ["index-without-concurrently"],
        },
        {"wal_bytes": 31_000_000, "provenance": "exact", "rows": 24_000},
        {},
    ]


def blame() -> list[dict[str, Any]]:
    """The first statement is the worst."""
    return [
        {
            "statement": 1,
            "phase": "migrate",
            "relation": "documents",
            "mode": "AccessExclusiveLock",
            "blocked_sessions": 10,
            "blocked_session_seconds": 84.1,
            "longest_wait_s": 9.17,
            "requests_affected": 612,
            "endpoints": [
                "GET /documents",
                "GET /documents/[id]",
                "POST /documents",
                "PUT /documents/[id]",
                "POST /transfers",
            ],
            "advice": SAFE_COLUMN,
            "root": "",
            "queries": [
                _query("SELECT id, title, body FROM documents WHERE owner_id = $1 LIMIT $2", 7, 58.2, 9.17),
                _query("UPDATE documents SET title = $1, updated_at = now() WHERE id = $2", 3, 25.9, 8.94),
            ],
            "errors": {"pool exhausted": 3},
            "tie": "traceparent",
            "provenance": "observed (every 20 ms)",
        },
        {
            "statement": 3,
            "phase": "migrate",
            "relation": "documents",
            "mode": "ShareLock",
            "blocked_sessions": 14,
            "blocked_session_seconds": 62.0,
            "longest_wait_s": 7.4,
            "requests_affected": 310,
            "endpoints": ["POST /documents", "PUT /documents/[id]"],
            "advice": SAFE_INDEX,
            "root": ROOT,
            "queries": [],
            "errors": {},
            "tie": "overlap",
            "provenance": "inferred",
        },
    ]


def evidence() -> dict[str, Any]:
    """The other keys of `verdict.json`."""
    return {
        "advice": [
            _advice("index-without-concurrently", 3, "d52e1b8cf3ea", "finding", SAFE_INDEX),
            _advice("add-column-volatile-default", 1, "c41f0a7be2d9", "finding", SAFE_COLUMN),
            _advice("no-lock-timeout", 2, "c41f0a7be2d9", "note", "op.execute(\"SET lock_timeout = '2s'\")"),
            _advice("whole-table-update", 4, "d52e1b8cf3ea", "ignored", "", reason="a table of 200 rows"),
        ],
        "errors": [
            {
                "name": "cached plan must not change result type",
                "sqlstate": "0A000",
                "phase": "migrate",
                "count": 7,
                "endpoints": ["GET /documents", "GET /documents/[id]"],
                "source": "server log",
                "statement": ["c41f0a7be2d9", 2],
                "why": "the running release prepared its statements before the column's type changed",
            },
            {
                "name": "pool exhausted",
                "sqlstate": None,
                "phase": "migrate",
                "count": 3,
                "endpoints": ["POST /transfers"],
                "source": "clients",
                "statement": None,
                "why": "requests to unrelated tables timed out while the database showed nothing for them",
            },
        ],
        "catalog": {
            "read": True,
            "why": "",
            "findings": [
                _found("lost_grant", "documents", "app_reader may no longer SELECT", False),
                _found("invalid_index", "ix_documents_slug", "new, and INVALID: it still costs writes", True),
            ],
        },
        "claims": [
            _claim("require-concurrent-index-creation", 3, "confirmed"),
            _claim("prefer-robust-stmts", 1, "not seen"),
            _claim("add-column-volatile-default", 1, "only measured"),
        ],
        "waits": {
            "count": 212,
            "sessions": 24,
            "session_seconds": 146.1,
            "longest_s": 9.17,
            "by_migration": {"count": 180, "sessions": 24, "session_seconds": 141.0, "longest_s": 9.17},
            "observed": {
                "began_at": 0.1,
                "ended_at": 60.0,
                "why_blind": "",
                "log_read": True,
                "interval_s": 0.05,
                "late_p99_s": 0.0021,
                "polls": 1210,
            },
        },
        "database": [
            {
                "at": float(n),
                "waiting": 14 if 31 <= n < 39 else 0,
                "wal_bytes": 80_000 * n,
                "deadlocks": 0,
                "oldest_transaction_s": 41.2 if n > 30 else 0.02,
                "lag_s": None,
                "cpu": {"postgresql": 0.61, "service": 0.34},
                "cpu_wait": {"postgresql": 0.02, "service": 0.01},
            }
            for n in range(60)
        ],
        "waits_timeline": [_wait(n) for n in range(16)],
    }


_ALL = ["SELECT", "INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE"]


def _lock(relation: str, kind: str, mode: str, hold: float, of: str | None = None) -> dict[str, Any]:
    return {"relation": relation, "kind": kind, "of": of, "mode": mode, "hold_s": hold}


def _query(query: str, sessions: int, whole: float, longest: float) -> dict[str, Any]:
    return {
        "query": query,
        "query_id": None,
        "sessions": sessions,
        "session_seconds": whole,
        "longest_s": longest,
    }


def _advice(
    rule: str, statement: int, revision: str, severity: str, safe: str, reason: str = ""
) -> dict[str, Any]:
    return {
        "rule": rule,
        "statement": statement,
        "revision": revision,
        "severity": severity,
        "condition": "The statement held a lock that keeps others out of documents for 9.22 s.",
        "consequence": "Every request that needs documents waits as long as it lasts.",
        "safe": safe,
        "source": f"{_PRINCIPLES}explicit-locking.html",
        "evidence": "10 sessions waited 84.1 s; the table was rewritten",
        "reason": reason,
    }


def _found(kind: str, relation: str, what: str, red: bool) -> dict[str, Any]:
    return {
        "kind": kind,
        "relation": relation,
        "what": what,
        "red": red,
        "remedy": "Mend it by hand and see why.",
    }


def _claim(rule: str, statement: int, status: str) -> dict[str, Any]:
    message = "During normal index creation, table updates are blocked, but reads are still allowed."
    return {"tool": "squawk", "rule": rule, "statement": statement, "message": message, "status": status}


def _wait(n: int) -> dict[str, Any]:
    modes = ("AccessShareLock", "RowExclusiveLock", "RowShareLock", "ShareLock")
    start = 30.6 + 0.31 * n
    return {
        "start_at": start,
        "end_at": 39.63 if n < 12 else start + 0.8,
        "pid": 4100 + n,
        "relation": None if n % 4 == 3 else "documents",
        "mode": modes[n % 4],
        "root_pid": 4321,
        "statement": 1 if n < 14 else None,
        "phase": "migrate",
    }
