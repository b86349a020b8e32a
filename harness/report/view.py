"""The view: everything a report says, in words, laid out once for the terminal, HTML, JUnit and Markdown.

It decides nothing: statuses, causes and numbers come from the verdict; here they get words and units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.plan import Plan
from harness.core.series import Series
from harness.core.timeline import Timeline
from harness.report.chart import Chart, chart_of
from harness.report.facts import Fact, findings, migration_facts, run_facts, settings
from harness.report.statements import SHORT_SQL, Span, Statement, grouped, spans
from harness.report.words import ABSENT, clean, count, pair, plural, rate, seconds, share, shorten

__all__ = ["Blame", "Figure", "Gate", "Headline", "Measure", "View", "build"]

Json = Mapping[str, Any]

_MARKS = {"pass": "✔", "fail": "✘", "inconclusive": "?", "not_applicable": "–"}
_FIGURES = "During the migration (its impact window), against the baseline:"
_FIGURES_OF_A_PLACEBO = "In the window that a migration would be judged by, against the baseline:"
_SHOWN = ("fail", "inconclusive", "pass", "not_applicable")


@dataclass(frozen=True)
class Headline:
    """The verdict: its status as in `verdict.json`, a sign, a word, and one sentence with the cause."""

    status: str
    mark: str
    word: str
    sentence: str
    exit_code: str


@dataclass(frozen=True)
class Gate:
    """One gate: what it asks, what was observed, over how many samples, and why it came out so."""

    mark: str
    status: str
    word: str
    name: str
    expression: str
    observed: str
    limit: str
    samples: str
    why: str


@dataclass(frozen=True)
class Figure:
    """A number before and during the migration."""

    label: str
    before: str
    during: str


@dataclass(frozen=True)
class Blame:
    """What a statement is blamed for, with what to do instead."""

    statement: str
    sentence: str
    advice: str


@dataclass(frozen=True)
class Measure:
    """The requests of one phase, or of one endpoint in one phase; times are latencies."""

    name: str
    phase: str
    start: str
    duration: str
    requests: str
    rate: str
    throughput: str
    errors: str
    p50: str
    p95: str
    p99: str
    max: str
    stall: str


@dataclass(frozen=True)
class Migration:
    """The upgrade or the rollback."""

    title: str
    facts: tuple[Fact, ...]
    revisions: tuple[str, ...]
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class View:
    """What every report renders."""

    run_id: str
    title: str
    headline: Headline
    figures_title: str
    figures: tuple[Figure, ...]
    gates: tuple[Gate, ...]
    migrations: tuple[Migration, ...]
    blame: tuple[Blame, ...]
    findings: tuple[Fact, ...]
    phases: tuple[Measure, ...]
    endpoints: tuple[Measure, ...]
    facts: tuple[Fact, ...]
    plan: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    limits: tuple[str, ...]
    chart: Chart

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Those of all migrations."""
        return tuple(statement for migration in self.migrations for statement in migration.statements)

    def slowest(self, most: int = 5) -> tuple[Statement, ...]:
        """The statements with the longest single execution, longest first; fast repeats by their mean."""
        return tuple(sorted(self.statements, key=lambda s: -s.longest_s)[:most])


def build(
    verdict: Json, series: Series, timeline: Timeline, plan: Plan, environment: Mapping[str, Any]
) -> View:
    """The view of a finished run: `verdict` as in `verdict.json`, `environment` as in `environment.json`."""
    told = [verdict[key] for key in ("migration", "rollback") if verdict.get(key)]
    executed = [spans(m.get("statements") or (), _end(m, timeline)) for m in told]
    migrations = tuple(_migration(m, own) for m, own in zip(told, executed, strict=True))
    gates = tuple(sorted(map(_gate, verdict.get("gates") or ()), key=lambda g: _SHOWN.index(g.status)))
    blame = tuple(_blame(b, told) for b in verdict.get("blame") or ())
    statements = [s for m in migrations for s in m.statements]
    phases = tuple(verdict.get("phases") or ())
    return View(
        run_id=clean(verdict.get("run_id") or ""),
        title=_title(plan),
        headline=_headline(verdict, gates, _culprit(blame, _fatal(told, executed), statements)),
        figures_title=_FIGURES_OF_A_PLACEBO if plan.placebo else _FIGURES,
        figures=tuple(_figures(phases)),
        gates=gates,
        migrations=migrations,
        blame=blame,
        findings=tuple(findings(verdict)),
        phases=tuple(_measure(p) for p in phases),
        endpoints=tuple(_endpoints(verdict.get("endpoints") or ())),
        facts=tuple(run_facts(verdict)),
        plan=tuple(settings(plan.as_json())),
        environment=tuple(settings(environment or verdict.get("environment") or {})),
        limits=tuple(clean(limit) for limit in verdict.get("limits") or ()),
        chart=chart_of(series, timeline, [span for own in executed for span in own]),
    )


