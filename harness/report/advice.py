"""Advice in words: what each rule says of a statement, why, and how to write it safely."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.statements import named, of_phase, within
from harness.report.words import clean

__all__ = ["Advice", "advised", "code"]

Json = Mapping[str, Any]

_CODE = 8_000
"""Characters of a safe form; a longer one was not written by a rule."""


@dataclass(frozen=True)
class Advice:
    """One rule that fired on one statement; `severity` is finding, note or ignored (for its `reason`)."""

    rule: str
    number: str
    statement: str
    severity: str
    condition: str
    consequence: str
    evidence: str
    safe: str
    source: str
    reason: str
    where: str

    @property
    def sentence(self) -> str:
        """For a list: where, and what comes of it."""
        return f"statement {self.number}{self.where}: {self.consequence or self.condition}"


def advised(advice: Iterable[Json], migrations: Sequence[Json]) -> tuple[Advice, ...]:
    """Findings before notes before what is ignored, else in the verdict's order."""
    order = ("finding", "note", "ignored")
    rows = (_advice(one, migrations) for one in advice)
    return tuple(sorted(rows, key=lambda a: order.index(a.severity)))


def code(text: object) -> str:
    """Foreign code without common indentation; its line breaks are kept."""
    return textwrap.dedent(mask(clean(text or ""))).strip("\n")[:_CODE]


def _advice(advice: Json, migrations: Sequence[Json]) -> Advice:
    severity = str(advice.get("severity"))
    return Advice(
        rule=clean(advice.get("rule") or ""),
        number=clean(advice.get("statement")),
        statement=named(advice.get("statement"), of_phase(migrations, advice), advice.get("revision")),
        severity=severity if severity in ("finding", "note", "ignored") else "note",
        condition=clean(advice.get("condition") or ""),
        consequence=clean(advice.get("consequence") or ""),
        evidence=mask(clean(advice.get("evidence") or "")),
        safe=code(advice.get("safe")),
        source=clean(advice.get("source") or ""),
        reason=clean(advice.get("reason") or ""),
        where=within(advice, "migration"),
    )
