"""What measuring comes to: a value, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """A value with the number of samples behind it; `why` says why it is None, or what it leaves out."""

    value: float | None
    samples: int | None = None
    why: str = ""
