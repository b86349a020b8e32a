"""The server's log: what it says of locks, deadlocks and errors, in each of its formats."""

from __future__ import annotations

import csv
import io
import json
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock
from zoneinfo import ZoneInfo

import psycopg
import pytest

from harness.core.observation import LogEntry
from harness.db.log_messages import CsvLog, JsonLog, LogFormat, StderrLog, shorten
from harness.db.server_log import LogTail, fold_repeats, open_log, zone_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()

DEADLOCK = """\
2026-01-31 12:00:01.500 UTC [38] 40P01 -58 "my "app" [1] " ERROR:  deadlock detected
2026-01-31 12:00:01.500 UTC [38] 40P01 -58 "my "app" [1] " DETAIL:  Process 38 waits for ShareLock on \
transaction 754; blocked by process 35.
\tProcess 35 waits for AccessExclusiveLock on relation 16384 of database 5; blocked by process 38.
\tProcess 38: update t
\t set v=3 where id=1
\tProcess 35: ALTER TABLE t ADD c int
2026-01-31 12:00:01.500 UTC [38] 40P01 -58 "my "app" [1] " HINT:  See server log for query details.
2026-01-31 12:00:01.500 UTC [38] 40P01 -58 "my "app" [1] " CONTEXT:  while updating tuple (0,1)
2026-01-31 12:00:01.500 UTC [38] 40P01 -58 "my "app" [1] " STATEMENT:  update t
\t set v=3 where id=1
"""


def line(text: str, severity: str = "LOG", sqlstate: str = "00000", pid: int = 38) -> str:
    return f'2026-01-31 12:00:01.500 UTC [{pid}] {sqlstate} 0 "psql" {severity}:  {text}\n'


