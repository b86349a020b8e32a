"""The pure parts of the tracer: what the text of a statement says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import harness.db
from harness.db.tracer.mul_tracer import sql

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
