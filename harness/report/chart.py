"""The timeline's content: panels of lines over lanes of phases and statements, all on one time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.series import Series
from harness.core.timeline import Timeline, Window
from harness.report.statements import EFFECTS, Span
from harness.report.words import clean, count, seconds, shorten

__all__ = ["Bar", "Chart", "Line", "Panel", "chart_of"]

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Line:
    """One line of a panel; `style` is what the page colours it by."""

    name: str
    style: str
    values: Values


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis; the first panel's values are seconds, the others' per second."""

    title: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Bar:
    """A stretch of a lane, `start` and `end` in seconds since the start of the run."""

    row: str
    label: str
    start: float
    end: float
    style: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """The whole timeline; `t` are the instants of every line's values."""

    t: tuple[float, ...]
    panels: tuple[Panel, ...]
    phases: tuple[Bar, ...]
    statements: tuple[Bar, ...]
    impact: tuple[Bar, ...]
    end: float


def chart_of(series: Series, timeline: Timeline, executed: Sequence[Span]) -> Chart:
    """Lay out the series and what happened meanwhile."""
    return Chart(
        t=tuple(round(float(t), 3) for t in series.t),
        panels=(
            Panel(
                "Latency",
                "",
                (
                    Line("max", "max", _rounded(series.max)),
                    Line("p99", "p99", _rounded(series.p99)),
                    Line("p95", "p95", _rounded(series.p95)),
                    Line("p50", "p50", _rounded(series.p50)),
                ),
            ),
            Panel(
                "Requests",
                "per second",
                (
                    Line("rate (sent)", "rate", _rounded(series.rate)),
                    Line("throughput (answered ok)", "throughput", _rounded(series.throughput)),
                ),
            ),
            Panel("Errors", "per second", (Line("errors", "errors", _rounded(series.errors)),)),
        ),
        phases=tuple(_phase(window, number) for number, window in enumerate(timeline.phases)),
        statements=tuple(_bar(span) for span in executed),
        impact=tuple(_impact(timeline)),
        end=round(timeline.end_at, 3),
    )


def _rounded(values: Sequence[float | None]) -> Values:
    return tuple(None if v is None else float(f"{v:.4g}") for v in values)


def _phase(window: Window, number: int) -> Bar:
    name = clean(window.name)
    words = f"{seconds(window.start)} to {seconds(window.end)}, {seconds(window.duration)}"
    return Bar("phase", name, round(window.start, 3), round(window.end, 3), f"phase{number % 2}", (words,))


def _bar(span: Span) -> Bar:
    took = "no end seen" if span.duration is None else f"for {seconds(span.duration)}"
    facts = [f"at {seconds(span.start)}, {took}"]
    if span.rows is not None:
        facts.append(f"{count(span.rows)} rows")
    if span.error:
        facts.append(shorten(span.error, 70))
    return Bar(
        row=span.revision,
        label=shorten(span.revision, 40),
        start=round(span.start, 4),
        end=round(span.end, 4),
        style=span.effect,
        details=(
            *textwrap.wrap(shorten(span.sql, 180), 74),
            ", ".join(facts),
            *(span.locks[:4] or (EFFECTS["unknown"],)),
            *((span.blocked,) if span.blocked else ()),
        ),
    )


def _impact(timeline: Timeline) -> list[Bar]:
    windows = [timeline.window(episode.phase) for episode in timeline.episodes]
    return [
        Bar("impact", "impact window", round(w.start, 3), round(w.end, 3), "impact") for w in windows if w
    ]
