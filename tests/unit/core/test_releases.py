"""Two releases on two schemas: which order of deploying works."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.drill_grades import drill_results
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.releases import graded
from harness.core.samples import Outcome
from tests.fix_record import a_plan, a_record, events
from tests.fix_samples import joined, steady, without

WORKS = {"log in": 200, "list": 200}
BREAKS = {"log in": 200, "list": 500}
ALL = {"n on old": WORKS, "n on new": WORKS, "n+1 on old": WORKS, "n+1 on new": WORKS}


@pytest.mark.parametrize(
    ("broken", "grade"),
    [
        ((), "A"),
        (("n+1 on old",), "B"),
        (("n on new",), "C"),
        (("n on new", "n+1 on old"), "D"),
        (("n on old",), None),
        (("n+1 on new",), None),
    ],
)
def test_what_breaks_where_gives_the_grade(broken: tuple[str, ...], grade: str | None) -> None:
    cells = {**ALL, **dict.fromkeys(broken, BREAKS)}
    assert graded(cells, 0.0, 0.0)[0] == grade


def test_traffic_that_fails_after_the_migration_is_the_old_releases() -> None:
    grade, why = graded(ALL, 0.0, 0.05)
    assert (grade, "5.0% of the traffic failed" in why) == ("C", True)
    assert graded(ALL, 0.05, 0.05)[0] == "A"


def test_a_cell_that_was_not_asked_decides_nothing() -> None:
    assert graded({**ALL, "n+1 on old": {}}, 0.0, 0.0)[0] is None
    assert graded(ALL, None, 0.0)[0] is None


def _result(end: dict[str, Any], errors_after: bool = False) -> Any:
    plan = a_plan(drills=("old-code-new-schema",))
    told = [
        Event(25.5, Kind.DRILL_BEGIN, {"drill": 1, "name": "old-code-new-schema"}),
        Event(51.0, Kind.DRILL_END, {"drill": 1, "name": "", "done": True, "cells": ALL}),
    ]
    table = steady()
    if errors_after:
        table = joined(without(table, 40.0, 45.0), steady(40.0, 45.0, outcome=Outcome.ERROR))
    [result] = drill_results(facts_of(a_record(plan, table, events=events(plan, end=end, more=told))))
    return result


def test_the_record_gives_the_cells_and_the_traffic() -> None:
    result = _result({})
    assert result.grade == "A"
    assert result.evidence == {**dict.fromkeys(ALL, "works"), **TRAFFIC}
    assert _result({}, errors_after=True).grade == "C"


TRAFFIC = {"traffic_errors_baseline": 0.0, "traffic_errors_recover": 0.0}


def test_without_a_new_schema_there_is_nothing_to_judge() -> None:
    assert _result({"status": "failed"}).grade is None
