"""Analysis: from a closed run directory to its verdict and reports. The run itself ends by this.

Nothing is judged from memory, so `harness analyze` on the same directory writes the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.core.facts import timeline_of
from harness.core.judge import judge
from harness.core.series import per_second
from harness.core.verdict import Verdict
from harness.db.parsing import parse
from harness.report import html, junit, markdown
from harness.report.view import View, build
from harness.store import RunDirectory, dump_json, read_record

__all__ = ["analyze", "judged"]


def judged(path: Path, gates: tuple[str, ...] = (), no_gates: tuple[str, ...] = ()) -> tuple[Verdict, View]:
    """Read a run directory and judge it, by `gates` and without `no_gates` besides what its plan says."""
    record = read_record(path)
    if gates or no_gates:
        plan = replace(
            record.plan,
            gates=(*record.plan.gates, *gates),
            no_gates=(*record.plan.no_gates, *no_gates),
        )
        record = replace(record, plan=plan)
    verdict = judge(record, parse)
    timeline = timeline_of(record).of_the_load
    view = build(verdict.as_json(), per_second(record, timeline), timeline, record.plan, record.environment)
    return verdict, view


def analyze(
    path: Path, out: Path | None = None, gates: tuple[str, ...] = (), no_gates: tuple[str, ...] = ()
) -> tuple[Verdict, View]:
    """Judge a run directory and write verdict.json, report.html, junit.xml and summary.md into `out`.

    `out` is the run directory itself unless given.
    """
    verdict, view = judged(path, gates, no_gates)
    out = out or path
    out.mkdir(parents=True, exist_ok=True)
    files = RunDirectory(out)
    files.write_text("verdict.json", dump_json(verdict.as_json()))
    files.write_text("report.html", html.render(view))
    files.write_text("junit.xml", junit.render(view))
    files.write_text("summary.md", markdown.render(view))
    return verdict, view
