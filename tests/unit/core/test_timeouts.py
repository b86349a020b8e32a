"""Timeouts as PostgreSQL writes them, and contradictions between those of one migration."""

from __future__ import annotations

import pytest

from harness.core.timeouts import check_timeouts, timeout_s
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("250", 0.25), ("500ms", 0.5), ("2 s", 2.0), ("1min", 60.0), ("0", 0.0)]
)
def test_a_timeout_is_read_as_postgresql_reads_it(text: str, seconds: float) -> None:
    assert timeout_s(text) == seconds


@pytest.mark.parametrize(
    ("lock", "statement", "deadline_s"),
    [(None, None, 1.0), ("2s", "10s", 60.0), ("2s", "0", 60.0), ("0", "2s", 1.0), (None, "2s", 60.0)],
)
def test_timeouts_that_go_together_pass(lock: str | None, statement: str | None, deadline_s: float) -> None:
    check_timeouts(lock, statement, deadline_s)


@pytest.mark.parametrize(
    ("lock", "statement", "deadline_s", "words"),
    [
        ("soon", None, 60.0, "--lock-timeout is 'soon'"),
        (None, "5 s; DROP TABLE t", 60.0, "--statement-timeout is"),
        ("10s", "10s", 60.0, "--lock-timeout 10s is not shorter than --statement-timeout 10s"),
        ("1min", None, 60.0, "--migration-deadline 1 min 0 s is over before --lock-timeout 1min"),
    ],
)
def test_a_contradiction_names_its_flags(
    lock: str | None, statement: str | None, deadline_s: float, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        check_timeouts(lock, statement, deadline_s)
    assert refused.value.remedy
