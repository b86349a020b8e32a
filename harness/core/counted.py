"""A number with the words that agree with it."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `1,200 rows`; with words of their own `1 write was lost`, `2 writes were lost`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
