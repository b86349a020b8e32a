"""Gates in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.words import between, clean, count, pair

__all__ = ["MARKS", "Gate", "gates_of", "word"]

MARKS = {"pass": "✔", "fail": "✘", "inconclusive": "?", "not_applicable": "–"}
_SHOWN = ("fail", "inconclusive", "pass", "not_applicable")


@dataclass(frozen=True)
class Gate:
    """One gate: what it asks, what was observed, over how many samples, and why it came out so.

    `confidence` are the bounds of an observed quantile, "" for what is none.
    """

    mark: str
    status: str
    word: str
    name: str
    expression: str
    observed: str
    limit: str
    samples: str
    why: str
    confidence: str = ""

    @property
    def sure(self) -> str:
        """The bounds with what they mean, for where no heading says it."""
        return f"95 % confidence: {self.confidence}" if self.confidence else ""


def gates_of(gates: Iterable[Mapping[str, Any]]) -> tuple[Gate, ...]:
    """The worst first, else in the verdict's order."""
    return tuple(sorted(map(_gate, gates), key=lambda gate: _SHOWN.index(gate.status)))


def word(status: str) -> str:
    """`not applicable`."""
    return status.replace("_", " ")


def _gate(gate: Mapping[str, Any]) -> Gate:
    status = str(gate.get("status", "inconclusive"))
    status = status if status in MARKS else "inconclusive"
    observed, limit = pair(gate.get("observed"), gate.get("limit"), gate.get("unit"))
    return Gate(
        mark=MARKS[status],
        status=status,
        word=word(status),
        name=clean(gate.get("name", "")),
        expression=clean(gate.get("expression", "")),
        observed=observed,
        limit=limit,
        samples=count(gate.get("samples")),
        why=clean(gate.get("why") or ""),
        confidence=between(gate.get("confidence"), gate.get("unit")),
    )
