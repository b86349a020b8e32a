"""The built-in gates that the database is the witness of: waits, deadlocks, the state of its catalog, and its
replicas.

What was seen is evidence however badly it was watched; that nothing was seen is evidence only where it would
have been.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.core.attribution import Charge
from harness.core.blame import normalised
from harness.core.counted import counted
from harness.core.durations import format_duration
from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive, worst_of
from harness.core.migrations import Migration
from harness.core.observation import DatabasePoint, LogEntry
from harness.core.plan import Plan
from harness.core.record import Watch
from harness.core.replica_lag import LAG_SAMPLES, NONE_SEEN, longest_lag, replicas_of
from harness.core.secrets import mask
from harness.core.sight import why_unreadable, why_unseen
from harness.core.timeline import Window
from harness.core.trace import Statement
from harness.core.verdict import GateResult

__all__ = [
    "LAG_S",
    "LOCK_WAIT_S",
    "catalog",
    "deadlocks",
    "half_applied",
    "lock_wait",
    "replica_lag",
    "statement_name",
]

LOCK_WAIT_S = 1.0
LAG_S = 5.0

FLUSHED_S = 11.0
"""When a session that then does nothing has told the server's statistics of its deadlock
(PGSTAT_IDLE_INTERVAL of utils/activity/pgstat.c), and a point has been read."""

_CHANGES_NOTHING = re.compile(
    r"(\s|/\*.*?\*/|--[^\n]*\n)*(set|reset|show|select|begin|start|commit|rollback|savepoint|release|lock|discard)\b",
    re.IGNORECASE | re.DOTALL,
)


def _phases(plan: Plan) -> tuple[str, ...]:
    return ("migrate", "rollback") if plan.rolls_back else ("migrate",)


def statement_name(statement: Statement | None, migration: str = "") -> str:
    """A statement for a sentence; `migration` names its migration where there are several."""
    where = f" in {migration}" if migration else ""
    if statement is None or statement.n is None:
        return f"a statement that is not known{where}"
    sql = " ".join(mask(statement.sql).split())
    of = f"{'' if statement.revision is None else f' of {statement.revision}'}{where}"
    return f"statement {statement.n}{of} ({sql[:80]}{'…' if len(sql) > 80 else ''})"


# waits


def lock_wait(plan: Plan) -> Iterator[Gate]:
    """A gate per phase: the longest wait of a client's session that is charged to one of its migrations."""
    for phase in _phases(plan):
        words = f"lock_wait_max{{phase={phase}}} <= {LOCK_WAIT_S:g}s"
        yield Gate("lock_wait", words, "observer", _longest_wait(phase))


def _longest_wait(phase: str) -> Callable[[Facts], GateResult]:
    def judge(facts: Facts) -> GateResult:
        charges = [charge for charge in facts.attribution.service if charge.phase == phase]
        longest = max(charges, key=lambda charge: charge.seconds, default=None)
        seconds = 0.0 if longest is None else longest.seconds
        if longest is not None and seconds > LOCK_WAIT_S:
            return _waits("fail", seconds, charges, _waited(longest, charges))
        if why := why_unseen(facts, phase):
            return _waits("inconclusive", None, charges, why)
        return _waits("pass", seconds, charges, "")

    return judge


def _waits(status: str, seconds: float | None, charges: Sequence[Charge], why: str) -> GateResult:
    return GateResult("", "", status, seconds, LOCK_WAIT_S, "s", len(charges), why)


def _waited(longest: Charge, charges: Sequence[Charge]) -> str:
    same = [charge for charge in charges if _first(charge) == _first(longest)]
    runs = len({None if charge.statement is None else charge.statement.n for charge in same})
    in_all = sum(charge.seconds for charge in same)
    tries = f", {format_duration(in_all)} in all over {runs} attempts" if runs > 1 else ""
    sessions = len({charge.wait.pid for charge in same})
    mode, relation = longest.wait.mode, longest.wait.relation
    wanted = f"{mode} on {relation}" if relation else f"{mode} on a {longest.wait.lock_type}"
    statement = statement_name(longest.statement, longest.migration.name)
    return (
        f"{statement} made {counted(sessions, 'session')} wait;"
        f" the longest waited {format_duration(longest.seconds)} for {wanted}{tries}"
    )


def _first(charge: Charge) -> tuple[int, int | None]:
    """The number of the migration, and that of its statement, of several attempts that of the first."""
    statement = charge.statement
    return charge.migration.number, None if statement is None else statement.attempt_of or statement.n


# deadlocks


def deadlocks(plan: Plan) -> Iterator[Gate]:
    """A gate per phase: the deadlocks that one of its migrations was one side of."""
    for phase in _phases(plan):
        yield Gate("deadlocks", f"deadlocks{{phase={phase}}} == 0", "observer", _deadlocked(phase))


