"""Durations as people write and read them."""

from __future__ import annotations

import pytest

from harness.core.durations import format_duration, parse_duration
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("1.5", 1.5),
        (" 1 min 5 s ", 65.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 parsecs", "-1s", "1s2", "1,5s", "nan"])
def test_anything_else_is_refused_by_the_name_of_its_flag(text: str) -> None:
    with pytest.raises(UsageError, match=r"--warmup-time: .* is not a duration") as refused:
        parse_duration(text, "--warmup-time")
    assert "1m30s" in refused.value.remedy


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.9994, "999 ms"), (1.0, "1.00 s"), (59.99, "59.99 s"), (60, "1 min 0 s")],
)
def test_a_duration_is_told(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
