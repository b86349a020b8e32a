"""Advice in words."""

from __future__ import annotations

from harness.report.advice import advised, code
from tests.unit.report import sample
from tests.unit.report.sample_evidence import evidence


def test_findings_come_before_notes_and_notes_before_what_is_ignored() -> None:
    found = advised(reversed(evidence()["advice"]), [sample.red_verdict()["migration"]])
    assert [advice.severity for advice in found] == ["finding", "finding", "note", "ignored"]
    assert found[1].statement.startswith("statement 3 of revision d52e1b8cf3ea: CREATE INDEX")
    assert found[-1].reason == "a table of 200 rows"


def test_a_sentence_says_where_and_what_comes_of_it() -> None:
    (advice,) = advised([{"rule": "r", "statement": 4, "consequence": "It hurts.", "severity": "new"}], [])
    assert (advice.severity, advice.sentence) == ("note", "statement 4: It hurts.")


def test_code_keeps_its_lines_and_loses_common_indentation() -> None:
    assert code("\n    with a:\n        b()\x1b[2J\n") == "with a:\n    b()\ufffd[2J"
    assert code(None) == ""