# the verdict in one sentence


def _headline(verdict: Json, gates: Sequence[Gate], cause: str) -> Headline:
    status = str(verdict.get("status", "inconclusive"))
    sentence = _sentence(status, verdict, gates)
    if status == "fail":
        sentence += cause
    if not verdict.get("complete", True):
        phase = verdict.get("interrupted_in")
        where = f" in {clean(phase)}" if phase else ""
        sentence += f" The run was interrupted{where}; only what was finished is judged."
    code = verdict.get("exit_code")
    return Headline(
        status,
        _MARKS.get(status, "?"),
        _word(status).upper(),
        sentence,
        ABSENT if code is None else str(code),
    )


def _sentence(status: str, verdict: Json, gates: Sequence[Gate]) -> str:
    if status == "pass":
        return _passed(verdict, gates)
    return _failed(gates) if status == "fail" else _undecided(gates)


def _failed(gates: Sequence[Gate]) -> str:
    red = [gate for gate in gates if gate.status == "fail"]
    if not red:
        return "The run failed."
    first, others = red[0], [gate.name for gate in red[1:]]
    also = f" Also red: {', '.join(others)}." if others else ""
    return f"{_told(first)}.{also}"


def _undecided(gates: Sequence[Gate]) -> str:
    unclear = [gate for gate in gates if gate.status == "inconclusive"]
    if not unclear:
        return "Nothing could be judged."
    return f"{unclear[0].name} could not be judged: {unclear[0].why.rstrip('.') or 'no reason is recorded'}."


def _passed(verdict: Json, gates: Sequence[Gate]) -> str:
    green = sum(gate.status == "pass" for gate in gates)
    migration: Json = verdict.get("migration") or {}
    if not migration.get("to"):
        return f"All {plural(green, 'gate')} passed."
    path = f"{clean(migration.get('from') or 'base')} to {clean(migration['to'])}"
    took = seconds(migration.get("duration_s"))
    return f"All {plural(green, 'gate')} passed while the schema went from {path} in {took}."


def _told(gate: Gate) -> str:
    if gate.observed == ABSENT:
        return f"{gate.name}: {gate.why.rstrip('.') or gate.expression}"
    against = f", the limit is {gate.limit}" if gate.limit != ABSENT else ""
    return f"{gate.name} is {gate.observed}{against}"


def _culprit(blame: Sequence[Blame], fatal: Span | None, statements: Sequence[Statement]) -> str:
    """The statement to look at: the blamed one, the one that failed, or else the longest."""
    if blame:
        return f" Blamed on {blame[0].statement}."
    if fatal is not None:
        sql = shorten(fatal.sql, SHORT_SQL)
        return f" The migration failed in revision {fatal.revision} with {fatal.error}: {sql}"
    longest = max(statements, key=lambda s: s.longest_s, default=None)
    if longest is None:
        return ""
    took = "was never seen to end" if longest.unfinished else f"ran {longest.longest}"
    return f" The migration's longest statement {took}, in revision {longest.revision}: {longest.short}"


def _fatal(migrations: Sequence[Json], executed: Sequence[Sequence[Span]]) -> Span | None:
    """The statement in which a migration failed: its last, if it ended in an error. An earlier error is one
    that the migration itself got over.
    """
    for migration, own in zip(migrations, executed, strict=True):
        last = max(reversed(own), key=lambda span: span.start, default=None)
        if migration.get("status") == "failed" and last is not None and last.error:
            return last
    return None


def _title(plan: Plan) -> str:
    service = "the reference service" if plan.host is None else clean(plan.as_json()["host"])
    if plan.placebo:
        return f"Placebo: no migration, {service} under load"
    back = f", then downgrade to {clean(plan.downgrade)}" if plan.downgrade else ""
    return f"Upgrade to {clean(plan.upgrade)}{back}, {service} under load"