def _deadlocked(phase: str) -> Callable[[Facts], GateResult]:
    def judge(facts: Facts) -> GateResult:
        migrations, window = facts.in_phase(phase), facts.timeline.window(phase)
        if not migrations or window is None:
            return inconclusive(why_unseen(facts, phase))
        ends = [*(later.begin_at for later in migrations[1:]), window.end]
        ran = [(m, Window(phase, m.begin_at, end)) for m, end in zip(migrations, ends, strict=True)]
        return worst_of([(m.name, _deadlocked_with(m, while_it_ran, facts)) for m, while_it_ran in ran])

    return judge


def _deadlocked_with(migration: Migration, while_it_ran: Window, facts: Facts) -> GateResult:
    found = list(_involving(migration, while_it_ran, facts))
    if found:
        return _counted("fail", len(found), f"{len(found)} with the migration: {found[0]}")
    return _none_seen(facts, while_it_ran, migration)


def _counted(status: str, count: int, why: str) -> GateResult:
    return GateResult("", "", status, float(count), 0.0, "count", count, why)


def _involving(migration: Migration, window: Window, facts: Facts) -> Iterator[str]:
    """Each deadlock of the migration, in words: those of the log, or else what its victims were told."""
    watch = facts.watch(migration)
    logged = [entry for entry in _logged(watch, window) if migration.backends & set(entry.pids)]
    if logged:
        yield from (_sides(entry) for entry in logged)
        return
    failed = [s for s in migration.trace.migration_statements if s.sqlstate == "40P01"]
    yield from (f"{statement_name(statement)} was its victim" for statement in failed)
    if failed or watch.observed.log_read:
        return
    told = [error for error in facts.errors if error.sqlstate == "40P01" and error.source == "clients"]
    if any(error.phase in ("warmup", "baseline", "launch") for error in told):
        return
    for error in told:
        if error.phase == migration.phase and error.migration in ("", migration.name):
            yield from ["clients were told that theirs was the victim, and none was before"] * error.count


def _logged(watch: Watch, window: Window) -> Iterator[LogEntry]:
    for line in watch.database:
        if isinstance(line, LogEntry) and line.kind == "deadlock" and window.start <= line.at < window.end:
            yield line


def _sides(entry: LogEntry) -> str:
    """The victim first."""
    queries = [mask(normalised(query))[:120] for query in entry.queries] + [""] * len(entry.pids)
    sides = [
        f"session {pid}{f' ({query})' if query else ''}"
        for pid, query in zip(entry.pids, queries, strict=False)
    ]
    return f"{sides[0]} was the victim, against {' and '.join(sides[1:]) or 'one that is not named'}"


def _none_seen(facts: Facts, window: Window, migration: Migration) -> GateResult:
    watch, phase = facts.watch(migration), migration.phase
    observed, risen = watch.observed, _risen(watch, window)
    if why := why_unreadable(facts, "database.ndjson", migration.database):
        return inconclusive(why)
    if observed.log_read:
        why = why_unseen(facts, phase) or _why_not_logged(risen or 0, watch, window)
        others = len(list(_logged(watch, window)))
        said = f"{others} of other sessions, none with the migration" if others else ""
        return inconclusive(why) if why else _counted("pass", 0, said)
    if risen is None:
        return inconclusive(why_unseen(facts, phase) or "the server's count of deadlocks is not known")
    if risen == 0:
        return _counted("pass", 0, "")
    why = f"the server counted {risen}, and whose they were only its log tells, which was not read"
    return inconclusive(f"{why}: {observed.why_no_log}" if observed.why_no_log else why, risen)


def _why_not_logged(risen: int, watch: Watch, window: Window) -> str:
    """What says that the log does not tell of all deadlocks, "" when nothing does."""
    around = Window(window.name, window.start - FLUSHED_S, window.end + FLUSHED_S)
    logged = len(list(_logged(watch, around)))
    return f"the server counted {risen}, and its log tells of {logged}" if risen > logged else ""


def _risen(watch: Watch, window: Window) -> int | None:
    """By how much the server's own count of deadlocks rose, None where it was not read around the window."""
    points = [
        (line.at, line.deadlocks)
        for line in watch.database
        if isinstance(line, DatabasePoint) and line.deadlocks is not None
    ]
    before = [count for at, count in points if at <= window.start + 1.0]
    after = [count for at, count in points if window.end - 1.0 <= at <= window.end + FLUSHED_S]
    return after[-1] - before[-1] if before and after else None


# the catalog


def catalog(plan: Plan) -> Iterator[Gate]:
    """A gate per phase: what is red in the schema after one of its migrations, and was not before."""
    for phase in _phases(plan):
        words = f"catalog{{phase={phase}}}: no new invalid index, no revision half applied"
        yield Gate("catalog", words, "catalog", _schema_after(phase))


