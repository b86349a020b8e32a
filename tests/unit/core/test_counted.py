"""A number with the words that agree with it."""

from __future__ import annotations

import pytest

from harness.core.counted import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_200, "1,200 rows")]
)
def test_the_noun_agrees(number: int, said: str) -> None:
    assert counted(number, "row") == said


def test_words_of_their_own_agree() -> None:
    said = [counted(number, "account was lost", "accounts were lost") for number in (1, 3)]
    assert said == ["1 account was lost", "3 accounts were lost"]
