"""The limits of a verdict: what was not judged, or by less than there should be, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.core.client import broken_before, inside, share_of_errors
from harness.core.client_limits import limits_of_clients
from harness.core.conditions import GATES, conditions
from harness.core.counted import counted
from harness.core.cpu_wait import limits_of_cpu
from harness.core.crowd import limits_of_crowd
from harness.core.durations import format_duration
from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.gate import Gate
from harness.core.generator import late_stretches
from harness.core.observation import Observed
from harness.core.offered import limits_of_arrivals
from harness.core.stale_cache import limits_of_shapes
from harness.core.verdict import safe_text

__all__ = ["limits"]

_LATE_TOLD = 8
"""Of so many late seconds the verdict says when they were; `load.late` has all."""

LATE_S = 0.5
"""How late a poll of the observer may come before the verdict says so."""


def limits(gates: Sequence[Gate], facts: Facts) -> Iterator[str]:
    """All of them, in the order in which they are told; some may hold secrets still."""
    yield from (f"Missing from the record: {text}." for text in facts.record.missing)
    for name in dict.fromkeys(facts.record.plan.no_gates):
        yield f"Gate {name} is switched off by the plan."
    for gate in gates:
        if gate.not_applicable and gate.family != "drills":  # a fault that nobody asked for is not missed
            yield f"Gate {gate.name} ({gate.expression}) is not applicable: {gate.not_applicable}."
        if gate.note:
            yield gate.note
    yield from _limits_of_migrations(facts)
    yield from _limits_of_observer(facts)
    yield from _limits_of_ledger(facts)
    yield from limits_of_shapes(facts)
    yield from _limits_of_isolation(facts)
    yield from _limits_of_continuity(facts)
    yield from _limits_of_websockets(facts)
    yield from _limits_of_load(facts)
    yield from _limits_of_cache(facts)
    yield from limits_of_crowd(facts)
    yield from limits_of_clients(facts)
    yield from _limits_of_baseline(facts)


def _limits_of_baseline(facts: Facts) -> Iterator[str]:
    """What was not the same in the run that gates compare with; gates of its own it need not have."""
    if facts.baseline is not None:
        for condition in conditions(facts.baseline.record, facts.record):
            if condition.what == GATES:
                continue
            yield (
                f"Not the same as in the baseline run: {condition.what}, {safe_text(condition.old)} there,"
                f" {safe_text(condition.new)} here."
            )


def _limits_of_migrations(facts: Facts) -> Iterator[str]:
    for migration in facts.migrations:
        if migration.placebo:
            continue
        which = f"{migration.direction}{migration.of}"
        if not migration.traced and migration.status not in ("nothing", None):
            reason = migration.why_untraced or "no reason is recorded"
            yield (
                f"The {which} was not traced ({reason}): its impact window is taken from the"
                " start to the end of its process; its statements and revisions, what they rewrote, and their"
                " locks are not, or not all, known. Waits are charged to it as a whole."
            )
        if migration.guessed:
            pids = ", ".join(str(pid) for pid in sorted(migration.guessed))
            yield (
                f"Session {pids} is taken for the {which}'s because it began while that ran and"
                " is like no session from before; waits behind it are inferred."
            )
        if migration.target is None:
            yield (
                f"Where the {which} leads is known to its command alone: judged is that it"
                " ended ok and did something. --upgrade REV or --alembic-config would tell."
            )
        names = {context.table.database for context in migration.trace.contexts}
        if len(names) > 1:
            yield (
                f"The {which} went to {len(names)} databases ({', '.join(sorted(filter(None, names)))}): who"
                " waits, and what becomes of the schema, is seen in the one that it is guarded for."
            )
        if migration.trace.pooled_by:
            served = ", ".join(str(pid) for pid in sorted(migration.trace.pooled_by))
            yield (
                f"The {which} went through a connection pooler, by PostgreSQL's processes {served}, which may"
                " have served others, too: waits behind these are charged to it, and the timeouts of its"
                " statements outside transactions are not known. Give migrations a direct connection"
                " (harness help poolers)."
            )
        if migration.trace.blind:
            yield (
                f"Locks and rewrites of some statements of the {which} are not known:"
                f" {safe_text(migration.trace.blind[0])}."
            )
    yield from _limits_of_order(facts)


def _limits_of_order(facts: Facts) -> Iterator[str]:
    """The migrations that were not started, and why where one before them is the reason."""
    for phase, what in (("migrate", "upgrade"), ("rollback", "rollback")):
        began, left = facts.in_phase(phase), facts.not_started(phase)
        if left and (began or phase == "migrate"):
            bad = [migration.name for migration in began if migration.status not in ("ok", "nothing")]
            why = f": {bad[-1]}, before it, did not end ok" if bad else ""
            yield f"The {what} of {' and of '.join(left)} was not started{why}."


def _limits_of_observer(facts: Facts) -> Iterator[str]:
    if all(migration.placebo for migration in facts.migrations):
        return
    for database, watch in facts.record.watches.items():
        yield from _limits_of_watch(watch.observed, f" of {database}" if database else "")


def _limits_of_watch(observed: Observed, of: str) -> Iterator[str]:
    """`of` names another database than the run's own."""
    if observed.began_at is None and not observed.why_blind:
        yield f"Nobody watched the database{of}: who waited for whom is not known."
    if observed.why_blind:
        why = safe_text(observed.why_blind).rstrip(".;")
        yield f"Not every wait in the database{of} could be seen: {why}."
    if observed.began_at is not None and observed.ended_at is None:
        yield f"The observer of the database{of} died: what happened after that is not known."
    if (late_s := observed.late_max_s or 0.0) > LATE_S:
        p99 = "" if observed.late_p99_s is None else f" (p99 {format_duration(observed.late_p99_s)})"
        late = f"up to {format_duration(late_s)} late{p99}"
        yield f"The observer of the database{of} came {late}: short waits are missing."
    for start, end in observed.gaps:
        yield f"The observer had no connection to the database{of} from {start:.1f} s to {end:.1f} s."
    if observed.began_at is not None and not observed.log_read:
        why = f": {safe_text(observed.why_no_log).rstrip('.')}" if observed.why_no_log else ""
        log = f"The log of the server{of}" if of else "The server's log"
        yield f"{log} was not read{why}. Errors and deadlocks are known from clients alone."
    if observed.pooler:
        yield f"Between the service and the server{of}: {safe_text(observed.pooler).rstrip('.')}."


