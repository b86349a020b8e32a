"""The schema, classes of errors and claims in words."""

from __future__ import annotations

from harness.report.evidence import (
    claims_of,
    claims_sentence,
    errors_of,
    provenance_sentence,
    schema_findings,
)
from tests.unit.report import sample
from tests.unit.report.sample_evidence import evidence

MIGRATIONS = [sample.red_verdict()["migration"]]


def test_red_schema_findings_come_first() -> None:
    first, second = schema_findings(evidence()["catalog"])
    assert (first.red, second.red) == (True, False)
    assert first.sentence == (
        "invalid index ix_documents_slug: new, and INVALID: it still costs writes."
        " Mend it by hand and see why."
    )
    assert schema_findings(None) == ()


def test_a_finding_of_the_rollback_says_so() -> None:
    (found,) = schema_findings({"findings": [{"kind": "lost_grant", "relation": "a", "phase": "rollback"}]})
    assert found.kind == "lost grant after the rollback"


def test_an_error_class_tells_its_code_phase_endpoints_and_statement() -> None:
    plan, pool = errors_of(evidence()["errors"], MIGRATIONS)
    assert plan.sentence == (
        "7 × cached plan must not change result type (SQLSTATE 0A000) in migrate at GET /documents,"
        " GET /documents/[id], because of statement 2 (the running release prepared its statements before"
        " the column's type changed)."
    )
    assert plan.statement.startswith("statement 2 of revision c41f0a7be2d9: ALTER TABLE transfers")
    assert pool.sentence.startswith("3 × pool exhausted in migrate at POST /transfers (requests to")


def test_claims_are_counted_by_their_status() -> None:
    claims = claims_of(evidence()["claims"], MIGRATIONS)
    assert claims_sentence(claims) == "1 confirmed, 1 not seen under this load, 1 only measured"
    assert [claim.key for claim in claims] == ["fail", "not_applicable", "inconclusive"]


def test_the_marks_of_provenance_are_explained() -> None:
    words = provenance_sentence({"interval_s": 0.05})
    assert "seen in pg_locks every 50 ms, so a wait is known within 50 ms" in words
    assert "seen in pg_locks; inferred" in provenance_sentence(None)


def test_what_was_found_in_one_of_several_names_it() -> None:
    finding = {"kind": "invalid_index", "relation": "i", "what": "it is invalid", "migration": "billing"}
    (found,) = schema_findings({"findings": [finding]})
    assert found.sentence == "invalid index in billing i: it is invalid."
    error = {"name": "undefined column", "phase": "migrate", "statement": ["b2", 1], "migration": "billing"}
    statements = [{"n": 1, "revision": "b2", "sql": "DROP TABLE t"}]
    both = [{"name": name, "direction": "upgrade", "statements": statements} for name in ("shop", "billing")]
    (told,) = errors_of([error], both)
    assert "because of statement 1 in billing" in told.sentence
    assert told.statement == "statement 1 of revision b2 in billing: DROP TABLE t"
