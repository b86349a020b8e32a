"""The pure parts of the tracer: what the text of a statement says."""

from __future__ import annotations

import ast
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness.db
from harness.db.tracer.mul_tracer import channel, on_alembic, sql
from harness.db.tracer.mul_tracer.channel import Channel

FOLDER = Path(harness.db.__file__).parent / "tracer"


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.name)
def test_it_is_written_for_old_interpreters_and_without_libraries(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))

    allowed = {"psycopg2", "mul_tracer"}
    standard = set(__import__("sys").stdlib_module_names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= standard | allowed
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] in standard | allowed


def test_nothing_else_lies_in_the_folder_that_goes_on_their_path() -> None:
    assert {found.name for found in FOLDER.iterdir()} - {"__pycache__"} == {"mul_tracer", "sitecustomize.py"}


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("BEGIN", "begin"),
        ("BEGIN ISOLATION LEVEL READ COMMITTED;", "begin"),
        ("start transaction read only", "begin"),
        ("COMMIT;", "commit"),
        ("/* end of it */ END", "commit"),
        ("ROLLBACK", "rollback"),
        ("ROLLBACK TO SAVEPOINT a", "rollback_to"),
        ("rollback to a", "rollback_to"),
        ("SAVEPOINT a", "savepoint"),
        ("RELEASE SAVEPOINT a", "release"),
        ("COMMIT PREPARED 'x'", None),
        ("SELECT 1", None),
        ("SAVEPOINT a; SELECT 1", None),
        ("", None),
    ],
)
def test_transaction_commands(text: str, command: str | None) -> None:
    assert sql.transaction_command(text) == command


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("ALTER TABLE a ADD b int", True),
        ("SET LOCAL lock_timeout = '5s'", False),
        ("-- first\n/* second */ SET x = 1", False),
        ("SET a = 1; SET b = 2", False),
        ("SET a = 1; ALTER TABLE a ADD b int", True),
        ("LOCK TABLE a", False),
        ("settle_accounts()", True),
    ],
)
def test_no_snapshot_where_set_transaction_may_still_follow(text: str, allowed: bool) -> None:
    assert sql.allows_snapshot(text) is allowed


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("SET statement_timeout = '500ms'", True),
        ("SET statement_timeout = 1", True),
        ("SET LOCAL statement_timeout TO 900", True),
        ("SET statement_timeout = '5s'", False),
        ("SET statement_timeout = 0", False),
        ("SET statement_timeout TO DEFAULT", False),
        ("SET lock_timeout = '1ms'", False),
        ("SELECT set_config('statement_timeout', '10ms', true)", True),
        ("SELECT set_config('statement_timeout', my_value, true)", True),
    ],
)
def test_when_a_query_of_ours_could_be_cancelled(text: str, small: bool) -> None:
    assert sql.makes_statement_timeout_small(text) is small


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        ("0", 0.0),
        ("250ms", 0.25),
        ("5s", 5.0),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("often", None),
        (None, None),
    ],
)
def test_settings_in_seconds(setting: str | None, seconds: float | None) -> None:
    assert sql.seconds(setting) == seconds


def test_repeats_share_their_text_without_literals() -> None:
    first = sql.repeat_key("UPDATE t\n SET x = 'it''s' WHERE id BETWEEN 1 AND 1000")
    second = sql.repeat_key("UPDATE t SET x = '' WHERE id BETWEEN 1001 AND 2000")

    assert first == second == "UPDATE t SET x = ? WHERE id BETWEEN ? AND ?"
    assert sql.repeat_key("ALTER TABLE t ADD x int") is None


