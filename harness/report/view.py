"""The view: everything a report says, in words, laid out once for the terminal, HTML, JUnit and Markdown.

It decides nothing: statuses, causes and numbers come from the verdict; here they get words and units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.plan import Plan
from harness.core.series import Series
from harness.core.timeline import Timeline
from harness.report.advice import Advice, advised
from harness.report.blame import Blame, blamed
from harness.report.chart import Chart, boundaries, chart_of, lateness
from harness.report.drills import Drill, drills_of
from harness.report.evidence import (
    Claim,
    ErrorClass,
    SchemaFinding,
    claims_of,
    errors_of,
    provenance_sentence,
    schema_findings,
)
from harness.report.facts import Fact, findings, kind_of, migration_facts, run_facts, settings
from harness.report.gates import Gate, gates_of
from harness.report.headline import Headline, counts_alone, culprit, fatal, headline_of, named_by, title_of
from harness.report.isolation import Tried, tried
from harness.report.measures import Figure, Measure, endpoints_of, figures_of, phases_of
from harness.report.statements import Span, Statement, grouped, spans
from harness.report.wait_lane import wait_lane
from harness.report.words import clean

__all__ = ["Migration", "View", "build"]

Json = Mapping[str, Any]

_FIGURES = "During the migration (its impact window), against the baseline:"
_FIGURES_OF_A_PLACEBO = "In the window that a migration would be judged by, against the baseline:"


@dataclass(frozen=True)
class Migration:
    """An upgrade or a rollback."""

    title: str
    facts: tuple[Fact, ...]
    revisions: tuple[str, ...]
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class View:
    """What every report renders. `culprit` is the one of `blame` that a red gate names as its cause."""

    run_id: str
    title: str
    headline: Headline
    figures_title: str
    figures: tuple[Figure, ...]
    gates: tuple[Gate, ...]
    drills: tuple[Drill, ...]
    migrations: tuple[Migration, ...]
    provenance: str
    blame: tuple[Blame, ...]
    culprit: Blame | None
    advice: tuple[Advice, ...]
    schema: tuple[SchemaFinding, ...]
    errors: tuple[ErrorClass, ...]
    claims: tuple[Claim, ...]
    isolation: tuple[Tried, ...]
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

    def advice_of(self, severity: str) -> tuple[Advice, ...]:
        """Those of severity finding, note or ignored."""
        return tuple(advice for advice in self.advice if advice.severity == severity)


def build(
    verdict: Json, series: Series, timeline: Timeline, plan: Plan, environment: Mapping[str, Any]
) -> View:
    """The view of a finished run: `verdict` as in `verdict.json`, `environment` as in `environment.json`."""
    told = verdict.get("migrations") or [verdict[k] for k in ("migration", "rollback") if verdict.get(k)]
    executed = [spans(m.get("statements") or (), _end(m, timeline), clean(m.get("name") or "")) for m in told]
    migrations = tuple(_migration(m, own) for m, own in zip(told, executed, strict=True))
    gates = gates_of(verdict.get("gates") or ())
    advice = advised(verdict.get("advice") or (), told)
    blame = blamed(verdict.get("blame") or (), told, advice)
    named = named_by(gates, blame)
    slow = [] if counts_alone(verdict) else [s for m in migrations for s in m.statements]
    phases = tuple(verdict.get("phases") or ())
    waits = wait_lane(verdict.get("waits_timeline") or ())
    return View(
        run_id=clean(verdict.get("run_id") or ""),
        title=title_of(plan),
        headline=headline_of(verdict, gates, culprit(named, fatal(told, executed), slow)),
        figures_title=_FIGURES_OF_A_PLACEBO if plan.placebo else _FIGURES,
        figures=tuple(figures_of(phases)),
        gates=gates,
        drills=drills_of(verdict.get("drills") or ()),
        migrations=migrations,
        provenance=provenance_sentence((verdict.get("waits") or {}).get("observed")),
        blame=blame,
        culprit=named,
        advice=advice,
        schema=schema_findings(verdict.get("catalog")),
        errors=errors_of(verdict.get("errors") or (), told),
        claims=claims_of(verdict.get("claims") or (), told),
        isolation=tuple(tried(verdict.get("isolation") or {})),
        findings=tuple(findings(verdict)),
        phases=phases_of(phases),
        endpoints=tuple(endpoints_of(verdict.get("endpoints") or ())),
        facts=tuple(run_facts(verdict)),
        plan=tuple(settings(plan.as_json())),
        environment=tuple(settings(environment or verdict.get("environment") or {})),
        limits=tuple(clean(limit) for limit in verdict.get("limits") or ()),
        chart=chart_of(
            series,
            timeline,
            [span for own in executed for span in own],
            waits,
            tuple(boundaries(told)),
            tuple(lateness((verdict.get("load") or {}).get("late") or ())),
        ),
    )


def _end(migration: Json, timeline: Timeline) -> float:
    begin, process = migration.get("begin_at"), migration.get("process_s")
    return timeline.end_at if begin is None or process is None else float(begin + process)


def _migration(migration: Json, executed: Sequence[Span]) -> Migration:
    return Migration(
        title=kind_of(migration) + (f" of {clean(migration['name'])}" if migration.get("name") else ""),
        facts=tuple(migration_facts(migration)),
        revisions=tuple(clean(run.get("revision")) for run in migration.get("revisions") or ()),
        statements=grouped(executed),
    )
