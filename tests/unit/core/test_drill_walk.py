"""The walk over every statement: a grade for each place, and the worst for the drill."""

from __future__ import annotations

from typing import Any

from harness.core.drill_events import Told
from harness.core.drill_walk import grade_walk
from harness.core.drills import DrillResult, parse
from harness.core.events import Event, Kind

CELL: dict[str, Any] = {
    "drill": 1,
    "place": "before statement 1",
    "revision": "r1",
    "sql": "ALTER TABLE t ADD a int",
    "represents": 1,
    "done": True,
    "why": "",
    "answered": False,
    "sent_later": 0,
    "gone_s": 0.01,
    "revisions": [],
    "left": [],
    "rerun_code": 0,
    "rerun_s": 1.0,
    "revisions_after": ["r1"],
    "remedy": [],
    "wrong": [],
}


def _walked(*cells: dict[str, Any], places: int | None = None) -> DrillResult:
    plan = {"statements": 2, "places": len(cells) if places is None else places, "represented": 0}
    return grade_walk(
        Told(
            1,
            parse("kill-migrator@each"),
            Event(60.0, Kind.DRILL_BEGIN, {**plan, "rehearsal_s": 3.0}),
            Event(90.0, Kind.DRILL_END, {"done": True, "why": ""}),
            tuple(Event(70.0, Kind.DRILL_CELL, {**CELL, **cell}) for cell in cells),
        )
    )


def test_the_worst_place_is_the_grade() -> None:
    result = _walked({}, {"left": ["index i is there, INVALID"], "remedy": ["DROP INDEX i"]}, {})
    assert (result.grade, result.evidence["grades"]) == ("C", {"A": 2, "C": 1})
    assert [cell["grade"] for cell in result.evidence["cells"]] == ["A", "C", "A"]
    assert (result.at, result.end_at) == (60.0, 90.0)


def test_a_re_run_that_does_not_complete_it_is_d_and_named() -> None:
    bad = {"place": "during statement 2", "wrong": ["it is at base, not at r1"], "revisions_after": []}
    result = _walked({}, bad)
    assert result.grade == "D"
    assert result.why.startswith("during statement 2 of r1: nothing was left; the re-run did not complete it")
    assert result.evidence["cells"][1]["after"] == "at base: it is at base, not at r1"


def test_a_place_that_was_not_walked_leaves_it_without_a_grade() -> None:
    assert _walked({}, places=2).grade is None
    assert "of 2 places" in _walked({}, places=2).why


def test_a_place_where_it_was_not_killed_has_no_grade() -> None:
    result = _walked({}, {"done": False, "why": "the migration ended with exit code 0"})
    assert result.grade is None
    assert "the migration ended with exit code 0" in result.why


def test_a_statement_that_was_sent_after_the_kill_proves_nothing() -> None:
    assert _walked({"sent_later": 1}).grade is None


def test_a_d_is_d_though_other_places_have_no_grade() -> None:
    assert _walked({"wrong": ["x"]}, {"done": False}).grade == "D"


def test_statements_that_were_represented_are_counted() -> None:
    told = Event(60.0, Kind.DRILL_BEGIN, {"statements": 40, "places": 1, "represented": 37})
    result = grade_walk(
        Told(
            1,
            parse("kill-migrator@each"),
            told,
            Event(90.0, Kind.DRILL_END, {"done": True}),
            (Event(70.0, Kind.DRILL_CELL, CELL),),
        )
    )
    assert "37 statements like others were not walked" in result.why
