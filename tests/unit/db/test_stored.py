"""What the final read learns from a database that does not hold out."""

from __future__ import annotations

import psycopg
import pytest

from harness.core.record import FinalRead
from harness.db import stored
from harness.db.stored import StoredRecords


class Dying:
    """A connection that is lost while it is read."""

    def __enter__(self) -> Dying:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, *_: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")


def test_a_database_killed_meanwhile_could_not_be_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stored, "connect", lambda *_: Dying())
    read = FinalRead("a", 1.0, ())

    documents = StoredRecords("postgresql://me:hunter2@127.0.0.1/app", "run")

    assert documents.complete(read) is read
    assert "could not be asked" in caplog.text
    assert "hunter2" not in caplog.text
