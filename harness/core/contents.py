"""What a database's tables hold, by hashes: what of it a migration there and back did not bring back.

A row is known by its key, and each of its columns by a 64-bit hash of its text; values are kept nowhere. The
service's own traffic changes rows, too. A row that was last written while no migration ran was written by the
traffic, and is excused. Of the others nothing in the database says whose a change was, so it is learned from
what the traffic did before the migration began: for each column, in how many of the rows from before the load
it had changed the value by then. What differs at the end in many more rows than that rate makes likely is the
migration's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.core.samples import Ints

__all__ = [
    "Contents",
    "Difference",
    "TableChange",
    "TableContents",
    "Traffic",
    "compare_tables",
    "contents",
    "traffic_on",
]

EXAMPLES = 5


@dataclass(frozen=True)
class TableContents:
    """Rows of a table, in the order of the hashes of their keys.

    `rows` counts all of the table, of which one in `one_in` was read, chosen by its key. `hashes` has a line
    per row that was read: its key's, then one per column of `columns` (name → type). `keys` are the keys in
    words, empty where they are not to be shown. A table without a primary key has no columns: its rows are
    known by all they hold.
    """

    name: str
    rows: int
    one_in: int
    columns: Mapping[str, str]
    keys: Sequence[str]
    hashes: Ints

    @classmethod
    def of(
        cls,
        name: str,
        rows: int,
        one_in: int,
        columns: Mapping[str, str],
        keys: Sequence[str],
        packed: bytes,
    ) -> TableContents:
        """From the rows' hashes as PostgreSQL's `int8send` packs them."""
        hashes = np.frombuffer(packed, ">i8").astype(np.int64).reshape(-1, 1 + len(columns))
        order = np.argsort(hashes[:, 0], kind="stable")
        return cls(name, rows, one_in, columns, [keys[n] for n in order] if keys else (), hashes[order])


@dataclass(frozen=True)
class Traffic:
    """In how many rows from before the load the traffic had changed a column's value when the migration
    began, and how many of them it had removed."""

    changed: Mapping[str, int]
    removed: int


@dataclass(frozen=True)
class Difference:
    """Rows in which something differs from before the load; in how many of them, so far, when the migration
    began; and the keys of some.
    """

    rows: int
    by_traffic: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableChange:
    """What became of the rows that a table had before the load.

    `compared` is how many were looked for; `why_not` says why none was, "" when they were. `changed` has the
    columns in which any differ; `gone` are columns that are not there, or of another type.
    """

    name: str
    rows_before: int
    rows_after: int | None = None
    compared: int = 0
    one_in: int = 1
    missing: Difference = Difference(0, 0)
    changed: Mapping[str, Difference] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class Contents:
    """What was found at the end of a run that rolled back: `launched_at` is when the traffic was looked at,
    `ended_at` when the end was, in run time. `sequences` are where each stood before and stands at the end,
    None before its first use. `why_not` says why nothing was compared, "" when it was.
    """

    launched_at: float = 0.0
    ended_at: float = 0.0
    tables: tuple[TableChange, ...] = ()
    sequences: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    why_not: str = ""

    def likely(self, by_traffic: int) -> int:
        """In how many rows at most the traffic alone may have changed by the end what it had changed in
        `by_traffic` when the migration began.

        At the same rate until the end, with three standard deviations of a count and five for what had not
        happened by chance; doubled, because a rate is not constant.
        """
        lasted = self.ended_at / max(self.launched_at, 1.0)
        return math.ceil(2.0 * (by_traffic + 3.0 * math.sqrt(by_traffic) + 5.0) * max(1.0, lasted))


def traffic_on(before: TableContents, touched: TableContents, untouched: int) -> Traffic:
    """What was done to the rows of `before`, from those written since, and how many were not."""
    here, there = _both(before, touched)
    changed = {
        column: int(np.count_nonzero(differs)) for column, differs in _differing(before, touched, here, there)
    }
    return Traffic(changed, max(0, len(before.hashes) - untouched - len(here)))


def compare_tables(
    before: TableContents, after: TableContents, traffic: Traffic, excused: TableContents | None = None
) -> TableChange:
    """What became of the rows of `before`; the values of those in `excused` are the traffic's."""
    here, there = _both(before, after)
    if excused is not None:
        suspect = ~np.isin(before.hashes[here, 0], excused.hashes[:, 0])
        compared, with_what = here[suspect], there[suspect]
    else:
        compared, with_what = here, there
    missing = np.setdiff1d(np.arange(len(before.hashes)), here, assume_unique=True)
    changed = {
        column: Difference(
            int(np.count_nonzero(differs)), traffic.changed.get(column, 0), _told(before, compared[differs])
        )
        for column, differs in _differing(before, after, compared, with_what)
        if differs.any()
    }
    return TableChange(
        before.name,
        before.rows,
        after.rows,
        compared=len(before.hashes),
        one_in=before.one_in,
        missing=Difference(len(missing), traffic.removed, _told(before, missing)),
        changed=changed,
        gone=tuple(column for column in before.columns if column not in _shared(before, after)),
    )


def _both(one: TableContents, other: TableContents) -> tuple[Ints, Ints]:
    """The places in each of the rows that are in both."""
    places = np.searchsorted(other.hashes[:, 0], one.hashes[:, 0])
    inside = np.flatnonzero(places < len(other.hashes))
    here = inside[other.hashes[places[inside], 0] == one.hashes[inside, 0]]
    return here, places[here]


def _shared(one: TableContents, other: TableContents) -> list[str]:
    return [name for name, kind in one.columns.items() if other.columns.get(name) == kind]


def _differing(
    one: TableContents, other: TableContents, here: Ints, there: Ints
) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.bool_]]]]:
    """Each column of both, with whether it differs in each of the rows."""
    own, others = list(one.columns), list(other.columns)
    for column in _shared(one, other):
        ours, theirs = own.index(column) + 1, others.index(column) + 1
        yield column, one.hashes[here, ours] != other.hashes[there, theirs]


def _told(table: TableContents, rows: Ints) -> tuple[str, ...]:
    return tuple(sorted(table.keys[n] for n in rows[:EXAMPLES])) if table.keys else ()


def contents(told: Mapping[str, Any]) -> Contents:
    """From `contents.json`, which holds `dataclasses.asdict` of it."""
    return Contents(
        launched_at=float(told["launched_at"]),
        ended_at=float(told["ended_at"]),
        tables=tuple(_table(table) for table in told["tables"]),
        sequences={name: (was, now) for name, (was, now) in told["sequences"].items()},
        why_not=str(told["why_not"]),
    )


def _table(told: Mapping[str, Any]) -> TableChange:
    known = {key: value for key, value in told.items() if key in TableChange.__dataclass_fields__}
    changed = {column: _difference(found) for column, found in told["changed"].items()}
    found = {"missing": _difference(told["missing"]), "changed": changed, "gone": tuple(told["gone"])}
    return TableChange(**{**known, **found})


def _difference(told: Mapping[str, Any]) -> Difference:
    return Difference(int(told["rows"]), int(told["by_traffic"]), tuple(told["examples"]))
