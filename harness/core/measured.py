"""What measuring comes to: a value, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Interval", "Measured"]

Interval = tuple[float, float]
"""The lower and the upper bound of a value, with 95 % confidence."""


@dataclass(frozen=True)
class Measured:
    """A value with the number of samples behind it; `why` says why it is None, or what it leaves out.

    `confidence` is None where chance is not reckoned with, or the samples are too few to do so.
    """

    value: float | None
    samples: int | None = None
    why: str = ""
    confidence: Interval | None = None
