"""The comparison as it is printed: conditions first, then rows, then the decision."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from harness.core.compare import Comparison, Row, Threshold
from harness.core.conditions import Condition
from harness.report.comparison import render_markdown, render_terminal

SLOWER = Row("migrate", None, "p95", "s", 0.02, 0.05, 1.5, 1.2, 1.8, "slower", regression=True)
SAME = Row("migrate", "GET /x", "p95", "s", 0.02, 0.021, 0.05, -0.1, 0.2, "no clear difference")
FEW = Row("recover", None, "p95", "s", None, None, None, None, None, "too few samples", why="new: needs 200")
ERRORS = Row("migrate", None, "error_ratio", "ratio", 0.0, 0.0, 0.0, 0.0, 0.0, "no clear difference")


def a_comparison(
    *rows: Row,
    conditions: tuple[Condition, ...] = (),
    doubts: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Comparison:
    threshold = Threshold.parse("10% + 5ms")
    return Comparison("run-1", "run-2", threshold, conditions, doubts, notes, rows)


def terminal(comparison: Comparison, everything: bool = False) -> str:
    printed = StringIO()
    render_terminal(comparison, Console(file=printed, width=110), everything)
    return printed.getvalue()


def test_what_was_not_the_same_is_said_before_any_number() -> None:
    users = Condition("users", "30", "60", load=True)
    shown = terminal(a_comparison(SLOWER, conditions=(users,)))
    said = shown.index("Not the same: users: 30 then, 60 now (another load: latencies do not compare)")
    assert said < shown.index("50 ms")


def test_a_regression_is_marked_with_its_interval() -> None:
    line = next(line for line in terminal(a_comparison(SLOWER)).splitlines() if line.startswith("all"))
    assert line.split() == [
        "all",
        "p95",
        "20",
        "ms",
        "50",
        "ms",
        "+150",
        "%",
        "+120",
        "…",
        "+180",
        "%",
        "slower",
        "✗",
    ]


def test_endpoints_that_did_not_change_are_counted_or_shown() -> None:
    found = a_comparison(SLOWER, SAME)
    assert "GET /x" not in terminal(found)
    assert "1 row of single endpoints without a clear difference" in terminal(found)
    assert "GET /x" in terminal(found, everything=True)
    assert "--all" not in terminal(found, everything=True)


@pytest.mark.parametrize(
    ("comparison", "decision"),
    [
        (a_comparison(SLOWER), "✗ 1 regression: clear of chance, and more than 10% + 5ms slower."),
        (a_comparison(ERRORS), "✓ No regression of more than 10% + 5ms that is clear of chance."),
        (a_comparison(FEW), "? Nothing is decided: too few samples."),
        (
            a_comparison(SLOWER, doubts=("The new run is no evidence: …",)),
            "? Nothing is decided: one of the runs is no evidence.",
        ),
    ],
)
def test_the_decision_is_the_last_line_and_the_markdowns_title(comparison: Comparison, decision: str) -> None:
    assert terminal(comparison).splitlines()[-1] == decision
    assert render_markdown(comparison).splitlines()[0] == f"## {decision}"


def test_what_could_not_be_decided_says_why() -> None:
    assert "Not decided: p95 of phase recover: new: needs 200." in terminal(a_comparison(FEW))


def test_a_change_before_the_migration_is_said_first() -> None:
    moved = Row("baseline", None, "p50", "s", 0.01, 0.02, 1.0, 0.8, 1.2, "slower")
    assert "Already in the baseline, where nothing migrates, p50 is slower (+100 %)" in terminal(
        a_comparison(moved)
    )


def test_markdown_is_one_table_of_nine_columns_whatever_an_endpoint_is_called() -> None:
    hostile = Row("migrate", "GET /a|b`<script>", "p95", "s", 0.02, 0.05, 1.5, 1.2, 1.8, "slower")
    lines = [line for line in render_markdown(a_comparison(hostile)).splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in lines] == [9, 9, 9]
    assert "<script>" not in lines[-1]


def test_what_has_no_size_is_a_dash() -> None:
    endless = Row("migrate", None, "throughput", "/s", 0.0, 80.0, float("inf"), None, None, "faster")
    line = next(line for line in terminal(a_comparison(endless)).splitlines() if line.startswith("all"))
    assert line.split() == ["all", "throughput", "0/s", "80/s", "–", "–", "faster"]
