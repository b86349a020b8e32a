"""The gates over isolation: leaks and forged tokens."""

from __future__ import annotations

import pytest

from harness.core.record import Probe
from tests.fix_gates import result
from tests.fix_record import a_record, forged_tokens


def test_isolation_without_a_refusal_was_not_probed() -> None:
    seen = result(a_record(probes=()), "leaks")
    assert (seen.status, seen.why) == (
        "inconclusive",
        "no probe of a record was refused: isolation was not probed",
    )


@pytest.mark.parametrize(
    ("probes", "status", "why"),
    [
        (forged_tokens(before="accepted"), "fail", "ada: alg none, alg none: HTTP 200"),
        ((), "inconclusive", "none was tried: no account was probed"),
        (
            (Probe(10.0, "ada", "forged_signature", "not_tried", "the account holds no token"),),
            "inconclusive",
            "none was tried: the account holds no token",
        ),
        (
            forged_tokens(before="error", after="error"),
            "inconclusive",
            "all 2 that were tried say nothing: alg none: HTTP 200",
        ),
        (forged_tokens()[:1], "inconclusive", "none was tried after the migration"),
        (forged_tokens(before="error"), "pass", ""),
    ],
)
def test_forged_tokens_are_judged_by_what_was_tried(probes: tuple[Probe, ...], status: str, why: str) -> None:
    seen = result(a_record(probes=probes), "forged_tokens")
    assert (seen.status, seen.why) == (status, why)


def test_foreign_reads_that_all_fail_prove_nothing() -> None:
    record = a_record(probes=(Probe(30.0, "ada", "foreign_read", "error"),))
    assert result(record, "leaks").status == "inconclusive"
