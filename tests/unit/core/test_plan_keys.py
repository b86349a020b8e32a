"""Every key of a plan file is in one table, and every flag that a file may give is among them."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.core.plan_keys import IGNORING, KEYS, SECTIONS, Key, explain_keys
from harness.load.arguments import flag_words, our_flags

PER_RUN = {"--plan", "--dry-run", "--placebo"}
"""What a person asks of one run, not of every run of a project."""


def test_no_key_and_no_flag_stands_twice() -> None:
    assert Counter(map(str, KEYS)).most_common(1)[0][1] == 1
    assert Counter(key.flag for key in KEYS if key.flag).most_common(1)[0][1] == 1


def test_every_flag_has_a_key() -> None:
    assert our_flags() - {key.flag for key in (*KEYS, IGNORING)} == PER_RUN


@pytest.mark.parametrize("key", [key for key in KEYS if key.flag], ids=str)
def test_every_key_is_the_default_of_a_flag_that_exists(key: Key) -> None:
    assert key.flag in {*our_flags(), "--host", "--users", "--spawn-rate"}


def test_every_key_is_explained() -> None:
    lines = explain_keys(flag_words()).splitlines()
    assert len(lines) == 2 + len(KEYS) + 1
    assert (
        '| `[phases] warmup` | a duration, such as "8s" or "1m30s" | `--warmup-time` | Load before'
        in "".join(lines)
    )
    assert any(line.startswith("| `[[migration]] name`") for line in lines)
    assert not [line for line in lines if line.endswith("|  |")]


def test_the_sections_are_few() -> None:
    assert (
        *("service", "load", "phases", "deploy", "migration"),
        *("verdict", "safety", "demo", "ignore"),
    ) == SECTIONS
