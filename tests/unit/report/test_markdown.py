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
        "| ✘ fail | stall | <code>stall{phase=migrate} &#60;= 1s</code> | 9.31 s |  | 1 s | 898 |"
        " worst from 30.4 s to 35.4 s |"
    ) in text
    assert "| 8.94 s | 8.71 s to 9.02 s | 105 ms |" in text
    assert (
        "| migrate | 11.2 s | 898 | 80/s | 80.1/s | 31.2/s | 2.1 % | 3.58 s | 8.94 s | 10.7 s | 13.4 s |"
        " 17.1 ms | 9.83 s | 9.31 s |"
    ) in text
    assert "- **Ledger**: 1,204 acknowledged writes" in text


def test_every_row_of_a_table_has_its_columns_whatever_the_texts() -> None:
    for block in re.findall(r"(?:^\|.*\n)+", markdown.render(hostile()), re.MULTILINE):
        pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(pipes) == 1


def test_hostile_texts_stay_texts() -> None:
    text = markdown.render(hostile())
    assert set(re.findall(r"</?\w+", text)) == {"<code", "</code", "<pre", "</pre"}
    assert not re.search(r"(?<!\\)`|(?<!\\)\[|@|\(http://|\x1b", text)
    assert len(re.findall("^## ", text, re.MULTILINE)) == 1


def test_blame_and_findings_are_told() -> None:
    text = markdown.render(sample.red())
    assert "**statement 1 of revision c41f0a7be2d9: ALTER TABLE documents ADD COLUMN" in text
    assert "10 sessions blocked for 84.1 session-seconds, longest wait 9.17 s, 612 requests affected" in text
    assert "<pre><code>op.add&#95;column" in text
    assert "Why: <code>harness explain add-column-volatile-default</code>" in text
    assert "- **index-without-concurrently**, statement 3: Every request" in text
    assert "- 1 note in the report" in text
    assert "- **Red:** invalid index ix\\_documents\\_slug: new" in text
    assert "- 7 × cached plan must not change result type" in text
    assert "- Predicted by squawk: 1 confirmed" in text


def test_a_bare_www_is_no_link() -> None:
    text = markdown.render(sample.view_of(sample.green_verdict() | {"limits": ["see www.evil.example"]}))
    assert "- Limit: see www\\.evil.example" in text


def test_the_statements_of_several_migrations_are_told_apart() -> None:
    text = markdown.render(sample.several())
    assert "| shop: 0002 |" in text.replace("\\", "")
    assert "| billing: 0002 |" in text.replace("\\", "")
