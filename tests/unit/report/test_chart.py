"""The timeline's content."""

from __future__ import annotations

from dataclasses import replace

from harness.report.chart import Lane, chart_of, lateness
from tests.unit.report import sample


def test_panels_carry_the_series_and_gaps_stay_gaps() -> None:
    chart = sample.red().chart
    latency, requests, errors, blocked, wal = chart.panels
    assert [line.name for line in latency.lines] == ["max", "p99", "p95", "p50"]
    assert [line.style for line in (*requests.lines, *errors.lines)] == ["rate", "throughput", "errors"]
    assert all(len(line.values) == len(chart.t) for panel in chart.panels for line in panel.lines)
    assert latency.lines[2].values[0] is None
    assert latency.lines[2].values[32] == 7.2
    assert blocked.lines[0].values[33] == 6.0
    assert (wal.unit, wal.suffix, wal.lines[0].values[30]) == ("MB per second", " MB/s", 15.74)


def test_what_nobody_watched_has_no_panel() -> None:
    assert [panel.title for panel in sample.green().chart.panels] == ["Latency", "Requests", "Errors"]
    unknown = replace(sample.green_series(), blocked=(None,) * 62, wal=(None,) * 62)
    chart = chart_of(unknown, sample.green_timeline(), (), Lane())
    assert len(chart.panels) == 3


def test_nobody_waiting_is_a_panel_at_zero() -> None:
    quiet = replace(sample.green_series(), blocked=(0.0,) * 62, wal=(0.0,) * 62)
    chart = chart_of(quiet, sample.green_timeline(), (), Lane())
    assert [panel.title for panel in chart.panels][3:] == ["Blocked sessions", "WAL"]
    assert chart.panels[4].unit == "B per second"


def test_a_replicas_lag_is_a_panel_in_seconds() -> None:
    behind = replace(sample.green_series(), lag=(*(0.0,) * 40, 6.25, *(None,) * 21))
    panel = chart_of(behind, sample.green_timeline(), (), Lane()).panels[-1]
    assert (panel.title, panel.suffix, panel.lines[0].values[39:42]) == (
        "Replica lag",
        "s",
        (0.0, 6.25, None),
    )


def test_lanes_carry_phases_statements_and_the_impact_window() -> None:
    chart = sample.red().chart
    assert [bar.label for bar in chart.phases][1:4] == ["baseline", "launch", "migrate"]
    assert [(bar.start, bar.end) for bar in chart.impact] == [(30.4, 41.63)]
    first = chart.statements[0]
    assert (first.row, first.start, first.end, first.style) == ("c41f0a7be2d9", 30.4, 33.52, "all")
    assert first.details[0].startswith("ALTER TABLE documents ADD COLUMN")
    assert "AccessExclusiveLock on documents, held 9.22 s" in first.details


def test_a_line_and_a_name_stand_where_each_of_several_begins() -> None:
    chart = sample.several().chart
    assert [(bar.label, bar.start, bar.end) for bar in chart.migrations] == [
        ("shop", 27.0, 28.1),
        ("billing", 30.0, 31.1),
    ]
    assert [bar.row for bar in chart.statements] == ["shop: 0002", "billing: 0002"]
    assert [(bar.start, bar.end) for bar in chart.impact] == [(27.0, 37.0)]
    assert sample.red().chart.migrations == ()


def test_a_wait_names_the_migration_that_made_it() -> None:
    (bar,) = sample.several().chart.waits.bars
    assert bar.label.endswith("statement 1 in billing")


def test_stretches_in_which_the_generator_was_late_are_shaded_touching_ones_as_one() -> None:
    told = [(1.0, 3.0, 0.07), (2.0, 2.5, 0.2), (3.0, 4.0, 0.1), (8.0, 9.0, 0.06)]
    bars = list(lateness({"start_at": start, "end_at": end, "late_s": by} for start, end, by in told))
    assert [(bar.start, bar.end, bar.label) for bar in bars] == [
        (1.0, 4.0, "generator late by 200 ms"),
        (8.0, 9.0, "generator late by 60 ms"),
    ]
