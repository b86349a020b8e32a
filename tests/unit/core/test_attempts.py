"""Which statements are further attempts at one that gave up."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.migrations import migrations_of
from tests.fix_record import events
from tests.fix_trace import statement_records, trace_of

ALTER = "ALTER TABLE documents ADD COLUMN flag boolean"
UPDATE = "UPDATE documents SET flag = false"


def attempts(*statements: list[dict[str, Any]]) -> list[int | None]:
    (found,) = migrations_of(events(trace=trace_of(*statements), ended_at=36.1))
    return [statement.attempt_of for statement in found.trace.migration_statements]


def gave_up(k: int, at: float, sql: str = ALTER, sqlstate: str = "55P03") -> list[dict[str, Any]]:
    return statement_records(sql, at, at + 0.3, k=k, sqlstate=sqlstate)


def done(k: int, at: float, sql: str = ALTER) -> list[dict[str, Any]]:
    return statement_records(sql, at, at + 0.1, k=k, commit_at=at + 0.2)


@pytest.mark.parametrize("sqlstate", ["55P03", "40P01", "57014"])
def test_each_attempt_names_the_first(sqlstate: str) -> None:
    tries = (gave_up(1, 27.0, sqlstate=sqlstate), gave_up(2, 28.0, sqlstate=sqlstate), done(3, 29.0))
    assert attempts(*tries) == [None, 1, 1]


def test_blanks_make_no_other_statement_and_other_text_does() -> None:
    assert attempts(gave_up(1, 27.0), done(2, 28.0, ALTER.replace(" ", "\n "))) == [None, 1]
    assert attempts(gave_up(1, 27.0), done(2, 28.0, UPDATE)) == [None, None]


def test_what_succeeded_is_not_tried_again() -> None:
    assert attempts(done(1, 27.0, UPDATE), done(2, 28.0, UPDATE)) == [None, None]  # batches
    assert attempts(gave_up(1, 27.0), done(2, 28.0), done(3, 29.0)) == [None, 1, None]


def test_another_error_is_no_attempt_that_gave_up() -> None:
    assert attempts(gave_up(1, 27.0, sqlstate="42P01"), done(2, 28.0)) == [None, None]


def test_what_was_rolled_back_with_one_that_gave_up_is_tried_again_too() -> None:
    before = statement_records(UPDATE, 27.0, 27.2, k=1)
    assert attempts(before, gave_up(2, 27.3), done(3, 28.0, UPDATE), done(4, 29.0)) == [None, None, 1, 2]


def killed(k: int, at: float, sql: str, process: int = 77) -> list[dict[str, Any]]:
    return statement_records(sql, at, at + 0.1, k=k, process=process)


def again(k: int, at: float, sql: str) -> list[dict[str, Any]]:
    return statement_records(sql, at, at + 0.1, k=k, commit_at=at + 0.2, process=78)


def test_what_was_rolled_back_as_its_process_was_killed_is_tried_again_by_the_next() -> None:
    assert attempts(killed(1, 27.0, UPDATE), killed(2, 27.2, ALTER), again(1, 28.0, UPDATE)) == [
        None,
        None,
        1,
    ]
    thrice = killed(1, 27.0, UPDATE), killed(1, 28.0, UPDATE, process=79), again(1, 29.0, UPDATE)
    assert attempts(*thrice) == [None, 1, 1]


def test_what_two_processes_do_at_the_same_time_are_no_attempts_at_one() -> None:
    assert attempts(killed(1, 27.0, UPDATE), again(1, 27.5, UPDATE), killed(2, 28.0, ALTER)) == [
        None,
        None,
        None,
    ]


def test_what_stayed_committed_is_not_tried_again_by_the_next() -> None:
    assert attempts(done(1, 27.0, UPDATE), killed(2, 27.5, ALTER), again(1, 28.0, UPDATE)) == [
        None,
        None,
        None,
    ]


def test_the_same_statement_twice_in_one_process_is_done_twice() -> None:
    assert attempts(killed(1, 27.0, UPDATE), killed(2, 27.5, UPDATE)) == [None, None]