def _word(status: str) -> str:
    return status.replace("_", " ")


# rows


def _gate(gate: Json) -> Gate:
    status = str(gate.get("status", "inconclusive"))
    status = status if status in _MARKS else "inconclusive"
    observed, limit = pair(gate.get("observed"), gate.get("limit"), gate.get("unit"))
    return Gate(
        mark=_MARKS[status],
        status=status,
        word=_word(status),
        name=clean(gate.get("name", "")),
        expression=clean(gate.get("expression", "")),
        observed=observed,
        limit=limit,
        samples=count(gate.get("samples")),
        why=clean(gate.get("why") or ""),
    )


def _figures(phases: Iterable[Json]) -> Iterator[Figure]:
    """Baseline beside migration, for the four numbers that people ask for."""
    by_name = {phase.get("name"): phase for phase in phases}
    before, during = by_name.get("baseline"), by_name.get("migrate")
    if before is None or during is None:
        return
    for label, key, words in (
        ("p95 latency", "p95", seconds),
        ("Longest stall", "stall_s", seconds),
        ("Errors", "error_ratio", share),
        ("Throughput", "throughput", rate),
    ):
        yield Figure(label, words(before.get(key)), words(during.get(key)))


def _end(migration: Json, timeline: Timeline) -> float:
    begin, process = migration.get("begin_at"), migration.get("process_s")
    return timeline.end_at if begin is None or process is None else float(begin + process)


def _migration(migration: Json, executed: Sequence[Span]) -> Migration:
    return Migration(
        title="Rollback" if migration.get("direction") == "downgrade" else "Migration",
        facts=tuple(migration_facts(migration)),
        revisions=tuple(clean(run.get("revision")) for run in migration.get("revisions") or ()),
        statements=grouped(executed),
    )


def _blame(blame: Json, migrations: Sequence[Json]) -> Blame:
    sessions, endpoints = blame.get("blocked_sessions"), blame.get("endpoints") or ()
    where = f" ({', '.join(clean(e) for e in endpoints)})" if endpoints else ""
    return Blame(
        statement=_statement_named(blame.get("statement"), migrations),
        sentence=(
            f"{clean(blame.get('mode') or 'A lock')} on {clean(blame.get('relation') or 'a relation')}:"
            f" {plural(sessions, 'session')} waited {seconds(blame.get('blocked_session_seconds'))} in all,"
            f" the longest {seconds(blame.get('longest_wait_s'))};"
            f" {plural(blame.get('requests_affected'), 'request')} affected{where}."
        ),
        advice=clean(blame.get("advice") or ""),
    )


def _statement_named(statement: object, migrations: Sequence[Json]) -> str:
    """A blamed statement is its number; anything else is already a text."""
    for known in (s for m in migrations for s in m.get("statements") or ()):
        if known.get("n") == statement:
            sql = shorten(clean(known.get("sql") or ""), SHORT_SQL)
            return f"statement {statement} of revision {clean(known.get('revision'))}: {sql}"
    return shorten(clean(statement), SHORT_SQL)


def _measure(row: Json, name: str | None = None, phase: str | None = None) -> Measure:
    start, end = row.get("start_at"), row.get("end_at")
    return Measure(
        name=clean(name if name is not None else row.get("name", "")),
        phase=clean(phase or row.get("phase") or ""),
        start=seconds(start),
        duration=seconds(None if start is None or end is None else end - start),
        requests=count(row.get("requests")),
        rate=rate(row.get("rate")),
        throughput=rate(row.get("throughput")),
        errors=share(row.get("error_ratio")),
        p50=seconds(row.get("p50")),
        p95=seconds(row.get("p95")),
        p99=seconds(row.get("p99")),
        max=seconds(row.get("max")),
        stall=seconds(row.get("stall_s")),
    )


def _endpoints(endpoints: Iterable[Json]) -> Iterator[Measure]:
    """Rows by endpoint, its phases beneath one another; both in the verdict's order."""
    order: dict[str, list[Json]] = {}
    for row in endpoints:
        order.setdefault(str(row.get("name", "")), []).append(row)
    for rows in order.values():
        yield from (_measure(row) for row in rows)
