"""Numbers and names in words for a person: units, rounding, and what was not measured.

Three significant digits everywhere: a latency measured on a busy machine carries no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "ABSENT",
    "amount",
    "between",
    "byte_unit",
    "clean",
    "count",
    "pair",
    "plural",
    "rate",
    "seconds",
    "several",
    "share",
    "shorten",
    "size",
]

ABSENT = "–"
"""Stands for what was not measured."""

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters but tab and newline, what reorders or breaks a line unseen, and what no XML may hold."""


def clean(text: object) -> str:
    """Foreign text (SQL, names, errors) without what a terminal, a browser or an XML parser would act on."""
    return _UNPRINTABLE.sub("\ufffd", str(text).replace("\r\n", "\n"))


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def seconds(value: float | None) -> str:
    """`18.3 ms`, `4.21 s`, `2 min 14 s`."""
    if value is None:
        return ABSENT
    if 0 < abs(value) < 0.9995:
        return f"{_digits(value * 1000)} ms"
    if abs(value) < 119.5:
        return f"{_digits(value)} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def share(ratio: float | None) -> str:
    """A ratio 0–1 as per cent: `0.84 %`."""
    return ABSENT if ratio is None else f"{_digits(ratio * 100)} %"


def rate(value: float | None) -> str:
    """Per second: `79.6/s`."""
    return ABSENT if value is None else f"{_digits(value)}/s"


def count(value: float | None) -> str:
    """`1,204`."""
    return ABSENT if value is None else _digits(value) if value != int(value) else f"{int(value):,}"


def plural(value: float | None, one: str, many: str = "") -> str:
    """`1 user`, `30 users`, `– users`."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def several(items: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    known = list(items)
    shown = ", ".join(known[:most])
    return f"{shown} and {count(len(known) - most)} more" if len(known) > most else shown


def byte_unit(most: float) -> tuple[str, int]:
    """The unit for bytes up to `most`, and what to divide by; 1024-based, as PostgreSQL's own sizes are."""
    for power, unit in enumerate(("B", "kB", "MB", "GB")):
        if most < 999.5 * 1024**power:
            return unit, 1024**power
    return "TB", 1024**4


def size(value: float | None) -> str:
    """`12.4 MB`."""
    if value is None:
        return ABSENT
    unit, divisor = byte_unit(abs(value))
    return f"{_digits(value / divisor)} {unit}"


_UNITS: dict[str, Callable[[float | None], str]] = {
    "s": seconds,
    "ms": lambda value: seconds(None if value is None else value / 1000),
    "min": lambda value: seconds(None if value is None else value * 60),
    "ratio": share,
    "%": lambda value: share(None if value is None else value / 100),
    "/s": rate,
    "": count,
    "count": count,
}


def amount(value: object, unit: str | None = "") -> str:
    """A gate's number in its unit; words and truth values stay as they are."""
    if value is None:
        return ABSENT
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value)
    words = _UNITS.get(unit or "")
    return words(value) if words else f"{count(value)} {clean(unit)}"


def pair(observed: object, limit: object, unit: str | None) -> tuple[str, str]:
    """Two numbers to be compared: told apart even where three digits would print them alike."""
    words = amount(observed, unit), amount(limit, unit)
    if words[0] == words[1] and observed != limit:
        return f"{observed} {unit or ''}".strip(), f"{limit} {unit or ''}".strip()
    return words


def between(bounds: Sequence[object] | None, unit: str | None) -> str:
    """An interval, `18.3 ms to 21 ms`; "" for none."""
    return " to ".join(amount(bound, unit) for bound in bounds or ())


def _digits(value: float) -> str:
    """Three significant digits without an exponent: `0.412`, `18.3`, `1,204`."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):.5f}".rstrip("0").rstrip(".")