def _limits_of_ledger(facts: Facts) -> Iterator[str]:
    ledger = facts.ledger
    yield from facts.record.plan.undeclared
    if ledger.unread:
        unread = counted(len(ledger.unread), "account was", "accounts were")
        yield f"{unread} not read back; what was written there is not judged."
    if ledger.unsure:
        accounts = counted(len(ledger.unsure), "account")
        yield f"Operations of {accounts} are missing; unexpected writes there are not judged."
    if ledger.acknowledged and ledger.hidden is None:
        yield "No database was asked for what the service does not show: a lost write may be a hidden one."


def _limits_of_isolation(facts: Facts) -> Iterator[str]:
    found, plan = facts.isolation, facts.record.plan
    if found.errors:
        probes = counted(found.probes, "probe")
        yield f"{found.errors} of {probes} of records ended in an error, which says nothing."
    if plan.isolation and not found.reads_checked and found.refused:
        yield "No answer bore a canary: another account's data in a list would not have been seen."
    if found.forged_errors and found.forged_tried:
        of = found.forged_errors + found.forged_tried
        yield f"{found.forged_errors} of {of} forged tokens say nothing: {safe_text(found.why_error)}."
    for why, kinds in found.untried.items():
        words = ", ".join(kind.replace("_", " ") for kind in kinds)
        yield f"Isolation: {safe_text(why)}, so this was not tried: {words}."


def _limits_of_continuity(facts: Facts) -> Iterator[str]:
    found = facts.continuity
    for name, kind in found.kinds.items():
        if found.accounts and not kind.tried:
            yield f"Continuity: {name.replace('_', ' ')} was not tried: {kind.why_not}."


def _limits_of_websockets(facts: Facts) -> Iterator[str]:
    found = facts.websocket
    if found.unsettled:
        yield (
            f"Of {found.unsettled} WebSocket connections it is not known whether the last changes came: they"
            " were broken at the end of the load, or the service did not tell its last number."
        )
    if found.passed:
        yield (
            f"{counted(found.passed, 'change was', 'changes were')} made while an account's WebSocket was"
            " broken, which the service does not send again (Stream's resume): none is among those missed."
        )
    for what, count in found.odd.items():
        yield f"WebSocket: {count} × {what}."


def _limits_of_load(facts: Facts) -> Iterator[str]:
    if facts.lost_workers:
        names = ", ".join(sorted(facts.lost_workers))
        who = f"Worker {names} was" if len(facts.lost_workers) == 1 else f"Workers {names} were"
        yield f"{who} lost, with what had not yet been sent."
    for event in facts.record.events:
        if event.kind == Kind.WORKER_BACK:
            yield f"Worker {event.data['worker']} was not heard of for a time, until {event.at:.1f} s."
    for event in facts.record.events:
        if event.kind == Kind.STOP and event.data.get("cause") != "completed":
            yield f"The run ended early, {event.at:.1f} s after its start: {event.data.get('cause')}."
    for phase in dict.fromkeys(migration.phase for migration in facts.migrations):
        window = facts.timeline.window(phase)
        for endpoint in broken_before(facts.record.samples, window) if window else ():
            yield f"{endpoint} was never answered ok before phase {phase}: it has no stall there."
    yield from limits_of_arrivals(facts)
    yield from _limits_of_generator(facts)
    yield from limits_of_cpu(facts)
    baseline = facts.timeline.window("baseline")
    ratio = share_of_errors(inside(facts.record.samples, baseline)) if baseline else None
    if ratio is not None and ratio > 0.01:
        yield f"{ratio:.1%} of the baseline's requests failed already; errors are what exceeds that."


def _limits_of_cache(facts: Facts) -> Iterator[str]:
    why = (facts.record.environment.get("cache") or {}).get("why_not")
    if why:
        yield (
            f"The reference service had no cache, as {safe_text(why)}: its processes heard of one another by"
            " LISTEN/NOTIFY."
        )


def _limits_of_generator(facts: Facts) -> Iterator[str]:
    late = late_stretches(facts.record.health, facts.judged)
    if late:
        worst_s = max(one.late_s for one in late)
        more = " …" if len(late) > _LATE_TOLD else ""
        at = ", ".join(f"{one.end:.0f} s" for one in late[:_LATE_TOLD]) + more
        yield (
            f"The generator itself was late in {counted(len(late), 'second')} of the load (until {at}), by up"
            f" to {format_duration(worst_s)}: latencies of those may be too long by as much."
            " None is left out."
        )
