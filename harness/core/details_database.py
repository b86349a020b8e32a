"""What the database told of the run, as `verdict.json` has it: blame, advice, errors, waits, its catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.core.advice import Advice
from harness.core.attribution import Charge
from harness.core.blame import Blame
from harness.core.claims import compare
from harness.core.facts import Facts
from harness.core.migrations import Migration
from harness.core.observation import DatabasePoint, Observed
from harness.core.replica_lag import Replica, replicas_of
from harness.core.secrets import mask
from harness.core.verdict import rounded, safe_text
from harness.core.waits import Wait

__all__ = ["database_json"]

Json = dict[str, Any]

TIMELINE_WAITS = 500

_SEVERITIES = ("finding", "note", "ignored")
_MOVES_WORK_OUT = ("backfill-with-ddl", "batches-in-one-transaction", "work-after-exclusive-lock")


def database_json(facts: Facts, advice: Mapping[int, Sequence[Advice]]) -> Json:
    """The keys of `verdict.json` that the observers, the tracer and the catalog have a part in; `advice` by
    the number of the migration.
    """
    return {
        "blame": [_blame(blamed, facts, advice) for blamed in facts.blame],
        "advice": [
            {**asdict(found), "hold_s": rounded(found.hold_s), **_whose(migration)}
            for migration in facts.migrations
            for found in advice.get(migration.number, ())
        ],
        "errors": [{**asdict(error), "migration": error.migration or None} for error in facts.errors],
        "catalog": _catalog(facts),
        "claims": [
            claim
            for migration in facts.migrations
            for claim in _claims(migration, facts, advice.get(migration.number, ()))
        ],
        "waits": _waits(facts),
        "waits_timeline": _timeline(facts),
        "database": [_point(line) for line in facts.record.database if isinstance(line, DatabasePoint)],
        "replicas": [_replica(replica, facts) for replica in replicas_of(facts.record)],
    }


def _whose(migration: Migration) -> Json:
    return {"phase": migration.phase, "migration": migration.name or None}


def _blame(blamed: Blame, facts: Facts, advice: Mapping[int, Sequence[Advice]]) -> Json:
    migration = next(m for m in facts.migrations if blamed.is_of(m))
    best = _best_advice(blamed, migration, advice.get(migration.number, ()))
    return {
        "statement": blamed.statement,
        "revision": blamed.revision,
        **_whose(migration),
        "relation": blamed.relation,
        "mode": blamed.mode,
        "lock_type": blamed.lock_type,
        "blocked_sessions": blamed.sessions,
        "blocked_session_seconds": rounded(blamed.session_seconds),
        "longest_wait_s": rounded(blamed.longest_s),
        "attempts": [
            {
                "statement": attempt.statement,
                "start_at": rounded(attempt.start_at),
                "sessions": attempt.sessions,
                "session_seconds": rounded(attempt.session_seconds),
                "longest_s": rounded(attempt.longest_s),
            }
            for attempt in blamed.attempts
        ],
        "requests_affected": blamed.requests,
        "requests_tied": blamed.tied,
        "endpoints": list(blamed.endpoints),
        "errors": blamed.errors,
        "queries": [
            {
                "query": query.query,
                "query_id": None if query.query_id is None else str(query.query_id),
                "sessions": query.sessions,
                "session_seconds": rounded(query.session_seconds),
                "longest_s": rounded(query.longest_s),
            }
            for query in blamed.queries
        ],
        "root": blamed.root,
        "tie": blamed.tie,
        "provenance": blamed.provenance,
        "running": blamed.running,
        "advice": "" if best is None else best.safe,
        "rule": None if best is None else best.rule,
    }


def _best_advice(blamed: Blame, migration: Migration, advice: Iterable[Advice]) -> Advice | None:
    """What to do instead of the blamed statement: the worst that a rule says of it.

    Where most of its hold was the work of later statements of its transaction, moving those out helps most,
    and setting a lock_timeout least.
    """
    told = [found for found in advice if found.severity != "ignored"]
    own = [found for found in told if found.statement == blamed.statement and found.hold_s is not None]
    kept_for = _kept_for(blamed, migration)
    moves = [found for found in told if found.statement in kept_for and found.rule in _MOVES_WORK_OUT]
    return min((*moves, *own), key=lambda found: _helps(found, kept_for), default=None)


def _helps(advice: Advice, kept_for: Mapping[int, float]) -> tuple[float, ...]:
    return (
        _SEVERITIES.index(advice.severity),
        -kept_for.get(advice.statement, 0.0),
        advice.rule == "no-lock-timeout",
    )


def _kept_for(blamed: Blame, migration: Migration) -> Mapping[int, float]:
    """The later statements of its transaction by their duration, if together they took longer than itself."""
    statements = migration.trace.migration_statements
    own = next((s for s in statements if s.n == blamed.statement), None)
    if own is None or own.transaction is None or own.n is None:
        return {}
    later = {
        s.n: s.duration_s or 0.0
        for s in statements
        if s.transaction == own.transaction and s.n is not None and s.n > own.n
    }
    return later if sum(later.values()) > (own.duration_s or 0.0) else {}


def _catalog(facts: Facts) -> Json:
    """What differs in the schema; `why` says why it was not, or not wholly, read."""
    migrations = [migration for migration in facts.migrations if not migration.placebo]
    states = [state for migration in migrations for state in facts.schemas(migration)]
    why = dict.fromkeys("it was not read" if state is None else safe_text(state.error) for state in states)
    said = [text for text in why if text]
    return {
        "findings": [
            {
                **asdict(finding),
                "what": mask(finding.what),
                "remedy": mask(finding.remedy),
                **_whose(migration),
            }
            for migration in migrations
            for finding in facts.findings(migration)
        ],
        "read": bool(states) and not said,
        "why": "; ".join(said),
    }


def _claims(migration: Migration, facts: Facts, advice: Sequence[Advice]) -> list[Json]:
    predictions = facts.predictions(migration)
    if predictions is None:
        return []
    found = compare(predictions, advice, migration.trace.migration_statements)
    return [{**asdict(claim), "migration": migration.name or None} for claim in found]


# waits


def _waits(facts: Facts) -> Json:
    """`elsewhere` says of other databases than the run's own how they were watched, where there are some."""
    watches = facts.record.watches
    waits = [wait for watch in watches.values() for wait in watch.waits]
    elsewhere = {name: _observed(watch.observed) for name, watch in facts.record.elsewhere.items()}
    seen = bool(waits) or all(_saw(watch.observed) for watch in watches.values())
    everything = [(wait.pid, wait.wait_s) for wait in waits]
    service, own = (
        [(charge.wait.pid, charge.seconds) for charge in charges]
        for charges in (facts.attribution.service, facts.attribution.own)
    )
    return {
        **_totals(everything, seen),
        "by_migration": _totals(service, seen),
        "of_migration": _totals(own, seen),
        "observed": _observed(facts.record.observed),
        **({"elsewhere": elsewhere} if elsewhere else {}),
    }


