"""The timeline's content: panels of lines over lanes of bars, all on one time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.series import Series
from harness.core.timeline import Timeline, Window
from harness.report.statements import EFFECTS, Span
from harness.report.words import byte_unit, clean, count, seconds, shorten, size

__all__ = ["Bar", "Chart", "Lane", "Line", "Panel", "boundaries", "chart_of", "lateness"]

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One line of a panel; `style` is what the page colours it by."""

    name: str
    style: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis; `unit` stands beside the title, `suffix` after a value, `weight` is the
    panel's share of the height."""

    title: str
    unit: str
    suffix: str
    weight: int
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
class Lane:
    """The bars, the rows they take, and how many found no place."""

    bars: tuple[Bar, ...] = ()
    rows: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Chart:
    """The whole timeline; `t` are the instants of every line's values.

    The first panel's values are latencies in seconds.
    """

    t: tuple[float, ...]
    panels: tuple[Panel, ...]
    phases: tuple[Bar, ...]
    statements: tuple[Bar, ...]
    waits: Lane
    impact: tuple[Bar, ...]
    end: float
    migrations: tuple[Bar, ...] = ()  # of several, where each begins and ends
    late: tuple[Bar, ...] = ()  # when the generator itself was late


def chart_of(
    series: Series,
    timeline: Timeline,
    executed: Sequence[Span],
    waits: Lane,
    migrations: tuple[Bar, ...] = (),
    late: tuple[Bar, ...] = (),
) -> Chart:
    """Lay out the series and what happened meanwhile."""
    return Chart(
        t=tuple(round(float(t), 3) for t in series.t),
        panels=tuple(_panels(series)),
        phases=tuple(_phase(window, number) for number, window in enumerate(timeline.phases)),
        statements=tuple(_bar(span) for span in executed),
        waits=waits,
        impact=tuple(_impact(timeline)),
        end=round(timeline.end_at, 3),
        migrations=migrations,
        late=late,
    )


def boundaries(migrations: Iterable[Mapping[str, Any]]) -> Iterator[Bar]:
    """Where each of several migrations begins, with its first statement, and where its process ends."""
    for migration in migrations:
        begin, process = migration.get("begin_at"), migration.get("process_s")
        if migration.get("name") and begin is not None:
            first = migration.get("first_statement_at")
            start = begin if first is None else first
            end = start if process is None else begin + process
            yield Bar("migration", clean(migration["name"]), round(start, 3), round(end, 3), "boundary")


def lateness(stretches: Iterable[Mapping[str, Any]]) -> Iterator[Bar]:
    """When the generator itself was late: the verdict's stretches, in their order; those of several workers
    that touch are one.
    """
    merged: list[tuple[float, float, float]] = []
    for one in stretches:
        start, end, late_s = one["start_at"], one["end_at"], one["late_s"]
        if merged and start <= merged[-1][1]:
            start, before_end, before_s = merged.pop()
            end, late_s = max(end, before_end), max(late_s, before_s)
        merged.append((start, end, late_s))
    for start, end, late_s in merged:
        yield Bar("late", f"generator late by {seconds(late_s)}", round(start, 3), round(end, 3), "late")


def _panels(series: Series) -> Iterator[Panel]:
    """What clients saw; then, where it was observed, who waited and what was written."""
    latency = [(name, name, getattr(series, name)) for name in ("max", "p99", "p95", "p50")]
    yield _panel("Latency", "", "s", 250, *latency)
    sent = ("rate (sent)", "rate", series.rate)
    yield _panel("Requests", "per second", "/s", 120, sent, _answered(series))
    yield _panel("Errors", "per second", "/s", 70, ("errors", "errors", series.errors))
    if _known(series.blocked):
        blocked = ("sessions waiting for a lock", "blocked", series.blocked)
        yield _panel("Blocked sessions", "", "", 80, blocked)
    if _known(series.wal):
        unit, divisor = byte_unit(max(value for value in series.wal if value is not None))
        scaled = [None if value is None else value / divisor for value in series.wal]
        yield _panel("WAL", f"{unit} per second", f" {unit}/s", 70, ("WAL", "wal", scaled))
    if _known(series.lag):
        yield _panel("Replica lag", "", "s", 70, ("longest lag of a replica", "lag", series.lag))


def _panel(title: str, unit: str, suffix: str, weight: int, *lines: tuple[str, str, Values]) -> Panel:
    drawn = tuple(Line(name, style, _rounded(values)) for name, style, values in lines)
    return Panel(title, unit, suffix, weight, drawn)


def _answered(series: Series) -> tuple[str, str, Values]:
    return "throughput (answered ok)", "throughput", series.throughput


def _known(values: Values) -> bool:
    return any(value is not None for value in values)


def _rounded(values: Values) -> tuple[float | None, ...]:
    return tuple(None if v is None else float(f"{v:.4g}") for v in values)


def _phase(window: Window, number: int) -> Bar:
    name = clean(window.name)
    words = f"{seconds(window.start)} to {seconds(window.end)}, {seconds(window.duration)}"
    return Bar("phase", name, round(window.start, 3), round(window.end, 3), f"phase{number % 2}", (words,))


def _bar(span: Span) -> Bar:
    return Bar(
        row=span.place,
        label=shorten(span.place, 80),
        start=round(span.start, 4),
        end=round(span.end, 4),
        style=span.effect,
        details=(
            *textwrap.wrap(shorten(span.sql, 180), 74),
            ", ".join(_measured(span)),
            *(span.locks[:4] or (EFFECTS["unknown"] if span.effect == "unknown" else "takes no new lock",)),
            *(f"blocks {shorten(block, 68)}" for block in span.blocks[:2]),
            *((span.blocked.words,) if span.blocked.sessions else ()),
        ),
    )


def _measured(span: Span) -> Iterator[str]:
    took = "no end seen" if span.duration is None else f"for {seconds(span.duration)}"
    yield f"at {seconds(span.start)}"
    yield took
    if span.rows is not None:
        yield f"{count(span.rows)} rows"
    if span.wal_bytes:
        yield f"{size(span.wal_bytes)} of WAL"
    yield from (shorten(work, 60) for work in span.work[:2])
    if span.error:
        yield shorten(span.error, 70)


def _impact(timeline: Timeline) -> list[Bar]:
    phases = dict.fromkeys(episode.phase for episode in timeline.episodes)
    windows = [timeline.window(phase) for phase in phases]
    return [
        Bar("impact", "impact window", round(w.start, 3), round(w.end, 3), "impact") for w in windows if w
    ]