def _schema_after(phase: str) -> Callable[[Facts], GateResult]:
    def judge(facts: Facts) -> GateResult:
        migrations = facts.in_phase(phase)
        if not migrations:
            return inconclusive(f"the run never came to phase {phase}")
        results = [(migration.name, _schema_of(migration, facts)) for migration in migrations]
        indexes = sum(result.samples or 0 for _, result in results)
        worst = worst_of(results)
        return replace(worst, samples=indexes) if worst.status == "pass" else worst

    return judge


def _schema_of(migration: Migration, facts: Facts) -> GateResult:
    red = [finding.what for finding in facts.findings(migration) if finding.red]
    red += half_applied(migration)
    if red:
        return _counted("fail", len(red), "; ".join(red[:3]))
    before, after = facts.schemas(migration)
    for state, when in ((before, "before"), (after, "after")):
        if state is None or state.error:
            said = "" if state is None else f": {state.error}"
            return inconclusive(f"the catalog {when} the {migration.direction} was not read{said}")
    return GateResult("", "", "pass", 0.0, 0.0, "count", None if after is None else len(after.indexes))


def half_applied(migration: Migration) -> Iterator[str]:
    """The revisions of which something is in the database though its version says that nothing is."""
    if migration.status in (None, "ok", "nothing") or migration.direction != "upgrade":
        return
    statements = migration.trace.statements
    applied = {s.revision for s in statements if s.kind == "version" and s.committed_mono is not None}
    applied |= set(migration.revisions_after or ())
    for revision in dict.fromkeys(run.revision for run in migration.trace.revisions):
        left = [
            statement
            for statement in migration.trace.migration_statements
            if statement.revision == revision
            and statement.committed_mono is not None
            and not _CHANGES_NOTHING.match(statement.sql)
        ]
        if left and revision not in applied:
            of = f"{counted(len(left), 'statement')} of revision {revision}"
            yield f"{of} stayed committed though it is not applied, the first {statement_name(left[0])}"


# replicas


_REPLAYED = (
    *(("migrate", "migrate"), ("migrate", "recover")),
    *(("rollback", "rollback"), ("rollback", "rollback_recover")),
)
"""Migrations, and the phases in which a replica replays what they wrote."""


def replica_lag(plan: Plan) -> Iterator[Gate]:
    """A gate for each phase of a migration and of the recovery from it: WAL that is written quickly may be
    replayed slowly. One is enough to say that there is no replica.
    """
    phases = [(migration, phase) for migration, phase in _REPLAYED if migration in _phases(plan)]
    for migration, phase in phases if plan.may_have_replicas else phases[:1]:
        words = f"replica_lag_max{{phase={phase}}} <= {LAG_S:g}s"
        yield Gate("replica_lag", words, "replica", _kept_up(migration, phase))


def _kept_up(migration: str, phase: str) -> Callable[[Facts], GateResult]:
    def judge(facts: Facts) -> GateResult:
        window, began = facts.timeline.window(phase), facts.timeline.window(migration)
        if window is None or began is None:
            return inconclusive(f"the run never came to phase {phase}, or no statement ran in it")
        seconds, looks, why = longest_lag(facts, window)
        if why == NONE_SEEN and "replica_lag" not in facts.record.plan.required:
            return GateResult("", "", "not_applicable", why=why)
        if seconds is not None and seconds > LAG_S:
            return _fell_behind(facts, window, began.start, looks)
        if looks < LAG_SAMPLES:
            why = why or f"needs {LAG_SAMPLES} looks at a replica, has {looks}"
        return _lag("inconclusive", None, looks, why) if why else _lag("pass", seconds, looks, "")

    return judge


def _fell_behind(facts: Facts, window: Window, began_at: float, looks: int) -> GateResult:
    """Red, unless all that are behind were so before."""
    behind = [one for one in replicas_of(facts.record) if (one.longest(window) or 0.0) > LAG_S]
    fell = [one for one in behind if one.before(began_at) <= LAG_S]
    worst = max(fell or behind, key=lambda one: one.longest(window) or 0.0)
    seconds, most = worst.longest(window), worst.most_behind(window)
    by = f"{format_duration(seconds or 0.0)} behind, {counted(most, 'byte')} of WAL at most"
    said = f"replica {worst.name} was {by}"
    if fell:
        return _lag("fail", seconds, looks, said)
    already = f"it was {format_duration(worst.before(began_at))} behind already before the first statement"
    return _lag("inconclusive", seconds, looks, f"{said}; {already}")


def _lag(status: str, seconds: float | None, looks: int, why: str) -> GateResult:
    return GateResult("", "", status, seconds, LAG_S, "s", looks, why)
