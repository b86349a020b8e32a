"""A trace is read from its lines, and says what it lacks."""

from __future__ import annotations

import json
from typing import Any

from harness.core.trace import Record, Trace, parse
from harness.core.trace_fold import build
from tests.fix_trace import BACKEND, begin, head, record, revision


def why(records: list[Record], **given: Any) -> str:
    return build(records, **given).why_incomplete or ""


def test_what_makes_a_trace_incomplete() -> None:
    whole = head()
    wrong = record("wrong_database", 1.0, expected="1:2", found="3:4")
    running = begin(1, 1.0, "SELECT 1")

    assert build(whole).complete
    assert "loaded the tracer" in why([])
    assert "Alembic was not imported" in why(whole[:1])
    assert "on_psycopg: boom" in why([*whole, record("hookfail", 1.0, where="on_psycopg", error="boom")])
    assert "501" in why(whole, seen_backends=[BACKEND, 501])
    assert "2 lines" in why(whole, unreadable=2)
    assert "3:4" in why([*whole, wrong])
    assert "SELECT 1" in why([*whole, running, record("bye", 2.0)])


def test_a_process_that_died_in_a_statement_left_a_complete_trace() -> None:
    trace = build([*head(), revision("r1", 0.9), begin(1, 1.0, "SELECT pg_sleep(600)")])

    assert trace.complete
    assert trace.statements[0].ended_mono is None
    assert trace.revisions[0].ok is None


def test_a_kind_of_record_from_a_later_tracer_is_passed_over() -> None:
    assert build([*head(), record("something_new", 1.0)]).complete


def test_a_record_that_is_not_understood_makes_the_trace_incomplete() -> None:
    said = why([*head(), {"kind": "snapshot", "mono": 1.0}])
    assert said == "1 record of the trace is not understood: snapshot (KeyError: 'process')"


def test_the_reasons_for_missing_locks_are_kept() -> None:
    trace: Trace = build([*head(), record("blind", 1.0, reason="statement_timeout below one second")])

    assert trace.complete
    assert trace.blind == ("backend 500: statement_timeout below one second",)


def test_parse_tolerates_a_torn_last_line_and_counts_others() -> None:
    good = json.dumps({"kind": "hello"})

    assert parse([good, good[:5]]) == ([{"kind": "hello"}], 0)
    assert parse([good, good[:5], good]) == ([{"kind": "hello"}] * 2, 1)
    assert parse(["7", good]) == ([{"kind": "hello"}], 1)
    assert parse([]) == ([], 0)
