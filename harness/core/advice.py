"""Advice: what a measured statement did that hurts, or would, and how to write it safely."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Advice"]


@dataclass(frozen=True)
class Advice:
    """One rule that fired on one statement. `severity`: finding (it hurt, or would on a table of this size),
    note (small or idle), ignored (with the `reason` given for it).

    `safe` is the safe form as Alembic code with the statement's own names; `evidence` what was measured.
    """

    rule: str
    statement: int
    revision: str | None
    severity: str
    condition: str
    consequence: str
    safe: str
    source: str
    evidence: str
    reason: str = ""
