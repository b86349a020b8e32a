"""The facts of a run as `verdict.json` has them: unknown is null, numbers rounded, no absolute path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from harness.core.advice import Advice
from harness.core.client import Summary, rate, summaries
from harness.core.client_limits import Use, uses_of
from harness.core.deploy import deploy_json
from harness.core.details_database import database_json
from harness.core.details_migration import migration_json
from harness.core.drill_grades import drill_results
from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.generator import fitness, late_stretches, users
from harness.core.invariants import invariants_json
from harness.core.migrations import Migration
from harness.core.offered import arrivals_in, target_rate
from harness.core.operations import Operation, OperationKind
from harness.core.round_trip import round_trips_json
from harness.core.samples import Outcome
from harness.core.stale_cache import old_shapes_json
from harness.core.timeline import Window
from harness.core.verdict import rounded, without_paths

__all__ = ["details"]

Json = dict[str, Any]

JUDGED_PHASES = (
    *("baseline", "migrate", "recover"),
    *("deploy", "deploy_recover"),
    *("rollback", "rollback_recover"),
)
"""The phases in which each endpoint has a row of its own."""


def details(facts: Facts, advice: Mapping[int, Sequence[Advice]]) -> Json:
    """The keys of `verdict.json` beside the judgement itself; `advice` by the number of the migration."""
    told = [(m.phase, _migration(m, facts, advice.get(m.number, ()))) for m in facts.migrations]
    first = {phase: migration for phase, migration in reversed(told) if migration}
    return {
        "migration": first.get("migrate"),
        **({"rollback": first["rollback"]} if "rollback" in first else {}),
        "migrations": [migration for _, migration in told if migration],
        **database_json(facts, advice),
        **({"round_trips": round_trips_json(facts)} if facts.record.plan.rolls_back else {}),
        **({"deploy": deploy_json(facts)} if facts.record.plan.deploys else {}),
        **({"invariants": invariants_json(facts)} if facts.record.plan.invariants else {}),
        **_phases_and_endpoints(facts),
        "ledger": _ledger(facts),
        "old_shapes": old_shapes_json(facts),
        "isolation": _isolation(facts),
        "continuity": _continuity(facts),
        "websocket": _websocket(facts),
        "baseline_run": facts.baseline and facts.baseline.run_id,
        "drills": [asdict(result) for result in drill_results(facts)],
        "load": _load(facts),
        "environment": without_paths(dict(facts.record.environment)),
    }


def _migration(migration: Migration, facts: Facts, advice: Sequence[Advice]) -> Json | None:
    return migration_json(migration, advice, facts.blame, facts.watch(migration).observed.complete)


# phases and endpoints


def _windows(facts: Facts) -> Iterator[Window]:
    """Every phase; `migrate` and `rollback` as their impact windows, each before the statement windows of its
    migrations.
    """
    for phase in facts.timeline.phases:
        judged = facts.timeline.window(phase.name) if facts.in_phase(phase.name) else None
        yield judged or phase
        for migration in facts.in_phase(phase.name):
            statements = migration.episode.statement_window
            if statements and migration.name:
                yield Window(f"{phase.name} {migration.name}", statements.start, statements.end)
            elif statements:
                yield statements


def _phases_and_endpoints(facts: Facts) -> Json:
    """A row for each phase; and for each endpoint one in every judged phase."""
    phases = list(_windows(facts))
    judged = [window for name in JUDGED_PHASES if (window := facts.timeline.window(name)) is not None]
    seen = {window: summaries(facts.record.samples, window) for window in {*phases, *judged}}
    return {
        "phases": [
            {**_row(window, seen[window][0]), "target_rate": rounded(_target_rate(facts, window))}
            for window in phases
        ],
        "endpoints": [
            {**_row(window, seen[window][1][endpoint]), "phase": window.name, "name": endpoint}
            for endpoint in sorted(facts.record.samples.endpoints)
            for window in judged
        ],
    }


def _target_rate(facts: Facts, window: Window) -> float | None:
    """What was asked for in a window of the load; the warm-up works up to it, and has no one number."""
    load = facts.judged
    if load is None or not load.start <= window.start < load.end:
        return None
    return target_rate(facts.record, window)


def _row(window: Window, found: Summary) -> Json:
    numbers = asdict(found).items()
    return {
        "name": window.name,
        "start_at": rounded(window.start),
        "end_at": rounded(window.end),
        **{key: value if key == "requests" else rounded(value) for key, value in numbers},
    }


# what else was recorded


def _ledger(facts: Facts) -> Json:
    ledger = facts.ledger
    read_back = ("lost", "resurrected", "unexpected", "duplicated")
    return {
        "acknowledged": ledger.acknowledged,
        "indeterminate": ledger.indeterminate,
        **{kind: getattr(ledger, kind) or (0 if ledger.accounts_read else None) for kind in read_back},
        "hidden": ledger.hidden,
        "reads": ledger.reads,
        "stale": ledger.stale if ledger.reads else None,
        "absent": ledger.absent if ledger.reads else None,
        "transfers": ledger.transfers,
        "totals_checked": facts.totals.checked,
        "totals_wrong": facts.totals.wrong if facts.totals.checked else None,
        "accounts_read": ledger.accounts_read,
        "accounts_unread": len(ledger.unread),
        "offenders": [
            {
                "kind": offender.kind,
                "account": offender.account,
                "key": offender.key,
                "why": offender.why,
                "last_seen_at": rounded(offender.last_seen),
                "history": [_operation(operation, facts) for operation in offender.history],
            }
            for offender in (*ledger.offenders, *facts.totals.offenders)
        ],
    }


def _operation(operation: Operation, facts: Facts) -> Json:
    return {
        "kind": operation.kind.name.lower(),
        "version": operation.version or None,
        "shown": operation.shown if operation.kind is OperationKind.READ else None,
        "outcome": operation.outcome.name.lower(),
        "invoked_at": rounded(operation.invoked),
        "ended_at": rounded(operation.ended),
        "phase": facts.timeline.phase_at(operation.invoked),
    }


def _isolation(facts: Facts) -> Json:
    found = facts.isolation
    return {
        "reads_checked": found.reads_checked,
        "probes": found.probes,
        "refused": found.refused,
        "errors": found.errors,
        "leaks": found.leaks,
        "forged_tokens_tried": found.forged_tried if facts.record.plan.tokens else None,
        "forged_tokens_accepted": found.forged_accepted if found.forged_tried else None,
        "controls": found.controls,
        "rows": [asdict(row) for row in found.rows],
        "examples": [*found.examples, *found.accepted],
    }


def _continuity(facts: Facts) -> Json:
    found = facts.continuity
    return {
        "accounts": found.accounts,
        **{
            name: {
                "worked": kind.worked,
                "failed": kind.failed,
                "unclear": kind.unclear,
                "worked_before": kind.worked_before,
                "why_not": kind.why_not or None,
            }
            for name, kind in found.kinds.items()
        },
        "examples": list(found.examples),
    }


def _websocket(facts: Facts) -> Json:
    found, told = facts.websocket, facts.broadcasts
    return {
        "connections": found.connections,
        "delivered": found.delivered,
        "missed": found.missed,
        "duplicated": found.duplicated,
        "reordered": found.reordered,
        "delivery_p99_s": rounded(found.delivery_p99_s),
        "clock_ahead_s": rounded(found.offset.ahead_s) if found.offset else None,
        "clock_error_s": rounded(found.offset.error_s) if found.offset else None,
        "longest_silence_s": rounded(found.longest_silence_s),
        "reconnects": found.reconnects,
        "reconnect_p99_s": rounded(found.reconnect_p99_s),
        "resumed": found.resumed,
        "passed": found.passed,
        "unsettled": found.unsettled,
        "ends": dict(found.ends),
        "odd": dict(found.odd),
        "status_expected": told.due if told.announced else None,
        "status_delivered": told.delivered if told.announced else None,
        "status_p99_s": rounded(told.p99_s),
        "status_missing": list(told.missing),
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
        "lost_ratio": rounded(facts.lost_ratio),
        "arrivals": facts.record.plan.arrivals,
        **_arrivals(facts),
        "target_rate": rounded(facts.record.plan.target_rate),
        "achieved_rate": rounded(rate(samples, baseline)) if baseline else None,
        "hub_late_p99_s": rounded(fitness(facts.record.health, facts.judged).late_p99_s),
        "late": _late(facts),
        "started": sum(data["started"] for data in finals) if finals and told else None,
        "finished": len(samples) - unfinished,
        "reopened": uses_of(events).total(Use.REOPENED) if finals else None,
        "unfinished": unfinished,
    }


def _arrivals(facts: Facts) -> Json:
    """How many arrivals were due in the run, begun and shed, over all workers; None when one did not tell."""
    found = arrivals_in(facts.record.health)
    return {"due": found and found.due, "begun": found and found.begun, "shed": found and found.shed}


def _late(facts: Facts) -> list[Json]:
    return [
        {"start_at": rounded(late.start), "end_at": rounded(late.end), "late_s": rounded(late.late_s)}
        for late in late_stretches(facts.record.health, facts.judged)
    ]
