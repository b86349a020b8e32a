"""The report for a terminal or a CI log of 100 columns, with or without colour; and a run's live line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report.view import View
from harness.report.words import clean, count, plural, rate, seconds, shorten

__all__ = ["PROGRESS_WIDTH", "console", "progress_line", "render"]

PROGRESS_WIDTH = 110
"""Columns of the live line, at most."""

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "not_applicable": "dim"}
_FINDINGS = 5
"""Findings that are printed; the whole report has all."""

_SHORT = {"inconclusive": "unclear", "not_applicable": "n/a"}


def console() -> Console:
    """Standard output; as wide as a CI log where it is no terminal, for rich would take 80 columns there."""
    return Console() if sys.stdout.isatty() else Console(width=PROGRESS_WIDTH)


def render(view: View, console: Console, report: str = "") -> None:
    """Print the summary; `report` is where the whole report is, a path relative to the working folder."""
    _say(console, "")
    _say(
        console,
        f"{view.headline.mark} {view.headline.word}",
        _STYLES[view.headline.status],
        f"  {view.title}",
    )
    _say(console, view.headline.sentence)
    _say(console, "")
    console.print(_gates(view))
    _say(console, "")
    if view.phases:
        console.print(_phases(view))
        _say(console, "")
    if view.statements:
        console.print(_statements(view))
        _say(console, "")
    for blame in view.blame:
        _pair(console, "Blamed", f"{blame.statement}: {blame.sentence} {blame.advice}".rstrip())
    for finding in view.findings[:_FINDINGS]:
        _pair(console, "Finding", f"{finding.title}: {finding.text}")
    for fact in view.facts:
        _pair(console, fact.title, fact.text)
    for limit in view.limits:
        _pair(console, "Limit", limit)
    if report:
        _pair(console, "Report", report)
    _say(console, "")


def progress_line(
    phase: str,
    elapsed_s: float,
    planned_s: float | None,
    users: int,
    rate_per_s: float,
    p95_s: float | None,
    errors: int,
    migration: str = "",
) -> str:
    """One line a second: `elapsed_s` of the run and what is planned of it, the last second's rate and p95,
    the errors so far, and in words what the migration is doing; at most `PROGRESS_WIDTH` columns."""
    planned = f"/{planned_s:.0f}" if planned_s is not None else ""
    line = (
        f"{phase:<16} {elapsed_s:>4.0f}{planned} s  {plural(users, 'user')}  {rate(rate_per_s):>6}"
        f"  p95 {seconds(p95_s):>7}  {count(errors)} errors"
    )
    room = PROGRESS_WIDTH - len(line) - 2
    return f"{line}  {shorten(clean(migration), room)}" if migration and room > 1 else line[:PROGRESS_WIDTH]


def _gates(view: View) -> Table:
    table = _table(("", "Gate", "Observed", "Limit", "Samples", "Expression, and why"), numbers=(2, 3, 4))
    for gate in view.gates:
        status = Text(f"{gate.mark} {_SHORT.get(gate.status, gate.word)}", _STYLES[gate.status], no_wrap=True)
        expression = "" if gate.expression == gate.name else gate.expression
        last = Text.assemble((expression, "dim"), "\n" if expression and gate.why else "", gate.why)
        table.add_row(status, Text(gate.name), *map(Text, (gate.observed, gate.limit, gate.samples)), last)
    return table


def _phases(view: View) -> Table:
    titles = ("Phase", "Duration", "Requests", "Throughput", "Errors", "p50", "p95", "p99", "Max", "Stall")
    table = _table(titles, numbers=range(1, 10))
    for p in view.phases:
        row = (p.name, p.duration, p.requests, p.throughput, p.errors, p.p50, p.p95, p.p99, p.max, p.stall)
        table.add_row(*map(Text, row))
    return table


def _statements(view: View) -> Table:
    table = _table(("Revision", "Started", "Took", "Longest", "Slowest statements"), numbers=(1, 2, 3))
    for s in view.slowest():
        sql = Text.assemble(
            (f"{s.error} ", _STYLES["fail"]) if s.error else "", f"{s.times} " if s.times else "", s.short
        )
        sql.no_wrap, sql.overflow = True, "ellipsis"
        table.add_row(*map(Text, (s.revision, s.started, s.duration, s.longest)), sql)
    return table


def _table(titles: Sequence[str], numbers: Iterable[int]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    right = set(numbers)
    for number, title in enumerate(titles):
        if number in right:
            table.add_column(title, justify="right", no_wrap=True)
        else:
            table.add_column(title, overflow="fold")
    return table


def _say(console: Console, text: str, style: str = "", rest: str = "") -> None:
    """Print foreign text: neither markup nor highlighting is read out of it."""
    console.print(Text.assemble((text, style), rest), soft_wrap=False)


def _pair(console: Console, title: str, text: str) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=10)
    table.add_column(overflow="fold")
    table.add_row(Text(title, "dim"), Text(text))
    console.print(Padding(table, 0))
