"""Analysis: from a closed run directory to its verdict and reports. The run itself ends by this.

Nothing is judged from memory, so `harness analyze` on the same directory writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.core.client import inside
from harness.core.details import JUDGED_PHASES
from harness.core.distribution import distribution
from harness.core.facts import timeline_of
from harness.core.judge import judge
from harness.core.record import Record
from harness.core.samples import Outcome
from harness.core.series import per_second
from harness.core.verdict import Verdict
from harness.db.parsing import parse
from harness.report import hgrm, html, junit, markdown
from harness.report.view import View, build
from harness.store import PERCENTILES, RunDirectory, dump_json
from harness.stored_record import read_record

__all__ = ["analyze", "judged"]


def judged(path: Path, gates: tuple[str, ...] = (), no_gates: tuple[str, ...] = ()) -> tuple[Verdict, View]:
    """Read a run directory and judge it, by `gates` and without `no_gates` besides what its plan says."""
    return _judged(_read(path, gates, no_gates))


def _read(path: Path, gates: tuple[str, ...], no_gates: tuple[str, ...]) -> Record:
    record = read_record(path)
    if not gates and not no_gates:
        return record
    plan = replace(
        record.plan,
        gates=(*record.plan.gates, *gates),
        no_gates=(*record.plan.no_gates, *no_gates),
    )
    return replace(record, plan=plan)


def _judged(record: Record) -> tuple[Verdict, View]:
    verdict = judge(record, parse)
    timeline = timeline_of(record).of_the_load
    view = build(verdict.as_json(), per_second(record, timeline), timeline, record.plan, record.environment)
    return verdict, view


def analyze(
    path: Path, out: Path | None = None, gates: tuple[str, ...] = (), no_gates: tuple[str, ...] = ()
) -> tuple[Verdict, View]:
    """Judge a run directory and write verdict.json, report.html, junit.xml, summary.md and the percentiles of
    each judged phase into `out`, which is the run directory itself unless given.
    """
    record = _read(path, gates, no_gates)
    verdict, view = _judged(record)
    out = out or path
    out.mkdir(parents=True, exist_ok=True)
    files = RunDirectory(out)
    files.write_text("verdict.json", dump_json(verdict.as_json()))
    files.write_text("report.html", html.render(view))
    files.write_text("junit.xml", junit.render(view))
    files.write_text("summary.md", markdown.render(view))
    for name, text in _percentiles(record):
        files.write_text(name, text)
    return verdict, view


def _percentiles(record: Record) -> Iterator[tuple[str, str]]:
    """A file of the latencies and one of the service times of each judged phase, of what was answered ok."""
    timeline = timeline_of(record)
    for window in filter(None, map(timeline.window, JUDGED_PHASES)):
        found = inside(record.samples, window)
        ok = found.where(found.outcome == Outcome.OK)
        for name, seconds in ((window.name, ok.latency), (f"{window.name}-service", ok.service)):
            shares = distribution(seconds)
            if shares is not None:
                yield f"{PERCENTILES}/{name}.hgrm", hgrm.render(shares)
