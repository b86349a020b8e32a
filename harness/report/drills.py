"""Drills in words: what was broken, how it came back, and the matrix of one that was done in many places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.facts import Fact
from harness.report.gates import MARKS
from harness.report.words import ABSENT, clean, count, seconds, shorten

__all__ = ["Cell", "Drill", "drills_of"]

Json = Mapping[str, Any]

_STATUS = {"A": "pass", "B": "pass", "C": "pass", "D": "fail"}


@dataclass(frozen=True)
class Cell:
    """One place at which a drill was done: `place` is the statement, `left` what was there after the fault,
    `after` what became of it.
    """

    place: str
    revision: str
    sql: str
    left: str
    after: str
    grade: str
    status: str


@dataclass(frozen=True)
class Drill:
    """One drill; `status` is that of a gate which passes down to grade C, `grade` is – without a grade."""

    name: str
    what: str
    grade: str
    status: str
    mark: str
    at: str
    took: str
    why: str
    evidence: tuple[Fact, ...]
    cells: tuple[Cell, ...]

    @property
    def sentence(self) -> str:
        """In a line."""
        graded = f"grade {self.grade}" if self.status != "inconclusive" else "not graded"
        how = "walked in" if self.cells else "back after"
        back = f", {how} {self.took}" if self.took != ABSENT else ""
        return f"{graded}{back}: {self.why}"


def drills_of(drills: Iterable[Json]) -> tuple[Drill, ...]:
    """In the plan's order."""
    return tuple(map(_drill, drills))


def _drill(told: Json) -> Drill:
    grade, at, end_at = told.get("grade"), told.get("at"), told.get("end_at")
    evidence: Json = told.get("evidence") or {}
    status = _STATUS.get(str(grade), "inconclusive")
    return Drill(
        name=clean(told.get("name", "")),
        what=clean(told.get("what") or ""),
        grade=ABSENT if grade is None else clean(grade),
        status=status,
        mark=MARKS[status],
        at=seconds(at),
        took=ABSENT if at is None or end_at is None else seconds(end_at - at),
        why=clean(told.get("why") or ""),
        evidence=tuple(_facts(evidence)),
        cells=tuple(map(_cell, evidence.get("cells") or ())),
    )


def _facts(evidence: Json) -> Iterator[Fact]:
    for name, value in evidence.items():
        if name != "cells":
            title = name.removesuffix("_s").replace("_", " ")
            yield Fact(clean(title), seconds(value) if name.endswith("_s") else _words(value))


def _words(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return count(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{clean(key)} {_words(item)}" for key, item in value.items()) or "nothing"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(_words, value)) or "nothing"
    return clean(value) or ABSENT


def _cell(told: Json) -> Cell:
    grade = told.get("grade")
    like = told.get("represents") or 1
    times = f", for {count(like)} alike" if like > 1 else ""
    return Cell(
        place=f"{clean(told.get('place', ''))}{times}",
        revision=clean(told.get("revision") or ABSENT),
        sql=shorten(clean(told.get("sql") or ""), 120),
        left=_words(told.get("left") or "nothing"),
        after=clean(told.get("after") or ABSENT),
        grade=ABSENT if grade is None else clean(grade),
        status=_STATUS.get(str(grade), "inconclusive"),
    )
