"""The run directory: named, written whole, and without secrets."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.events import Event, Kind
from harness.errors import UsageError
from harness.store import RunDirectory, dump_json
from harness.stored_record import read_record
from tests.fix_record import a_plan

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(a_plan(run_root=str(tmp_path / "runs")), NOW, "abc123")


def test_secrets_are_taken_out_of_logs_and_the_rest_is_left(directory: RunDirectory) -> None:
    told, quiet = directory.log("prepare"), directory.log("service")
    told.write_bytes(b"to postgresql://app:s3cr3t@db/shop\r\nas app, hunter2\xff\nAPI_KEY=abc\n")
    quiet.write_bytes(b"nothing to hide\n")
    before = quiet.stat().st_ino
    directory.mask_logs({"hunter2"})
    assert told.read_bytes() == b"to postgresql://app:***@db/shop\r\nas app, ***\xff\nAPI_KEY=***\n"
    assert (quiet.read_bytes(), quiet.stat().st_ino) == (b"nothing to hide\n", before)
    assert {file.name for file in told.parent.iterdir()} == {"prepare.log", "service.log"}


def test_a_log_that_cannot_be_masked_is_told_and_the_others_are_masked(
    directory: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    directory.log("early").mkdir()  # reading it raises an OSError, for root too
    late = directory.log("late")
    late.write_text("API_KEY=abc\n")
    directory.mask_logs(())
    assert late.read_text() == "API_KEY=***\n"
    assert "logs/early.log could not be masked (Is a directory)" in caplog.text


def test_a_full_disk_leaves_a_log_whole(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log, quiet = directory.log("prepare"), directory.log("quiet")
    log.write_text("API_KEY=abc\n")
    quiet.write_text("nothing to hide\n")
    monkeypatch.setattr(Path, "replace", full)
    directory.mask_logs(())
    assert log.read_text() == "API_KEY=abc\n"
    assert "logs/prepare.log could not be masked (No space left on device)" in caplog.text
    assert "quiet" not in caplog.text
    assert {file.name for file in log.parent.iterdir()} == {"prepare.log", "quiet.log"}


def test_secrets_are_taken_out_of_traces_which_stay_readable(directory: RunDirectory) -> None:
    trace = directory.path / "logs" / "migration-1.trace"
    records = [
        {"kind": "context_end", "error": "ArgumentError: no URL: 'postgresql//app:s3cr3t@db'", "ok": False},
        {"kind": "begin", "sql": "UPDATE t SET token = 'abc', key = 'hunter2'"},
        {"kind": "end", "error": "as hunter2"},
    ]
    trace.write_text("".join(json.dumps(record) + "\n" for record in records) + "torn hunter2")
    directory.mask_logs({"hunter2"})
    *lines, torn = trace.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "context_end", "error": "ArgumentError: no URL: 'postgresql//app:***@db'", "ok": False},
        {"kind": "begin", "sql": "UPDATE t SET token = 'abc', key = '***'"},
        {"kind": "end", "error": "as ***"},
    ]
    assert torn == "torn ***"


def test_events_hold_no_credential_and_their_statements_stay_sql(directory: RunDirectory) -> None:
    said = "Could not parse SQLAlchemy URL from string 'postgresql//app:s3cr3t@db/shop'"
    sql = "UPDATE sessions SET token = 'abc'"
    directory.append_event(Event(1.0, Kind.MIGRATION_END, {"message": said}))
    directory.append_event(Event(1.0, Kind.TRACE, {"record": {"kind": "begin", "sql": sql, "error": said}}))
    directory.close()
    end, trace = map(json.loads, (directory.path / "events.ndjson").read_text().splitlines())
    masked = said.replace("s3cr3t", "***")
    assert end["message"] == masked
    assert trace["record"] == {"kind": "begin", "sql": sql, "error": masked}


def test_a_run_directory_is_named_by_time_and_plan_and_latest_points_to_it(directory: RunDirectory) -> None:
    assert directory.run_id == "20260102T030405Z-demo-abc123"
    assert (directory.path.parent / "latest").resolve() == directory.path.resolve()
    assert directory.log("postgres").parent.is_dir()


def test_latest_moves_on(directory: RunDirectory) -> None:
    second = RunDirectory.create(a_plan(run_root=str(directory.path.parent)), NOW, "def456")
    assert (directory.path.parent / "latest").resolve() == second.path.resolve()


def test_two_runs_never_share_a_directory(directory: RunDirectory) -> None:
    with pytest.raises(UsageError, match="cannot be made") as refused:
        RunDirectory.create(a_plan(run_root=str(directory.path.parent)), NOW, "abc123")
    assert "--run-dir" in refused.value.remedy


def test_whose_the_folder_is_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(UsageError, match="cannot be made: Permission denied") as refused:
        RunDirectory.create(a_plan(run_root=str(tmp_path / "runs")), NOW, "abc123")
    owner = f"{tmp_path.stat().st_uid}:{tmp_path.stat().st_gid}"
    assert f"{tmp_path} belongs to {owner}, and this is {os.geteuid()}:" in refused.value.remedy
    assert f"export MUL_USER={owner}" in refused.value.remedy
    assert "--run-dir" in refused.value.remedy


def test_the_plan_is_kept_without_its_secrets(tmp_path: Path) -> None:
    plan = a_plan(run_root=str(tmp_path), database_url="postgresql://app:s3cr3t@127.0.0.1/shop")
    directory = RunDirectory.create(plan, NOW)
    assert "s3cr3t" not in (directory.path / "plan.json").read_text()


def test_what_is_appended_is_there_at_once(directory: RunDirectory) -> None:
    directory.append_event(Event(1.0, Kind.STOP, {"cause": "SIGINT"}))
    assert json.loads((directory.path / "events.ndjson").read_text())["cause"] == "SIGINT"
    directory.close()


def test_a_closed_directory_can_be_appended_to(directory: RunDirectory) -> None:
    for at in (1.0, 2.0):
        directory.append_event(Event(at, Kind.PHASE, {"name": "warmup"}))
        directory.close()
    assert [event.at for event in read_record(directory.path).events] == [1.0, 2.0]


def test_a_file_is_written_whole_or_not_at_all(directory: RunDirectory) -> None:
    directory.write_json("verdict.json", {"b": 1, "a": "µ"})
    assert (directory.path / "verdict.json").read_text(encoding="utf-8") == '{\n  "a": "µ",\n  "b": 1\n}\n'
    assert not list(directory.path.glob(".*"))


def test_no_number_that_is_none_is_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dump_json({"p95": float("nan")})
