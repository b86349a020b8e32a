"""Drills in words, in every report."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from harness.report import html, junit, markdown, terminal
from harness.report.drills import drills_of
from harness.report.view import View
from tests.unit.report import sample

CELLS = [
    {
        "place": "before statement 1",
        "revision": "k1",
        "sql": "CREATE TABLE notes (id int)",
        "represents": 1,
        "left": [],
        "after": "at k3",
        "grade": "A",
    },
    {
        "place": "during statement 9",
        "revision": "k2",
        "sql": "UPDATE notes SET body = $1",
        "represents": 38,
        "left": ["1 statement of k2 stayed committed, though it is not applied"],
        "after": "at k2: the re-run ended with exit code 1",
        "grade": "D",
    },
]


def _drill(**changes: Any) -> dict[str, Any]:
    return {
        "name": "kill-migrator@each",
        "what": "SIGKILL of the migration's processes.",
        "at": 60.0,
        "end_at": None,
        "grade": "D",
        "why": "it was killed at 2 places",
        "evidence": {"statements": 3, "rehearsal_s": 2.5, "grades": {"A": 1, "D": 1}, "cells": CELLS},
        **changes,
    }


def _view(*drills: dict[str, Any]) -> View:
    return sample.view_of({**sample.green_verdict(), "drills": list(drills)})


def _printed(view: View) -> str:
    output = io.StringIO()
    terminal.render(view, Console(file=output, width=110, no_color=True))
    return output.getvalue()


def test_a_drill_says_how_it_came_back_and_after_how_long() -> None:
    [back] = drills_of(
        [_drill(grade="B", end_at=64.5, evidence={"gone_s": 0.25, "left": [], "answered": True})]
    )
    assert (back.status, back.took) == ("pass", "4.5 s")
    assert back.sentence == "grade B, back after 4.5 s: it was killed at 2 places"
    assert [(fact.title, fact.text) for fact in back.evidence] == [
        ("gone", "250 ms"),
        ("left", "nothing"),
        ("answered", "yes"),
    ]


def test_one_without_a_grade_is_not_green() -> None:
    [drill] = drills_of([_drill(grade=None, at=None, evidence={})])
    assert (drill.status, drill.grade, drill.at) == ("inconclusive", "–", "–")
    assert drill.sentence.startswith("not graded: ")


def test_a_place_that_stands_for_others_says_so() -> None:
    [drill] = drills_of([_drill()])
    assert drill.cells[1].place == "during statement 9, for 38 alike"


def test_the_terminal_prints_the_matrix_and_a_line_for_each_drill() -> None:
    shown = _printed(_view(_drill(), _drill(name="race-migrators=3", grade="A", evidence={})))
    assert "before statement 1" in shown
    assert "stayed" in shown  # a cell may fold
    assert "✘ kill-migrator@each: grade D" in shown
    assert "✔ race-migrators=3: grade A" in shown
    assert "harness explain drills" in shown


def test_a_run_without_drills_says_nothing_of_them() -> None:
    assert "rill" not in _printed(sample.green()).replace("drills", "")
    assert "Drills" not in html.render(sample.green())


def test_the_page_has_a_section_with_the_evidence_and_the_matrix() -> None:
    page = html.render(_view(_drill()))
    assert '<h2 id="drills">Drills</h2>' in page
    assert "Evidence of kill-migrator@each" in page
    assert "UPDATE notes SET body = $1" in page


def test_junit_has_a_case_for_each_drill() -> None:
    text = junit.render(_view(_drill(), _drill(name="race-migrators=3", grade=None)))
    assert 'name="drill: kill-migrator@each"' in text
    assert "<failure" in text.split('name="drill: kill-migrator@each"')[1].split("</testcase>")[0]
    assert "<error" in text.split('name="drill: race-migrators=3"')[1].split("</testcase>")[0]


def test_the_job_summary_has_each_drill_and_the_matrix() -> None:
    text = markdown.render(_view(_drill()))
    assert "### Drills" in text
    assert "during statement 9" in text


def test_foreign_text_stays_text() -> None:
    hostile = _drill(why="<script>alert(1)</script>\x1b[31m", evidence={"sql": "<img src=x>", "cells": []})
    page = html.render(_view(hostile))
    assert "<script>alert(1)" not in page
    assert "<img src=x>" not in page
    assert "\x1b" not in _printed(_view(hostile))
