"""The timeline's lane of waits: the longest, each a bar, packed into as few rows as they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.report.chart import Bar, Lane
from harness.report.statements import within
from harness.report.words import clean, seconds, shorten

__all__ = ["WANTED", "wait_lane"]

Json = Mapping[str, Any]

MOST_ROWS = 24
"""Rows of waits that are drawn; with more at one time the longest stay."""

WANTED = {
    "read": "wait to read",
    "write": "wait to write or to lock rows",
    "row": "wait for a row or a transaction",
    "strong": "wait for a stronger lock",
}
"""What a blocked session wanted."""

_WANTED_BY = {
    "AccessShareLock": "read",
    "RowShareLock": "write",
    "RowExclusiveLock": "write",
}
"""The modes of SELECT, SELECT FOR UPDATE and of writes:
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES."""


def wait_lane(waits: Iterable[Json]) -> Lane:
    """The waits of `waits_timeline`; each goes into the first row that is free while it lasts."""
    known = [w for w in waits if w.get("start_at") is not None and w.get("end_at") is not None]
    taken: list[list[tuple[float, float]]] = []
    bars = []
    for wait in sorted(known, key=lambda w: (w["start_at"] - w["end_at"], w["start_at"])):
        span = (float(wait["start_at"]), float(wait["end_at"]))
        row = next((n for n, spans in enumerate(taken) if _free(spans, span)), len(taken))
        if row == MOST_ROWS:
            continue
        if row == len(taken):
            taken.append([])
        taken[row].append(span)
        bars.append(_bar(wait, row))
    return Lane(tuple(bars), len(taken), len(known) - len(bars))


def _free(spans: Iterable[tuple[float, float]], wanted: tuple[float, float]) -> bool:
    return all(end <= wanted[0] or wanted[1] <= start for start, end in spans)


def _bar(wait: Json, row: int) -> Bar:
    start, end = float(wait["start_at"]), float(wait["end_at"])
    where = f" on {clean(wait['relation'])}" if wait.get("relation") else ""
    who = "the migration, pid" if wait.get("own") else "pid"
    where_of = within(wait, "migration")
    parts = [
        f"{who} {clean(wait.get('pid'))} waited for {clean(wait.get('mode') or 'a lock')}{where}",
        seconds(end - start),
        *([f"root pid {clean(wait['root_pid'])}"] if wait.get("root_pid") is not None else []),
        *([f"statement {clean(wait['statement'])}{where_of}"] if wait.get("statement") is not None else []),
    ]
    return Bar(str(row), shorten(", ".join(parts), 110), round(start, 3), round(end, 3), _style(wait))


def _style(wait: Json) -> str:
    wanted = _WANTED_BY.get(str(wait.get("mode")))
    return wanted or ("strong" if wait.get("relation") else "row")
