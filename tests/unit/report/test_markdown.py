"""The summary of a CI job."""

from __future__ import annotations

import re

from harness.report import markdown
from tests.unit.report import sample
from tests.unit.report.hostile import hostile


def test_the_summary_begins_with_the_verdict_and_its_cause() -> None:
    lines = markdown.render(sample.red()).splitlines()
    assert lines[0] == "## ✘ FAIL: Upgrade to unsafe&#64;head, the reference service under load"
    assert lines[2].startswith(
        "throughput is 31.2/s, the limit is 75.5/s. Also red: latency, stall, ws\\_delivery"
    )


def test_numbers_and_gates_read_as_written() -> None:
    text = markdown.render(sample.red())
    assert (
        "| ✘ fail | stall | <code>stall{phase=migrate} &#60;= 1s</code> | 9.31 s | 1 s | 898 |"
        " worst from 30.4 s to 35.4 s |"
    ) in text
    assert "| migrate | 11.2 s | 898 | 31.2/s | 2.1 % | 3.58 s | 8.94 s | 10.7 s | 13.4 s | 9.31 s |" in text
    assert "- **Ledger**: 1,204 acknowledged writes" in text


def test_every_row_of_a_table_has_its_columns_whatever_the_texts() -> None:
    for block in re.findall(r"(?:^\|.*\n)+", markdown.render(hostile()), re.MULTILINE):
        pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(pipes) == 1


def test_hostile_texts_stay_texts() -> None:
    text = markdown.render(hostile())
    assert set(re.findall(r"</?\w+", text)) == {"<code", "</code"}
    assert not re.search(r"(?<!\\)`|(?<!\\)\[|@|\(http://|\x1b", text)
    assert len(re.findall("^## ", text, re.MULTILINE)) == 1


def test_a_bare_www_is_no_link() -> None:
    text = markdown.render(sample.view_of(sample.green_verdict() | {"limits": ["see www.evil.example"]}))
    assert "- Limit: see www\\.evil.example" in text
