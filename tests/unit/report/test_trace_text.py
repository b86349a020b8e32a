"""The text of `harness trace`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from harness.report.trace_text import render_trace
from tests.unit.report import sample
from tests.unit.report.hostile import HOSTILE
from tests.unit.report.sample_evidence import evidence


def printed(migration: Mapping[str, Any], width: int = 100) -> str:
    output = io.StringIO()
    render_trace(migration, Console(file=output, width=width, no_color=True))
    return output.getvalue()


@pytest.fixture(scope="module")
def text() -> str:
    return printed(sample.red_verdict()["migration"] | {"findings": evidence()["advice"]})


@pytest.mark.parametrize(
    "words",
    [
        "v1 → d52e1b8cf3ea (asked for: unsafe@head): reached its target",
        "Revision c41f0a7be2d9\n   1        ALTER TABLE documents ADD COLUMN public_id",
        "  took      3.12 s, and the tracer 2.1 ms after it",
        "  locks     AccessExclusiveLock on documents_pkey (index of documents), held 9.22 s",
        "  blocks    INSERT, UPDATE, DELETE on documents",
        "  locks     none but on what its transaction made or held already",
        "            rewrites documents",
        "            reads all of documents",
        "  WAL       46.2 MB",
        "  timeouts  lock none, statement none, idle 60 s",
        "  advice    index-without-concurrently: Every request",
        "\n    with op.get_context().autocommit_block():\n        op.create_index(\n",
        "  advice    whole-table-update (ignored: a table of 200 rows): Every",
    ],
)
def test_each_statement_tells_what_it_did(text: str, words: str) -> None:
    assert words in text


def test_advice_stands_by_its_statement(text: str) -> None:
    third = text[text.index("   3  ") : text.index("   4  ")]
    assert "index-without-concurrently" in third
    assert "add-column-volatile-default" not in third


def test_a_note_does_not_look_like_a_finding() -> None:
    notes = [advice | {"severity": "note"} for advice in evidence()["advice"]]
    text = printed(sample.red_verdict()["migration"] | {"findings": notes})
    assert "  note      index-without-concurrently: Every request" in text
    assert "  advice  " not in text


@pytest.mark.parametrize(("begun", "said"), [(None, True), ("v1", False)])
def test_from_an_empty_database_it_says_why_there_is_no_advice(begun: str | None, said: bool) -> None:
    text = printed(sample.red_verdict()["migration"] | {"from": begun})
    assert ("The database was empty." in text) is said


def test_a_migration_without_statements_says_so() -> None:
    assert printed({"status": "ok"}).splitlines() == [
        "– → –: reached its target",
        "No statement of a revision was traced.",
    ]


def test_foreign_texts_stay_texts() -> None:
    statement = sample.red_verdict()["migration"]["statements"][0]
    told = {"statements": [statement | {"sql": HOSTILE, "revision": HOSTILE, "rewrites": [HOSTILE]}]}
    advice = evidence()["advice"][1] | {"safe": HOSTILE, "rule": HOSTILE, "revision": HOSTILE}
    text = printed(told | {"findings": [advice]}, width=4000)
    assert "\x1b" not in text
    assert text.count("[red]r[/red]") == 5
