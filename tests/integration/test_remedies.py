"""Statements that mend by hand what a migration left."""

from __future__ import annotations

import time

import psycopg
import pytest

from harness.db.remedies import mend
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

pytestmark = pytest.mark.integration


def test_a_statement_that_takes_too_long_is_cancelled_and_the_next_is_not_run(database: str) -> None:
    url = DatabaseUrl.parse(database)
    with pytest.raises(SetupError, match=r"^The remedy did not end within 0\.2 s\.$"):
        mend(url, ["CREATE TABLE first ()", "SELECT pg_sleep(20)", "CREATE TABLE second ()"], within_s=0.2)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT to_regclass('first') IS NULL, to_regclass('second') IS NULL")
        assert found.fetchone() == (False, True)


def test_a_cancelling_that_takes_time_is_told_as_one(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement ends before the call that cancels it does."""
    cancel = psycopg.Connection.cancel_safe

    def slow(connection: psycopg.Connection) -> None:
        cancel(connection)
        time.sleep(0.2)

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", slow)
    with pytest.raises(SetupError, match=r"^The remedy did not end within 0\.1 s\.$"):
        mend(DatabaseUrl.parse(database), ["SELECT pg_sleep(20)"], within_s=0.1)


def test_why_a_statement_failed_is_told(database: str) -> None:
    with pytest.raises(SetupError, match=r'^The remedy failed: index "missing" does not exist\.$'):
        mend(DatabaseUrl.parse(database), ["DROP INDEX missing", "DROP TABLE missing"], within_s=5)
