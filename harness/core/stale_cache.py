"""Answers of an old shape after a migration: rows that a cache has kept from before it.

Red are those about a record that had been shown with the new name, and was not written to meanwhile: the row
has it, and something shows an older one. They count from `GRACE_S` after the last commit, after a deploy, and
after the last answer that lacked the name though its record had been written to since; and only if, from
then on, `RENEWED_LEAST` answers about such records had it. Otherwise the service as a whole may not have come
to the new shape, as while instances are replaced. A rollback ends the counting: it may take the name away.

Other answers that lack the name are told and not red: perhaps those rows have no value there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.core.events import Kind
from harness.core.facts import Facts
from harness.core.record import ShapePoint
from harness.core.secrets import mask
from harness.core.timeline import Window
from harness.core.verdict import rounded

__all__ = ["GRACE_S", "OldShape", "limits_of_shapes", "old_shapes", "old_shapes_json"]

GRACE_S = 5.0
"""What a cache may hold on to: a second or two in a process's memory, or a read replica's lag."""

RENEWED_LEAST = 20
"""With half of the instances still of an older release, so many in a row would be one chance in a million."""


@dataclass(frozen=True)
class OldShape:
    """What one endpoint answered without the `names` that it has shown since the migration.

    `answers` are red, `example` is a record of one; `others` may be in order. `first_s` and `last_s` say when
    `answers` came, in whole seconds since the last commit.
    """

    endpoint: str
    names: tuple[str, ...]
    answers: int
    others: int
    first_s: float | None
    last_s: float | None
    example: str

    @property
    def told(self) -> str:
        """A sentence without its full stop."""
        names, record = ", ".join(self.names), f" (record {self.example})" if self.example else ""
        since = f"{self.first_s:.0f} to {self.last_s:.0f} s" if self.first_s is not None else ""
        return (
            f"{self.endpoint} answered {self.answers:,} times without {names}, {since} after the last commit,"
            f" about records that had been shown with it{record}: a cache has outlived the migration."
            " Clear it with the migration, or have the schema's revision in its keys"
        )


def old_shapes(facts: Facts) -> tuple[OldShape, ...]:
    """By endpoint, those with the most answers first."""
    judged = _judged(facts)
    if judged is None:
        return ()
    committed = judged.start
    by_endpoint: dict[str, dict[str, list[ShapePoint]]] = {}
    for point in facts.record.shapes:
        if point.name and point.at + 1.0 <= judged.end:
            by_endpoint.setdefault(point.endpoint, {}).setdefault(point.name, []).append(point)
    began = min(m.first_statement_at or m.begin_at for m in facts.in_phase("migrate"))
    found = (_of(name, names, began, committed) for name, names in sorted(by_endpoint.items()))
    return tuple(sorted((one for one in found if one), key=lambda one: -one.answers))


def _judged(facts: Facts) -> Window | None:
    """From when on a new shape may be expected, until it may be gone; None where nothing was migrated."""
    ends = [m.last_commit_at or m.end_at for m in facts.in_phase("migrate") if m.status == "ok"]
    known = [end for end in ends if end is not None]
    if not known or facts.record.plan.placebo:
        return None
    if facts.first(Kind.DEPLOY_BEGIN):
        deployed = facts.first(Kind.DEPLOY_END)
        known.append(math.inf if deployed is None else deployed.at)
    back = min((m.begin_at for m in facts.in_phase("rollback")), default=math.inf)
    return Window("new shape", max(known), back)


def _of(endpoint: str, names: dict[str, list[ShapePoint]], began: float, committed: float) -> OldShape | None:
    points = {name: found for name, found in names.items() if _is_new(found, began)}
    counted = {name: _settled(found, committed) for name, found in points.items()}
    red = {name: _taken_back(found) for name, found in counted.items()}
    lacking = {name: sum(p.taken_back + p.other for p in found) for name, found in counted.items()}
    if not any(lacking.values()):
        return None
    # An answer of an old shape lacks all the names, and is counted for each.
    worst = max(red, key=lambda name: sum(point.taken_back for point in red[name]))
    answers = sum(point.taken_back for point in red[worst])
    seconds = [point.at - committed for point in red[worst]]
    return OldShape(
        mask(endpoint),
        tuple(sorted(mask(name) for name, found in (red if answers else lacking).items() if found)),
        answers,
        max(lacking.values()) - answers,
        min(seconds, default=None),
        max(seconds) + 1.0 if seconds else None,
        red[worst][0].example if red[worst] else "",
    )


def _is_new(points: Iterable[ShapePoint], began: float) -> bool:
    """Whether the name was first shown after the first statement."""
    shown = [point.at + 1.0 for point in points if point.shown]
    return bool(shown) and min(shown) > began


def _settled(points: Sequence[ShapePoint], committed: float) -> list[ShapePoint]:
    """Those since the endpoint has shown the name of all records written since, with time to settle."""
    settled = max([committed, *(point.at + 1.0 for point in points if point.fresh)])
    return [point for point in points if point.at >= settled + GRACE_S]


def _taken_back(settled: Sequence[ShapePoint]) -> list[ShapePoint]:
    """Those with red answers, by their time."""
    if sum(point.renewed for point in settled) < RENEWED_LEAST:
        return []
    return sorted((point for point in settled if point.taken_back), key=lambda point: point.at)


def limits_of_shapes(facts: Facts) -> Iterator[str]:
    """What lacked a new name and may be in order."""
    for one in old_shapes(facts):
        if one.others:
            names = ", ".join(one.names)
            yield (
                f"{one.endpoint} answered {one.others:,} times without {names}, which it shows of other"
                " records since the migration: rows without a value, instances of the release before, or a"
                " cache that has outlived the migration."
            )


def old_shapes_json(facts: Facts) -> list[dict[str, Any]]:
    """`old_shapes` of `verdict.json`."""
    return [
        {**asdict(one), "names": [*one.names], "first_s": rounded(one.first_s), "last_s": rounded(one.last_s)}
        for one in old_shapes(facts)
    ]