def _saw(observed: Observed) -> bool:
    return observed.began_at is not None and not observed.why_blind


def _observed(observed: Observed) -> Json:
    told = asdict(observed)
    del told["backends"]
    for name, stretches in (("gaps", observed.gaps), ("blind", observed.blind)):
        told[name] = [[rounded(at) for at in stretch] for stretch in stretches]
    for name in ("began_at", "ended_at", "late_p99_s", "late_max_s", "interval_s"):
        told[name] = rounded(told[name])
    for name in ("why_blind", "why_no_log", "pooler"):
        told[name] = safe_text(told[name])
    return {**told, "complete": observed.complete}


def _totals(waits: Sequence[tuple[int, float]], seen: bool) -> Json:
    """Of waits as (pid, seconds); null where nobody watched."""
    seconds = [wait_s for _, wait_s in waits]
    return {
        "count": len(waits) if seen else None,
        "sessions": len({pid for pid, _ in waits}) if seen else None,
        "session_seconds": rounded(sum(seconds)) if seen else None,
        "longest_s": rounded(max(seconds, default=0.0)) if seen else None,
    }


def _timeline(facts: Facts) -> list[Json]:
    """The longest waits, in the order of their beginning; `own` are those of the migration's own sessions."""
    longest = sorted(_lines(facts), key=lambda line: line[0].wait_s, reverse=True)[:TIMELINE_WAITS]
    return [
        {
            "start_at": rounded(wait.started_at),
            "end_at": rounded(wait.until),
            "pid": wait.pid,
            "relation": wait.relation,
            "mode": wait.mode,
            "root_pid": None if wait.root is None else wait.root.pid,
            "statement": None if charge is None or charge.statement is None else charge.statement.n,
            "phase": facts.timeline.phase_at(wait.started_at) if charge is None else charge.phase,
            "migration": None if charge is None else charge.migration.name or None,
            "own": own,
        }
        for wait, charge, own in sorted(longest, key=lambda line: (line[0].started_at, line[0].pid))
    ]


def _lines(facts: Facts) -> Iterator[tuple[Wait, Charge | None, bool]]:
    charged = set()
    for charges, own in ((facts.attribution.service, False), (facts.attribution.own, True)):
        for charge in charges:
            charged.add(id(charge.wait))
            yield charge.wait, charge, own
    for watch in facts.record.watches.values():
        yield from ((wait, None, False) for wait in watch.waits if id(wait) not in charged)


# the database, second by second


def _point(point: DatabasePoint) -> Json:
    return {
        "at": rounded(point.at),
        "sessions": dict(point.sessions),
        "waiting": point.waiting,
        "wal_bytes": point.wal_bytes,
        "deadlocks": point.deadlocks,
        "oldest_transaction_s": rounded(point.oldest_transaction_s),
        "lag_s": rounded(point.lag_s),
        "cpu": {name: rounded(ratio) for name, ratio in sorted(point.cpu.items())},
        "memory_mb": {name: rounded(size) for name, size in sorted(point.memory_mb.items())},
        "cpu_wait": {name: rounded(share) for name, share in sorted(point.cpu_wait.items())},
    }


# replicas


def _replica(replica: Replica, facts: Facts) -> Json:
    """`lag_s` is the longest by phase, of the phases in which it was seen; `conflicts` at the end."""
    windows = [facts.timeline.window(phase.name) or phase for phase in facts.timeline.phases]
    lags = {window.name: replica.longest(window) for window in windows}
    points = replica.points
    return {
        "name": safe_text(replica.name),
        "source": replica.source,
        "looks": len(replica.measured),
        "first_at": rounded(points[0].at),
        "last_at": rounded(points[-1].at),
        "lag_s": {name: rounded(lag) for name, lag in lags.items() if lag is not None},
        "behind_bytes": max((p.behind_bytes for p in points if p.behind_bytes is not None), default=None),
        "conflicts": next((dict(point.conflicts) for point in reversed(points) if point.conflicts), None),
        "why": safe_text(next((point.why for point in reversed(points) if point.why), "")),
    }
