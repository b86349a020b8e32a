"""Blame in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.advice import advised
from harness.report.blame import Blame, blamed
from tests.unit.report import sample
from tests.unit.report.sample_evidence import SAFE_INDEX, evidence


def blame(**changes: Any) -> Blame:
    verdict = sample.red_verdict()
    found = verdict["blame"][1] | changes
    migrations = [verdict["migration"]]
    return blamed([found], migrations, advised(evidence()["advice"], migrations))[0]


def test_the_line_is_all_that_a_person_needs() -> None:
    assert blame().line == (
        "Statement 3 of revision d52e1b8cf3ea: CREATE INDEX ix_documents_public_id ON documents (public_id)."
        " ShareLock on documents: 14 sessions blocked for 62 session-seconds, longest wait 7.4 s,"
        " 310 requests affected (POST /documents, PUT /documents/[id])."
    )


def test_it_brings_its_safe_form_and_the_rule_that_explains_it() -> None:
    assert (blame().safe, blame().rule) == (SAFE_INDEX, "index-without-concurrently")
    assert (blame(advice="").safe, blame(advice="").rule) == ("", "index-without-concurrently")
    assert blame(statement=5, advice="").rule == ""


def test_another_session_at_the_root_is_named() -> None:
    assert blame().root.startswith("Root blocker: session 4711, psql, idle in transaction")
    assert blame().root.endswith("it should have had a lock_timeout.")
    assert blame(root="").root == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": None, "lock_type": "transactionid"}, "Row locks on documents: 14 sessions"),
        ({"attempts": [{}, {}, {}]}, "blocked for 62 session-seconds over 3 attempts, longest wait 7.4 s"),
        ({"mode": None, "relation": None, "lock_type": "virtualxid"}, "Locks: 14 sessions"),
        ({"requests_affected": None, "endpoints": []}, "no request is known to have suffered."),
        ({"endpoints": ["a", "b", "c", "d", "e", "f"]}, "310 requests affected (a, b, c, d and 2 more)."),
        ({"statement": None}, "A statement of the migration that is not known. ShareLock"),
    ],
)
def test_what_is_not_known_is_not_invented(changes: dict[str, Any], words: str) -> None:
    assert words in blame(**changes).line


def test_an_untraced_migration_is_blamed_as_a_whole() -> None:
    verdict = sample.red_verdict()
    untraced = {**verdict["migration"], "traced": False}
    [found] = blamed([{**verdict["blame"][1], "statement": None}], [untraced], ())
    assert found.line.startswith("The migration as a whole, which was not traced. ShareLock on documents: 14")
    [found] = blamed(
        [{**verdict["blame"][1], "statement": None, "running": "CREATE INDEX i ON t (a)"}], [untraced], ()
    )
    assert "not traced; it was seen running CREATE INDEX i ON t (a). ShareLock" in found.line


def test_it_says_what_the_requests_were_tied_by() -> None:
    assert blame(tie="traceparent").tie == "exact, by traceparent"
    assert blame(tie="overlap").tie == "by overlap in time"
    assert blame(tie="").tie == ""


def test_old_blame_has_fewer_keys() -> None:
    (old,) = blamed([{"statement": "ALTER TABLE documents"}], [], ())
    assert old.line.startswith("Statement ALTER TABLE documents. Locks: – sessions blocked for")
    assert (old.queries, old.errors, old.safe) == ((), "", "")


def test_secrets_in_queries_are_masked() -> None:
    query = {
        "query": "ALTER ROLE app PASSWORD 'hunter2'",
        "sessions": 1,
        "session_seconds": 1,
        "longest_s": 1,
    }
    assert "hunter2" not in str(blame(queries=[query], root="last query ALTER ROLE a PASSWORD 'hunter2'"))