def test_passwords_are_masked() -> None:
    assert sql.masked("CREATE ROLE a LOGIN PASSWORD 'se''cret' VALID UNTIL 'x'") == (
        "CREATE ROLE a LOGIN PASSWORD '***' VALID UNTIL 'x'"
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ALTER ROLE a PASSWORD $$s3cret$$ LOGIN", "ALTER ROLE a PASSWORD '***' LOGIN"),
        ("ALTER ROLE a PASSWORD $p$s3$$cret$p$ LOGIN", "ALTER ROLE a PASSWORD '***' LOGIN"),
        (r"ALTER ROLE a PASSWORD E's3\'cret' LOGIN", "ALTER ROLE a PASSWORD '***' LOGIN"),
        ("ALTER ROLE a PASSWORD 's3cr", "ALTER ROLE a PASSWORD '***'"),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=s3cret' PUBLICATION p",
            "CREATE SUBSCRIPTION s CONNECTION '***' PUBLICATION p",
        ),
        ("ALTER ROLE a PASSWORD /* new */ 's3cret'", "ALTER ROLE a PASSWORD /* new */ '***'"),
        (
            "DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''s3cret'' LOGIN'; END $$",
            "DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD '***' LOGIN'; END $$",
        ),
        ("SELECT dblink('postgresql://a:s3cret@h/d', '…')", "SELECT dblink('postgresql://a:***@h/d', '…')"),
        ("ALTER TABLE a ADD password text DEFAULT 'x'", "ALTER TABLE a ADD password text DEFAULT 'x'"),
    ],
)
def test_every_way_to_write_a_password_is_masked(text: str, masked: str) -> None:
    assert sql.masked(text) == masked


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("SET lock_timeout = '50ms'", True),
        ("SET LOCAL lock_timeout TO 99", True),
        ("SET lock_timeout = '100ms'", False),
        ("SET lock_timeout = 0", False),
        ("SET statement_timeout = '1ms'", False),
    ],
)
def test_when_a_query_of_ours_could_not_wait_for_a_lock(text: str, small: bool) -> None:
    assert sql.makes_lock_timeout_small(text) is small


def test_a_record_that_was_lost_is_said_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel(str(tmp_path / "trace"))
    write = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    channel.write(b'{"kind":"begin"}\n')
    monkeypatch.setattr(os, "write", write)
    channel.write(b'{"kind":"end"}\n')
    channel.write(b'{"kind":"bye"}\n')

    records = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert [record["kind"] for record in records] == ["hookfail", "end", "bye"]
    assert records[0]["where"] == "channel"
    assert "No space left" in records[0]["error"]


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:5]))

    Channel(str(tmp_path / "trace")).write(b'{"kind":"hello"}\n')

    assert (tmp_path / "trace").read_text() == '{"kind":"hello"}\n'


def test_a_line_that_was_cut_off_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel(str(tmp_path / "trace"))
    write, room = os.write, iter([5])

    def almost_full(descriptor: int, line: bytes) -> int:
        for left in room:
            return write(descriptor, line[:left])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", almost_full)
    channel.write(b'{"kind":"begin"}\n')
    monkeypatch.setattr(os, "write", write)
    channel.write(b'{"kind":"bye"}\n')

    cut, gap, bye = (tmp_path / "trace").read_text().splitlines()
    assert cut == '{"kin'
    assert json.loads(gap)["kind"] == "hookfail"
    assert bye == '{"kind":"bye"}'


def test_the_reason_of_a_failure_holds_no_password() -> None:
    error = ValueError("Could not parse SQLAlchemy URL from string 'postgresql//app:s3cr3t@db/shop'")
    assert on_alembic._told(error) == (
        "ValueError: Could not parse SQLAlchemy URL from string 'postgresql//app:***@db/shop'"
    )


def test_a_failure_of_ours_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(channel, "_failures", set())
    monkeypatch.setattr(channel, "emit", lambda _, **fields: told.append(fields["error"]))
    channel.fail("somewhere", ValueError("no URL: postgresql://app:s3cr3t@db/shop"))
    assert told == ["ValueError: no URL: postgresql://app:***@db/shop"]


def test_a_step_to_no_revision_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    monkeypatch.setattr(on_alembic, "emit", lambda kind, **_: kinds.append(kind))
    info = SimpleNamespace(up_revision_ids=(), down_revision_ids=("a1",), is_upgrade=False, is_stamp=True)
    mark = on_alembic._Mark(1)

    on_alembic._begin(mark, SimpleNamespace(info=info, migration_fn=lambda: None))
    on_alembic._end(mark)
    on_alembic._end(mark, ValueError("late"))

    assert kinds == ["rev_begin", "rev_end"]
