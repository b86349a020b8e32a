"""The timeline's content."""

from __future__ import annotations

from tests.unit.report import sample


def test_panels_carry_the_series_and_gaps_stay_gaps() -> None:
    chart = sample.red().chart
    latency, requests, errors = chart.panels
    assert [line.name for line in latency.lines] == ["max", "p99", "p95", "p50"]
    assert [line.style for line in (*requests.lines, *errors.lines)] == ["rate", "throughput", "errors"]
    assert all(len(line.values) == len(chart.t) for panel in chart.panels for line in panel.lines)
    assert latency.lines[2].values[0] is None
    assert latency.lines[2].values[32] == 7.2


def test_lanes_carry_phases_statements_and_the_impact_window() -> None:
    chart = sample.red().chart
    assert [bar.label for bar in chart.phases][1:4] == ["baseline", "launch", "migrate"]
    assert [(bar.start, bar.end) for bar in chart.impact] == [(30.4, 41.63)]
    first = chart.statements[0]
    assert (first.row, first.start, first.end, first.style) == ("c41f0a7be2d9", 30.4, 33.52, "all")
    assert first.details[0].startswith("ALTER TABLE documents ADD COLUMN")
    assert "AccessExclusiveLock on documents, held 9.22 s" in first.details
