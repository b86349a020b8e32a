"""Isolation is counted from probes, with checked reads as the positive control."""

from __future__ import annotations

from harness.core.isolation import judge_isolation
from harness.core.record import Probe


def a_probe(outcome: str, probe: str = "foreign_read", detail: str = "") -> Probe:
    return Probe(1.0, "ada", probe, outcome, detail)


def test_no_probes_are_no_leaks() -> None:
    found = judge_isolation(7, [])
    assert (found.reads_checked, found.probes, found.leaks) == (7, 0, 0)


def test_outcomes_of_foreign_reads_are_counted() -> None:
    found = judge_isolation(0, [a_probe("refused"), a_probe("refused"), a_probe("leaked"), a_probe("error")])
    assert (found.probes, found.refused, found.leaks, found.errors) == (4, 2, 1, 1)


def test_a_wrong_canary_is_a_leak_but_no_probe() -> None:
    found = judge_isolation(1, [a_probe("leaked", "canary", "GET /documents showed bob")])
    assert (found.probes, found.leaks) == (0, 1)
    assert found.examples == ("ada: GET /documents showed bob",)


def test_only_the_first_leaks_are_told() -> None:
    found = judge_isolation(1, [a_probe("leaked")] * 9)
    assert (found.leaks, len(found.examples)) == (9, 5)
