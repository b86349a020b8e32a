"""The report for a terminal or a CI log of 100 columns, with or without colour; and a run's live line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.drills import Drill
from harness.report.evidence import claims_sentence
from harness.report.measures import PHASE_COLUMNS
from harness.report.view import View
from harness.report.words import ABSENT, clean, count, plural, rate, seconds, shorten

__all__ = ["PROGRESS_WIDTH", "console", "pair", "print_code", "progress_line", "progress_rows", "render"]

PROGRESS_WIDTH = 110
"""Columns of the live line, at most."""

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "not_applicable": "dim"}
_FINDINGS = 5
"""Findings of a kind that are printed; the whole report has all."""

_LEFT_OUT = {"Requests", "Target", "Service p95"}
"""Columns of the phases that no terminal has room for: requests are rate times duration, and what the service
took is the latency without the lag."""

_ROOM = {"Rate": 110, "Lag p99": 110, "p50": 100, "p99": 100}
"""Columns of the phases that a narrower terminal has no room for."""

_BLAMED = 3
_MATRIX_SQL = 24
"""Columns of a statement in a drill's matrix."""

_CODE_LINES = 16
_TITLE = 10
"""Columns of a pair's title."""

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
        console.print(_phases(view, console.width))
        _say(console, "")
    if view.statements:
        console.print(_statements(view))
        _say(console, "")
    _drills(view, console)
    for finding in view.findings[:_FINDINGS]:
        pair(console, "Finding", f"{finding.title}: {finding.text}")
    for fact in view.facts:
        pair(console, fact.title, fact.text)
    for limit in view.limits:
        pair(console, "Limit", limit)
    _blame(view, console)
    _advice(view, console)
    _evidence(view, console)
    if report:
        pair(console, "Report", report)
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


def _drills(view: View, console: Console) -> None:
    """Each drill in a line; of one that was done in many places, the matrix."""
    for drill in view.drills:
        if drill.cells:
            console.print(_matrix(drill))
            _say(console, "")
    for drill in view.drills:
        pair(console, "Drill", f"{drill.mark} {drill.name}: {drill.sentence}", _STYLES[drill.status])
    if view.drills:
        pair(console, "", "What the grades mean: harness explain drills")
        _say(console, "")


def _matrix(drill: Drill) -> Table:
    titles = ("Grade", "Revision", "Killed", "Statement", "Left by it", "After the re-run")
    table = _table(titles, numbers=())
    for cell in drill.cells:
        grade = Text(cell.grade, _STYLES[cell.status])
        place = Text(cell.place)
        sql = Text(shorten(cell.sql, _MATRIX_SQL), "dim", no_wrap=True, overflow="ellipsis")
        table.add_row(grade, Text(cell.revision), place, sql, Text(cell.left), Text(cell.after))
    return table


def _blame(view: View, console: Console) -> None:
    """The worst statement in one sentence to act on, with its safe form; then who else made clients wait.

    Where no gate is red for it only who made clients wait the longest: nothing is to be done about it.
    """
    if not view.blame:
        return
    _say(console, "")
    if view.culprit is None:
        pair(console, "Waited for", view.blame[0].line)
        return
    for number, blame in enumerate(view.blame[:_BLAMED]):
        pair(console, "Blamed", blame.line, "bold" if not number else "")
        if blame.root:
            pair(console, "", blame.root)
        if not number and blame.safe:
            pair(console, "", "Safe form:")
            print_code(console, blame.safe, _CODE_LINES)
        if not number and blame.rule:
            pair(console, "", f"Why: harness explain {blame.rule}")
    if len(view.blame) > _BLAMED:
        pair(console, "", f"{plural(len(view.blame) - _BLAMED, 'more statement')} in the report.")


def _advice(view: View, console: Console) -> None:
    found, notes, ignored = map(view.advice_of, ("finding", "note", "ignored"))
    for advice in found[:_FINDINGS]:
        pair(console, "Advice", f"{advice.rule}, {advice.sentence}")
    others = (
        (len(found[_FINDINGS:]), "more finding"),
        (len(notes), "note"),
        (len(ignored), "ignored finding"),
    )
    told = ", ".join(plural(number, what) for number, what in others if number)
    if told:
        pair(console, "" if found else "Advice", f"{told} in the report.")
    if found and not (view.blame and view.blame[0].rule):
        pair(console, "", f"Why: harness explain {found[0].rule}")


def _evidence(view: View, console: Console) -> None:
    for schema in view.schema[:_FINDINGS]:
        pair(console, "Schema", schema.sentence, _STYLES["fail"] if schema.red else "")
    for error in view.errors[:_FINDINGS]:
        pair(console, "Errors", error.sentence)
    if view.claims:
        pair(console, "Predicted", f"{view.claims[0].tool}: {claims_sentence(view.claims)}.")


def progress_rows(
    phase: str,
    elapsed_s: float,
    planned_s: float | None,
    users: int,
    rate_per_s: float,
    p95_s: float | None,
    errors: int,
    migration: str = "",
) -> dict[str, str]:
    """The same for the web page, a row each."""
    planned = f" of about {planned_s:.0f} s" if planned_s is not None else ""
    return {
        "phase": phase,
        "elapsed": f"{elapsed_s:.0f} s{planned}",
        "users": count(users),
        "requests": rate(rate_per_s),
        "p95 latency": seconds(p95_s),
        "errors": count(errors),
        "migration": clean(migration) or ABSENT,
    }


def _gates(view: View) -> Table:
    table = _table(("", "Gate", "Observed", "Limit", "Samples", "Expression, and why"), numbers=(2, 3, 4))
    for gate in view.gates:
        status = Text(f"{gate.mark} {_SHORT.get(gate.status, gate.word)}", _STYLES[gate.status], no_wrap=True)
        expression = "" if gate.expression == gate.name else gate.expression
        lines = (Text(expression, "dim"), Text(gate.sure, "dim"), Text(gate.why))
        last = Text("\n").join(line for line in lines if line)
        table.add_row(status, Text(gate.name), *map(Text, (gate.observed, gate.limit, gate.samples)), last)
    return table


def _phases(view: View, width: int) -> Table:
    titles = (title for title in PHASE_COLUMNS if title not in _LEFT_OUT)
    shown = [title for title in titles if width >= _ROOM.get(title, 0)]
    table = _table(shown, numbers=range(1, len(shown)))
    for phase in view.phases:
        table.add_row(*(Text(getattr(phase, PHASE_COLUMNS[title])) for title in shown))
    return table


def _statements(view: View) -> Table:
    table = _table(("Revision", "Started", "Took", "Longest", "Slowest statements"), numbers=(1, 2, 3))
    for s in view.slowest():
        sql = Text.assemble(
            (f"{s.error} ", _STYLES["fail"]) if s.error else "", f"{s.times} " if s.times else "", s.short
        )
        sql.no_wrap, sql.overflow = True, "ellipsis"
        table.add_row(*map(Text, (s.place, s.started, s.duration, s.longest)), sql)
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


def pair(console: Console, title: str, text: str, style: str = "") -> None:
    """A titled text that stays in its column."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_TITLE)
    table.add_column(overflow="fold")
    table.add_row(Text(title, "dim"), Text(text, style))
    console.print(table)


def print_code(console: Console, code: str, most: int | None = None) -> None:
    """The first `most` lines of foreign code, indented; none is folded, which would break it for copying."""
    lines = code.splitlines()
    cut = most is not None and len(lines) > most
    for line in [*lines[:most], *(["…"] if cut else [])]:
        console.print(Text(f"    {line}", "cyan"), soft_wrap=True)