def read(text: str, parser: LogFormat | None = None) -> list[LogEntry]:
    """The entries of a log that grows by seven bytes at a time."""
    parts: Iterator[bytes] = iter([text.encode()[i : i + 7] for i in range(0, len(text.encode()), 7)])
    tail = LogTail(lambda: next(parts, b""), parser or StderrLog(UTC), "shop")
    found: list[LogEntry] = []
    for _ in range(len(text.encode()) // 7 + 1):
        found += tail.entries(NOON)
    return found + tail.last(NOON)


def test_both_sides_of_a_deadlock_are_named_the_victim_first() -> None:
    (entry,) = read(DEADLOCK)
    assert (entry.kind, entry.at, entry.sqlstate, entry.pids) == ("deadlock", 1.5, "40P01", (38, 35))
    assert entry.queries == ("update t\n set v=3 where id=1", "ALTER TABLE t ADD c int")
    assert (entry.application, entry.relation) == ('my "app" [1] ', "16384")


@pytest.mark.parametrize(
    ("text", "kind", "wait_s", "relation"),
    [
        ("still waiting for RowExclusiveLock on relation 7 of database 5 after 1000.623 ms at character 8",
         "lock_wait", 1.000623, "7"),
        ("acquired ExclusiveLock on tuple (0,1) of relation 7 of database 5 after 1503.356 ms",
         "lock_acquired", 1.503356, "7"),
        ("acquired ShareLock on virtual transaction 3/14 after 2000.001 ms", "lock_acquired", 2.000001, None),
    ],
)  # fmt: skip
def test_a_long_wait_is_logged_twice(text: str, kind: str, wait_s: float, relation: str | None) -> None:
    (entry,) = read(line(f"process 38 {text}") + line("UPDATE t", "STATEMENT"))
    assert (entry.kind, entry.wait_s, entry.pids, entry.relation) == (kind, wait_s, (38,), relation)
    assert entry.query == "UPDATE t"


def test_an_error_comes_with_its_sqlstate_and_statement() -> None:
    (entry,) = read(line("division by zero", "ERROR", "22012") + line("SELECT 1/0", "STATEMENT", "22012"))
    assert (entry.kind, entry.sqlstate, entry.message) == ("error", "22012", "division by zero")
    assert (entry.query, entry.pid, entry.application) == ("SELECT 1/0", 38, "psql")


def test_the_end_of_a_session_is_fatal() -> None:
    text = "terminating connection due to administrator command"
    (entry,) = read(line(text, "FATAL", "57P01"))
    assert (entry.kind, entry.sqlstate, entry.message) == ("fatal", "57P01", text)


def test_what_else_is_logged_is_left_out() -> None:
    other = line("checkpoint starting: time") + line("careful", "WARNING", "01000") + "a stray line\n"
    assert read(other) == []


def test_a_statement_cannot_forge_a_message() -> None:
    forged = line("division by zero", "ERROR", "22012") + line("SELECT 1/0 --", "STATEMENT", "22012")
    forged += "\t" + line("deadlock detected", "ERROR", "40P01")
    assert [entry.kind for entry in read(forged)] == ["error"]


def csv_record(message: str, severity: str, sqlstate: str, statement: str, database: str = "shop") -> str:
    row = ["2026-01-31 13:00:01.500 CET", "app", database, "38", *[""] * 7, severity, sqlstate, message]
    row += ["", "", "", "", "", statement, "", "", "psql", "client backend", "", "0"]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def test_csvlog_is_read_with_line_breaks_quotes_and_its_own_zone() -> None:
    record = csv_record("division by zero", "ERROR", "22012", 'SELECT "a"\n/ 0')
    (entry,) = read(record, CsvLog(ZoneInfo("Europe/Berlin")))
    assert (entry.kind, entry.at, entry.query) == ("error", 1.5, 'SELECT "a"\n/ 0')


def test_utc_is_known_without_a_database_of_time_zones_and_another_zone_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert zone_of("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    monkeypatch.setitem(sys.modules, "tzdata", None)
    ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[])
    try:
        assert (zone_of("UTC"), zone_of("Europe/Berlin")) == (UTC, None)
    finally:
        zoneinfo.reset_tzpath()


def test_another_databases_messages_are_left_out() -> None:
    assert (
        read(csv_record("no", "ERROR", "22012", "SELECT", "other"), CsvLog(ZoneInfo("Europe/Berlin"))) == []
    )


def test_jsonlog_is_read() -> None:
    said = {
        "timestamp": "2026-01-31 12:00:01.500 UTC",
        "pid": 38,
        "dbname": "shop",
        "error_severity": "LOG",
        "message": "process 38 acquired ShareLock on transaction 9 after 1500.000 ms",
        "statement": "UPDATE t",
        "application_name": "psql",
    }
    (entry,) = read(json.dumps(said) + "\n", JsonLog(UTC))
    assert (entry.kind, entry.wait_s, entry.query) == ("lock_acquired", 1.5, "UPDATE t")


def test_the_same_error_a_hundred_times_is_one_entry() -> None:
    errors = read(line("no column c", "ERROR", "42703") * 100 + line("division by zero", "ERROR", "22012"))
    assert [(entry.sqlstate, entry.count) for entry in fold_repeats(errors)] == [("42703", 100), ("22012", 1)]


@pytest.mark.parametrize(("version", "named"), [(150018, True), (160000, False)])
def test_the_grants_for_the_log_are_those_that_the_servers_version_wants(version: int, named: bool) -> None:
    connection = MagicMock()
    connection.info.user, connection.info.server_version = "app", version
    connection.execute.side_effect = psycopg.errors.InsufficientPrivilege
    log, why = open_log(None, connection)
    assert log is None
    assert 'GRANT pg_monitor TO "app";' in why
    assert ('GRANT EXECUTE ON FUNCTION pg_current_logfile(text) TO "app";' in why) is named


def test_a_log_that_is_not_there_is_not_read(tmp_path: Path) -> None:
    log, why = open_log(str(tmp_path / "postgres.log"), cast("psycopg.Connection", None))
    assert log is None
    assert why == "The server's log postgres.log cannot be read: No such file or directory."


def test_a_long_query_keeps_the_comment_at_its_end() -> None:
    short = shorten("SELECT " + "x" * 10_000 + "/*traceparent='00-1-2-01'*/")
    assert len(short) < 4000
    assert short.endswith("/*traceparent='00-1-2-01'*/")
