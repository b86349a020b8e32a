"""What every benchmark gives, and how it is shown: rows, a table that Markdown understands, JSON.

A benchmark is a module with `rows(quick)`, and a program by `raise SystemExit(program(rows))`. Contenders
take turns, a round each, so that a noisy machine is as unkind to one as to the other; `quick` asks for the
fewest and smallest rounds that still give every row.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

Bounds = tuple[float | None, float | None]
"""At least, at most; None where that end is open."""

ANY: Bounds = (None, None)
WIDTH = 150


@dataclass(frozen=True)
class Row:
    """What one contender showed at one piece of work: a value for each round. Without rounds it is absent."""

    work: str
    contender: str
    unit: str
    rounds: tuple[float, ...]
    peer: str = ""
    """The contender at the same work, in the same unit, that this one is compared with."""
    bounds: Bounds = ANY
    """What the median has to keep."""
    ratio_bounds: Bounds = ANY
    """What the ratio to the peer has to keep."""
    note: str = ""

    @classmethod
    def from_json(cls, read: dict[str, Any]) -> Row:
        """The row of `as_json`."""
        known = {name: read[name] for name in cls.__dataclass_fields__}
        of_many = {name: tuple(known[name]) for name in ("rounds", "bounds", "ratio_bounds")}
        return cls(**{**known, **of_many})


def rows_of(
    work: str,
    found: Mapping[str, Sequence[Mapping[str, float]]],
    units: Iterable[str],
    peer: str,
    bounds: Mapping[tuple[str, str], Bounds],
) -> list[Row]:
    """The rows of contenders that each tell several values a round; `found` has them by contender and unit,
    `bounds` those that some of them have to keep.
    """
    return [
        Row(work, name, unit, tuple(told[unit] for told in rounds), peer, bounds.get((name, unit), ANY))
        for unit in units
        for name, rounds in found.items()
    ]


@dataclass(frozen=True)
class Line:
    """A row as it is judged: its median, and the median of its rounds' ratios to the peer's."""

    row: Row
    median: float | None
    ratio: float | None

    @property
    def kept(self) -> bool:
        """Whether no bound is broken; an absent contender breaks none."""
        return _within(self.median, self.row.bounds) and _within(self.ratio, self.row.ratio_bounds)

    def as_json(self) -> dict[str, Any]:
        """The row with what follows from it."""
        return {**asdict(self.row), "median": self.median, "ratio": self.ratio, "kept": self.kept}


def lines(rows: Sequence[Row]) -> list[Line]:
    """Every row beside its peer, which is 1 × itself. A peer that is not there: ValueError."""
    peers = {(row.work, row.unit, row.peer) for row in rows if row.peer}
    known = {(row.work, row.unit, row.contender): row.rounds for row in rows}
    if missing := peers - known.keys():
        raise ValueError(f"no rows for the peers {sorted(missing)}")
    judged = []
    for row in rows:
        own = (row.work, row.unit, row.contender)
        other = known.get(own if own in peers else (row.work, row.unit, row.peer), ())
        ratios = [one / its for one, its in zip(row.rounds, other, strict=False) if its]
        judged.append(Line(row, _median(row.rounds), _median(ratios)))
    return judged


def table(found: dict[str, list[Line]]) -> Table:
    """All benchmarks in one table, as Markdown."""
    shown = Table(box=box.MARKDOWN, show_edge=True)
    for heading in ("benchmark", "work", "contender"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("median", "min–max", "unit", "× peer", "wanted"):
        shown.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for name, judged in found.items():
        for line in judged:
            shown.add_row(name, *_cells(line))
    return shown


def show(found: dict[str, list[Line]]) -> None:
    """Print the table; where it goes to no terminal it is as wide as it has to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(table(found))


def program(rows: Callable[[bool], list[Row]]) -> int:
    """One benchmark as a command: its table, its JSON; the exit code 1 says that a bound is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the smallest rounds: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args()
    judged = lines(rows(options.quick))
    if options.json:
        options.json.write_text(json.dumps([line.as_json() for line in judged], indent=1) + "\n")
    show({Path(sys.argv[0]).stem: judged})
    return int(not all(line.kept for line in judged))


def _cells(line: Line) -> tuple[str, ...]:
    row = line.row
    contender = f"{row.contender} ({row.note})" if row.note else row.contender
    if line.median is None:
        return row.work, contender, "absent", "", row.unit, "", _wanted(row)
    spread = f"{_number(min(row.rounds))}–{_number(max(row.rounds))}" if len(row.rounds) > 1 else ""
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    wanted = _wanted(row)
    if wanted:
        wanted += " ✓" if line.kept else " ✗"
    return row.work, contender, _number(line.median), spread, row.unit, ratio, wanted


def _wanted(row: Row) -> str:
    own, ratio = _range(row.bounds), _range(row.ratio_bounds)
    return ", ".join(filter(None, (own, ratio and f"{ratio} ×")))


def _range(bounds: Bounds) -> str:
    least, most = bounds
    if least is not None and most is not None:
        return f"{least:g}–{most:g}"
    if least is not None:
        return f"≥ {least:g}"
    return "" if most is None else f"≤ {most:g}"


def _number(value: float) -> str:
    """Three significant digits, and all of a whole number."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _within(value: float | None, bounds: Bounds) -> bool:
    least, most = bounds
    if value is None:
        return True
    return (least is None or value >= least) and (most is None or value <= most)
