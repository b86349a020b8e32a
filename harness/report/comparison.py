"""Two runs side by side, for a terminal and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.compare import Comparison, Row
from harness.core.verdict import ExitCode
from harness.report.markdown import escaped, table
from harness.report.words import ABSENT, amount, clean, plural, share

__all__ = ["render_markdown", "render_terminal"]

TITLES = ("Phase", "Endpoint", "Metric", "Old", "New", "Change", "95 % interval", "Result")
ALIGN = "lll rrrr l"

_MARKS = {ExitCode.PASS: "✓", ExitCode.FAIL: "✗", ExitCode.INCONCLUSIVE: "?"}
_STYLES = {ExitCode.PASS: "green", ExitCode.FAIL: "bold red", ExitCode.INCONCLUSIVE: "yellow"}


def render_terminal(comparison: Comparison, console: Console, everything: bool = False) -> None:
    """Print conditions, rows and the decision; without `everything` only the endpoints that changed."""
    for line in _before(comparison):
        console.print(Text(clean(line)))
    console.print()
    console.print(_rows(_shown(comparison, everything)))
    console.print()
    for line in _after(comparison, everything):
        console.print(Text(clean(line)))
    console.print(Text(_decision(comparison), _STYLES[comparison.exit_code]))


def _rows(rows: Sequence[Row]) -> Table:
    """A line for each row under the name of its phase, which as a column would leave endpoints no room."""
    shown = Table(box=None, pad_edge=False)
    for title, letter in zip(TITLES[1:], ALIGN[1:].replace(" ", ""), strict=True):
        fold = title == "Endpoint"
        shown.add_column(
            title, justify="right" if letter == "r" else "left", overflow="fold", no_wrap=not fold
        )
    for phase, own in groupby(rows, key=lambda row: row.phase):
        shown.add_row(Text(phase, "bold"))
        for row in own:
            style = "bold red" if row.regression else "" if row.clear else "dim"
            shown.add_row(*(Text(clean(cell), style) for cell in _cells(row)[1:]))
    return shown


def render_markdown(comparison: Comparison, everything: bool = False) -> str:
    """The same for a job summary or a comment."""
    lines = [f"## {escaped(_decision(comparison))}", ""]
    lines += [f"- {escaped(line)}" for line in _before(comparison)]
    lines += ["", *table(TITLES, ALIGN, (_cells(row) for row in _shown(comparison, everything)))]
    lines += [f"- {escaped(line)}" for line in _after(comparison, everything)]
    return "\n".join(lines).rstrip() + "\n"


def _before(comparison: Comparison) -> Iterator[str]:
    """What must be known before the numbers are read."""
    yield f"Old: {comparison.old}"
    yield f"New: {comparison.new}"
    for condition in comparison.conditions:
        load = " (another load: latencies do not compare)" if condition.load else ""
        yield f"Not the same: {condition.what}: {condition.old} then, {condition.new} now{load}"
    if comparison.relative:
        yield "Old latencies after the baseline are multiplied by how much slower the new baseline is."
    yield from comparison.doubts
    yield from comparison.notes
    for row in comparison.shifted:
        yield (
            f"Already in the baseline, where nothing migrates, {row.metric} is {row.result}"
            f" ({_signed(row.change)}): the machine, the data or the service is another."
        )


def _after(comparison: Comparison, everything: bool) -> Iterator[str]:
    hidden = len(comparison.rows) - len(_shown(comparison, everything))
    if hidden:
        yield f"{plural(hidden, 'row')} of single endpoints without a clear difference: --all shows them."
    for row in comparison.undecided:
        yield f"Not decided: {row.metric} of phase {row.phase}: {row.why or row.result}."


def _shown(comparison: Comparison, everything: bool) -> Sequence[Row]:
    return [row for row in comparison.rows if everything or row.endpoint is None or row.clear]


def _cells(row: Row) -> tuple[str, ...]:
    low, high = (_signed(bound) for bound in (row.low, row.high))
    between = f"{low.removesuffix(' %')} … {high}" if ABSENT not in (low, high) else ABSENT
    return (
        row.phase,
        row.endpoint or "all",
        row.metric,
        amount(row.old, row.unit),
        amount(row.new, row.unit),
        _signed(row.change),
        between,
        f"{row.result} ✗" if row.regression else row.result,
    )


def _signed(ratio: float | None) -> str:
    """`+12.3 %`; a change from 0 has no size."""
    if ratio is None or abs(ratio) == float("inf"):
        return ABSENT
    return f"{'+' if ratio > 0 else ''}{share(ratio)}"


def _decision(comparison: Comparison) -> str:
    mark = _MARKS[comparison.exit_code]
    if comparison.doubts:
        return f"{mark} Nothing is decided: one of the runs is no evidence."
    if comparison.regressions:
        found = plural(len(comparison.regressions), "regression")
        return f"{mark} {found}: clear of chance, and more than {comparison.threshold.text} slower."
    if comparison.exit_code is ExitCode.INCONCLUSIVE:
        return f"{mark} Nothing is decided: too few samples."
    return f"{mark} No regression of more than {comparison.threshold.text} that is clear of chance."
