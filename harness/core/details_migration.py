"""A migration as `verdict.json` and `harness trace --json` have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.core.advice import Advice
from harness.core.blame import Attempt, Blame
from harness.core.locks import MODES, blocked_by, strongest
from harness.core.migrations import Migration
from harness.core.secrets import mask, mask_command
from harness.core.trace import Context, Lock, RevisionRun, Statement
from harness.core.verdict import rounded, safe_text, without_paths

__all__ = ["migration_json"]

Json = dict[str, Any]

STOPPING = MODES[MODES.index("ShareLock") :]
"""Modes that stop others' reads or writes of a table."""

MOST_KEPT = 20
"""Locks from before that are told of one statement: a revision may touch a thousand partitions."""


def migration_json(
    migration: Migration | None,
    advice: Iterable[Advice] = (),
    blame: Iterable[Blame] = (),
    watched: bool = False,
) -> Json | None:
    """None for a placebo and for a migration that never began; `watched` says whether all that waited is in
    `blame`.
    """
    if migration is None or migration.placebo:
        return None
    own = migration.trace.migration_statements
    rules: dict[int, list[str]] = {}
    for found in advice:
        rules.setdefault(found.statement, []).append(found.rule)
    blamed = {one.statement: one for b in blame if b.is_of(migration) for one in b.attempts}
    kept = _kept(own)
    return {
        "name": migration.name or None,
        "command": mask_command(without_paths(migration.command)),
        "direction": migration.direction,
        "target": migration.target,
        "from": _revisions(migration.revisions_before),
        "to": _revisions(migration.revisions_after),
        "status": migration.status,
        "message": migration.message,
        "sqlstate": migration.sqlstate,
        "attempts": migration.attempts,
        "traced": migration.traced,
        "begin_at": rounded(migration.begin_at),
        "first_statement_at": rounded(migration.at(migration.trace.first_statement_mono)),
        "last_commit_at": rounded(migration.last_commit_at),
        "duration_s": rounded(migration.duration_s),
        "process_s": rounded(migration.process_s),
        "contexts": [_context(context) for context in migration.trace.contexts],
        "revisions": [_revision(migration, run) for run in migration.trace.revisions],
        "statements": [
            {
                **_statement(migration, statement),
                "kept": [{"relation": relation, "mode": mode} for relation, mode in kept[position]],
                "blocked": _blocked(blamed.get(statement.n), watched),
                "advice": rules.get(statement.n or 0, []),
            }
            for position, statement in enumerate(own)
        ],
    }


def _revisions(names: Sequence[str] | None) -> str | None:
    return None if names is None else ", ".join(names) or "base"


def _context(context: Context) -> Json:
    return {
        "n": context.number,
        "database": context.table.database,
        "version_table": context.table.name,
        "version_table_schema": context.table.schema,
        "from": _revisions(context.heads_before),
        "to": _revisions(context.heads_after),
        "ok": context.ok,
        "error": None if context.error is None else safe_text(context.error),
    }


def _revision(migration: Migration, run: RevisionRun) -> Json:
    return {
        "revision": run.revision,
        "context": run.context,
        "down_revisions": list(run.down_revisions),
        "doc": None if run.doc is None else safe_text(run.doc),
        "started_at": rounded(migration.at(run.started_mono)),
        "ended_at": rounded(migration.at(run.ended_mono)),
        "ok": run.ok,
    }


def _statement(migration: Migration, statement: Statement) -> Json:
    return {
        "n": statement.n,
        "attempt_of": statement.attempt_of,
        "revision": statement.revision,
        "context": statement.context,
        "sql": mask(statement.sql),
        "started_at": rounded(migration.at(statement.started_mono)),
        "duration_s": rounded(statement.duration_s),
        "committed_at": rounded(migration.at(statement.committed_mono)),
        "rows": statement.rows,
        "executions": statement.executions,
        "backend_pid": statement.backend_pid,
        "transaction": statement.transaction,
        "lock_timeout_s": rounded(statement.lock_timeout_s),
        "statement_timeout_s": rounded(statement.statement_timeout_s),
        "idle_timeout_s": rounded(statement.idle_timeout_s),
        "sqlstate": statement.sqlstate,
        "error": None if statement.error is None else safe_text(statement.error),
        "locks": [_lock(lock) for lock in statement.locks],
        "rewrites": list(statement.rewrites),
        "rebuilt": list(statement.rebuilt),
        "scans": list(statement.scans),
        "blocks": [
            {"relation": relation, "operations": list(operations)}
            for relation, operations in sorted(blocked_by(statement.locks).items())
        ],
        "wal_bytes": statement.wal_bytes,
        "tracer_s": rounded(statement.tracer_s),
        "provenance": _provenance(migration, statement),
    }


def _kept(statements: Sequence[Statement]) -> list[list[tuple[str, str]]]:
    """For each statement the strongest lock on each table that its transaction still held from before it, the
    strongest first.
    """
    kept: list[list[tuple[str, str]]] = []
    held: dict[int, list[Lock]] = {}
    for statement in statements:
        earlier = [] if statement.transaction is None else held.setdefault(statement.transaction, [])
        modes: dict[str, list[str]] = {}
        for lock in earlier:
            released = lock.released_mono
            if released is None or released > statement.started_mono:
                modes.setdefault(lock.relation, []).append(lock.mode)
        strong = [(relation, strongest(own) or "") for relation, own in sorted(modes.items())]
        kept.append(sorted(strong, key=lambda one: -STOPPING.index(one[1]))[:MOST_KEPT])
        earlier += (lock for lock in statement.locks if lock.of is None and lock.mode in STOPPING)
    return kept


def _lock(lock: Lock) -> Json:
    return {
        "relation": lock.relation,
        "kind": lock.kind,
        "of": lock.of,
        "mode": lock.mode,
        "hold_s": rounded(lock.hold_s),
    }


def _provenance(migration: Migration, statement: Statement) -> str:
    """How the statement's locks are known: exact, observed (by polling, outside a transaction) or unknown."""
    if statement.transaction is None:
        return "observed" if statement.locks else "unknown"
    blind = any(reason.startswith(f"backend {statement.backend_pid}:") for reason in migration.trace.blind)
    unseen = statement.sqlstate is not None or (blind and not statement.locks)
    return "unknown" if unseen else "exact"


def _blocked(blamed: Attempt | None, watched: bool) -> Json:
    """Whom it made wait, null where nobody watched."""
    if blamed is None:
        nothing = 0 if watched else None
        return {"sessions": nothing, "session_seconds": nothing, "longest_s": nothing}
    return {
        "sessions": blamed.sessions,
        "session_seconds": rounded(blamed.session_seconds),
        "longest_s": rounded(blamed.longest_s),
    }
