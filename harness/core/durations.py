"""Durations as people write them: `250ms`, `30s`, `1m30s`, `2min`, or a bare number of seconds."""

from __future__ import annotations

import re

from harness.errors import UsageError

__all__ = ["format_duration", "parse_duration"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|min|s|m|h)")


def parse_duration(text: str, name: str = "duration") -> float:
    """Seconds in `text`; `name` is the flag or key, for the message of the UsageError a bad text raises.

    >>> parse_duration("1m30s")
    90.0
    """
    text = text.strip().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        raise UsageError(f"{name}: {text!r} is not a duration.", "Write it like 250ms, 30s, 1m30s or 2min.")
    return float(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def format_duration(seconds: float) -> str:
    """`seconds` for a person.

    >>> [format_duration(s) for s in (0.0123, 2.5, 75)]
    ['12 ms', '2.50 s', '1 min 15 s']
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
