"""The facts of a run as `verdict.json` has them: unknown is null, numbers rounded, no absolute path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from harness.core.client import quantile, rate, summary
from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.generator import fitness, users, websockets
from harness.core.ledger import Ledger
from harness.core.migrations import Migration
from harness.core.operations import Operation
from harness.core.samples import Outcome
from harness.core.secrets import mask, mask_command
from harness.core.timeline import Window
from harness.core.trace import RevisionRun, Statement
from harness.core.verdict import rounded, safe_text, without_paths

__all__ = ["details"]

Json = dict[str, Any]

JUDGED_PHASES = ("baseline", "migrate", "recover", "rollback", "rollback_recover")
"""The phases in which each endpoint has a row of its own."""


def details(facts: Facts) -> Json:
    """The keys of `verdict.json` beside the judgement itself."""
    rollback = facts.migration("rollback")
    return {
        "migration": _migration(facts.migration("migrate")),
        **({"rollback": _migration(rollback)} if rollback else {}),
        "blame": [],
        "phases": [_row(facts, window) for window in _windows(facts)],
        "endpoints": list(_endpoints(facts)),
        "ledger": _ledger(facts.ledger),
        "isolation": _isolation(facts),
        "websocket": _websocket(facts),
        "drills": [],
        "load": _load(facts),
        "environment": without_paths(dict(facts.record.environment)),
    }


# the migration


def _migration(migration: Migration | None) -> Json | None:
    """None for a placebo and for a migration that never began."""
    if migration is None or migration.placebo:
        return None
    own = migration.trace.migration_statements
    return {
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
        "revisions": [_revision(migration, run) for run in migration.trace.revisions],
        "statements": [_statement(migration, statement) for statement in own],
    }


def _revisions(names: Sequence[str] | None) -> str | None:
    return None if names is None else ", ".join(names) or "base"


def _revision(migration: Migration, run: RevisionRun) -> Json:
    return {
        "revision": run.revision,
        "down_revisions": list(run.down_revisions),
        "doc": None if run.doc is None else safe_text(run.doc),
        "started_at": rounded(migration.at(run.started_mono)),
        "ended_at": rounded(migration.at(run.ended_mono)),
        "ok": run.ok,
    }


def _statement(migration: Migration, statement: Statement) -> Json:
    return {
        "n": statement.n,
        "revision": statement.revision,
        "sql": mask(statement.sql),
        "started_at": rounded(migration.at(statement.started_mono)),
        "duration_s": rounded(statement.duration_s),
        "committed_at": rounded(migration.at(statement.committed_mono)),
        "rows": statement.rows,
        "executions": statement.executions,
        "backend_pid": statement.backend_pid,
        "transaction": statement.transaction,
        "lock_timeout_s": rounded(statement.lock_timeout_s),
        "sqlstate": statement.sqlstate,
        "error": None if statement.error is None else safe_text(statement.error),
        "locks": [
            {"relation": lock.relation, "kind": lock.kind, "mode": lock.mode, "hold_s": rounded(lock.hold_s)}
            for lock in statement.locks
        ],
        "rewrites": list(statement.rewrites),
        "scans": [],
        "blocks": [],
        "blocked": {"sessions": None, "session_seconds": None, "longest_s": None},
        "provenance": "traced",
    }


# phases and endpoints


def _windows(facts: Facts) -> Iterator[Window]:
    """Every phase; `migrate` and `rollback` as their impact windows, each before its statement window."""
    for phase in facts.timeline.phases:
        yield facts.timeline.window(phase.name) or phase
        migration = facts.migration(phase.name)
        statements = migration and migration.episode.statement_window
        if statements:
            yield statements


def _row(facts: Facts, window: Window, endpoint: str | None = None) -> Json:
    found = asdict(summary(facts.record.samples, window, endpoint))
    return {
        "name": window.name,
        "start_at": rounded(window.start),
        "end_at": rounded(window.end),
        **{key: value if key == "requests" else rounded(value) for key, value in found.items()},
    }


def _endpoints(facts: Facts) -> Iterator[Json]:
    windows = [facts.timeline.window(name) for name in JUDGED_PHASES]
    for endpoint in sorted(facts.record.samples.endpoints):
        for window in windows:
            if window is not None:
                row = _row(facts, window, endpoint)
                yield {**row, "phase": row["name"], "name": endpoint}


# what else was recorded


def _ledger(ledger: Ledger) -> Json:
    return {
        "acknowledged": ledger.acknowledged,
        "indeterminate": ledger.indeterminate,
        "lost": ledger.lost if ledger.accounts_read else None,
        "hidden": ledger.hidden,
        "unexpected": ledger.unexpected if ledger.accounts_read else None,
        "duplicated": ledger.duplicated if ledger.accounts_read else None,
        "stale": None,
        "transfers": ledger.transfers,
        "accounts_read": ledger.accounts_read,
        "accounts_unread": len(ledger.unread),
        "offenders": [
            {
                "kind": offender.kind,
                "account": offender.account,
                "key": offender.key,
                "why": offender.why,
                "history": [_operation(operation) for operation in offender.history],
            }
            for offender in ledger.offenders
        ],
    }


def _operation(operation: Operation) -> Json:
    return {
        "kind": operation.kind.name.lower(),
        "version": operation.version,
        "outcome": operation.outcome.name.lower(),
        "invoked_at": rounded(operation.invoked),
        "ended_at": rounded(operation.ended),
    }


def _isolation(facts: Facts) -> Json:
    found = facts.isolation
    return {
        "reads_checked": found.reads_checked,
        "probes": found.probes,
        "refused": found.refused,
        "errors": found.errors,
        "leaks": found.leaks,
        "forged_tokens_tried": None,
        "forged_tokens_accepted": None,
        "examples": list(found.examples),
    }


def _websocket(facts: Facts) -> Json:
    found = websockets(facts.record.websocket)
    return {
        "connections": found.connections,
        "delivered": found.delivered,
        "missed": found.missed,
        "duplicated": found.duplicated,
        "reordered": found.reordered,
        "delivery_p99_s": rounded(quantile(np.array(found.delays_s), 0.99)),
        "longest_silence_s": None,
        "reconnects": found.reconnects,
    }


def _load(facts: Facts) -> Json:
    samples, events = facts.record.samples, facts.record.events
    joined = {event.data["worker"] for event in events if event.kind == Kind.WORKER_JOINED}
    finals = [event.data for event in events if event.kind == Kind.WORKER_FINAL]
    told = len(finals) == len(joined) and all(data.get("started") is not None for data in finals)
    baseline = facts.timeline.window("baseline")
    unfinished = int(np.count_nonzero(samples.outcome == Outcome.UNFINISHED))
    return {
        "users": users(facts.record.health),
        "workers": len(joined),
        "workers_lost": len(facts.lost_workers),
        "target_rate": rounded(facts.record.plan.target_rate),
        "achieved_rate": rounded(rate(samples, baseline)) if baseline else None,
        "hub_late_p99_s": rounded(fitness(facts.record.health, facts.judged).late_p99_s),
        "started": sum(data["started"] for data in finals) if finals and told else None,
        "finished": len(samples) - unfinished,
        "unfinished": unfinished,
    }
