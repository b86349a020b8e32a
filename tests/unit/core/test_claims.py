"""What a linter claimed, beside what was measured: confirmed, not seen, or only measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core.advice import RULES, Advice
from harness.core.claims import _DANGERS, compare
from harness.core.trace import Lock, Statement

QUIET = Statement(
    n=1,
    kind="migration",
    revision="a1",
    sql="ALTER TABLE busy …",
    process=1,
    backend_pid=7,
    transaction=1,
    started_mono=1.0,
    ended_mono=2.0,
    duration_s=1.0,
    rows=None,
    sqlstate=None,
    error=None,
    lock_timeout_s=0.0,
    statement_timeout_s=0.0,
    locks=(),
    rewrites=(),
    executions=1,
    committed_mono=3.0,
)


def locking(mode: str, **measured: Any) -> Statement:
    return replace(QUIET, locks=(Lock("busy", "r", mode, 1.0, 3.0),), **measured)


def predicted(*claims: tuple[int, str], unread: Sequence[int] = ()) -> Mapping[str, Any]:
    told = [{"statement": n, "rule": rule, "level": "warning", "message": f"{rule}!"} for n, rule in claims]
    return {"tool": "squawk", "version": "2", "claims": told, "unread": unread, "error": ""}


def found(rule: str, statement: int = 1, severity: str = "finding") -> Advice:
    return Advice(rule, statement, "a1", severity, "", "", "", "", f"evidence of {rule}")


EXCLUSIVE = locking("AccessExclusiveLock")


@pytest.mark.parametrize(
    ("rule", "statement", "status"),
    [
        ("changing-column-type", locking("AccessExclusiveLock", rewrites=("busy",)), "confirmed"),
        ("changing-column-type", EXCLUSIVE, "not seen"),  # a wider varchar
        ("adding-field-with-default", EXCLUSIVE, "not seen"),
        ("require-concurrent-index-creation", locking("ShareLock"), "confirmed"),
        ("require-concurrent-index-creation", locking("ShareUpdateExclusiveLock"), "not seen"),
        ("require-concurrent-index-creation", QUIET, "not seen"),  # on a table made in this transaction
        ("disallowed-unique-constraint", EXCLUSIVE, "confirmed"),
        ("disallowed-unique-constraint", locking("ShareRowExclusiveLock"), "not seen"),
        ("constraint-missing-not-valid", locking("AccessExclusiveLock", scans=("busy",)), "confirmed"),
        ("constraint-missing-not-valid", EXCLUSIVE, "not seen"),
        ("constraint-missing-not-valid", replace(QUIET, scans=("busy",)), "not seen"),
        ("ban-concurrent-index-creation-in-transaction", replace(QUIET, sqlstate="25001"), "confirmed"),
        ("ban-concurrent-index-creation-in-transaction", QUIET, "not seen"),
        ("require-lock-timeout", EXCLUSIVE, "confirmed"),
        ("require-lock-timeout", locking("AccessExclusiveLock", lock_timeout_s=2.0), "not seen"),
        ("require-lock-timeout", locking("AccessExclusiveLock", lock_timeout_s=None), "not seen"),
        ("require-lock-timeout", QUIET, "not seen"),
        ("require-statement-timeout", EXCLUSIVE, "confirmed"),
        ("require-statement-timeout", locking("AccessExclusiveLock", statement_timeout_s=9.0), "not seen"),
        ("prefer-text-field", EXCLUSIVE, "not seen"),
        ("a-rule-of-the-next-release", EXCLUSIVE, "not seen"),
    ],
)
def test_a_claim_is_confirmed_by_what_it_names(rule: str, statement: Statement, status: str) -> None:
    [claim] = compare(predicted((1, rule)), (), [statement])
    assert (claim.tool, claim.rule, claim.statement, claim.status) == ("squawk", rule, 1, status)
    assert claim.message == f"{rule}!"


@pytest.mark.parametrize(
    ("sql", "transaction", "status"),
    [
        ("CREATE INDEX i ON busy (a)", 1, "confirmed"),
        ("CREATE INDEX i ON other (a)", 1, "not seen"),
        ("CREATE INDEX i ON busy (a)", 2, "not seen"),
        ("CREATE INDEX i ON busy (a)", None, "not seen"),
    ],
)
def test_a_lock_that_the_transaction_holds_already_counts(
    sql: str, transaction: int | None, status: str
) -> None:
    later = replace(QUIET, n=2, sql=sql, transaction=transaction, started_mono=2.5)
    [claim] = compare(predicted((2, "require-concurrent-index-creation")), (), [EXCLUSIVE, later])
    assert claim.status == status


def test_a_lock_that_a_savepoint_gave_back_does_not_count() -> None:
    given_back = replace(QUIET, locks=(Lock("busy", "r", "AccessExclusiveLock", 1.0, 1.5),))
    later = replace(QUIET, n=2, started_mono=2.0, lock_timeout_s=0.0)
    (claim,) = compare(predicted((2, "require-lock-timeout")), [], [given_back, later])
    assert claim.status == "not seen"


def test_a_finding_of_the_same_danger_confirms_and_is_not_told_twice() -> None:
    [claim] = compare(predicted((1, "ban-drop-column")), [found("drop-column")], [EXCLUSIVE])
    assert (claim.rule, claim.status) == ("ban-drop-column", "confirmed")


def test_a_note_confirms_nothing() -> None:
    [claim] = compare(predicted((1, "ban-drop-column")), [found("drop-column", severity="note")], [EXCLUSIVE])
    assert claim.status == "not seen"


def test_a_finding_on_another_statement_confirms_nothing() -> None:
    claims = compare(predicted((1, "ban-drop-column")), [found("drop-column", statement=2)], [EXCLUSIVE])
    assert [(claim.statement, claim.status) for claim in claims] == [(1, "not seen"), (2, "only measured")]


def test_a_finding_that_nobody_predicted_is_only_measured() -> None:
    advice = [found("create-partition"), found("add-column-json", severity="note"),
              found("drop-index", severity="ignored")]  # fmt: skip
    [claim] = compare(predicted(), advice, [EXCLUSIVE])
    assert (claim.tool, claim.rule, claim.status) == ("squawk", "create-partition", "only measured")
    assert claim.message == "evidence of create-partition"


def test_a_statement_the_tool_could_not_read_is_not_held_against_it() -> None:
    assert compare(predicted(unread=[1]), [found("create-partition")], [EXCLUSIVE]) == ()


def test_a_claim_about_a_statement_that_was_not_traced_is_not_seen() -> None:
    [claim] = compare(predicted((9, "require-lock-timeout")), (), [EXCLUSIVE])
    assert claim.status == "not seen"


def test_every_rule_of_advice_that_a_claim_stands_for_exists() -> None:
    known = {rule.id for rule in RULES}
    assert {rule for danger in _DANGERS.values() for rule in danger.rules} <= known


def test_no_secret_of_a_tools_message_is_told() -> None:
    told: Mapping[str, Any] = {"claims": [{"statement": 1, "rule": "x", "message": "postgres://a:s3cr3t@db"}]}
    assert [claim.message for claim in compare(told, [], [QUIET])] == ["postgres://a:***@db"]


def test_a_damaged_prediction_costs_no_verdict() -> None:
    damaged: Mapping[str, Any] = {"claims": [{"statement": 1}, {"statement": "1", "rule": "x"}, "x", None]}
    assert compare(damaged, [], [EXCLUSIVE]) == ()
