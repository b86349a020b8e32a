"""Whether every version table is where the migration was to leave it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.core.reached import reached


@pytest.mark.parametrize(
    ("direction", "expected", "tables", "answer"),
    [
        ("upgrade", {"b2"}, [["b2"]], True),
        ("upgrade", {"b2"}, [["b2", "k1"]], True),  # another branch
        ("upgrade", {"b2"}, [["a1"]], False),
        ("upgrade", {"b2"}, [[]], False),
        ("upgrade", {"b2"}, [["b2"], ["a1"]], False),  # one schema was left behind
        ("upgrade", {"b2"}, [["b2"], ["b2"]], True),
        ("upgrade", {"b2"}, [["b2"], None], None),
        ("upgrade", {"b2"}, [None, []], False),
        ("upgrade", {"b2"}, [], None),
        ("downgrade", {"a1"}, [["a1"]], True),
        ("downgrade", {"a1"}, [["a1", "k1"]], False),
        ("downgrade", set(), [[]], True),
        ("downgrade", set(), [None], None),
    ],
)
def test_reached(
    direction: str, expected: set[str], tables: Sequence[Sequence[str] | None], answer: bool | None
) -> None:
    assert reached(direction, expected, tables) is answer
