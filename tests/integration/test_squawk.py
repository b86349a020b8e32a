"""Squawk itself, over statements as the tracer hands them."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.db import squawk
from harness.db.squawk import predict

pytestmark = pytest.mark.integration


def statements(*texts: str, transaction: int | None = 1) -> list[dict[str, Any]]:
    return [{"n": n, "sql": sql, "transaction": transaction} for n, sql in enumerate(texts, start=1)]


def claims(*texts: str, transaction: int | None = 1, **options: Any) -> set[tuple[int, str]]:
    found = predict(statements(*texts, transaction=transaction), **options)
    assert found is not None
    assert found["error"] == ""
    return {(claim["statement"], claim["rule"]) for claim in found["claims"]}


def test_each_claim_is_of_the_statement_it_was_made_about() -> None:
    found = claims(
        "CREATE TABLE\n  small (\n    id bigint\n  )",
        "ALTER TABLE busy ALTER COLUMN qty TYPE bigint; -- wider",
        "CREATE INDEX busy_qty\nON busy (qty);",
        "DROP TABLE old",
    )
    assert {
        (2, "changing-column-type"),
        (3, "require-concurrent-index-creation"),
        (4, "ban-drop-table"),
    } <= found
    assert not {rule for n, rule in found if n == 1} & {"changing-column-type", "ban-drop-table"}


def test_what_may_not_run_in_a_transaction_is_judged_by_where_it_ran() -> None:
    sql = "CREATE INDEX CONCURRENTLY busy_qty ON busy (qty)"
    rule = "ban-concurrent-index-creation-in-transaction"
    assert (1, rule) in claims(sql, transaction=1)
    assert (1, rule) not in claims(sql, transaction=None)


def test_placeholders_of_the_driver_are_no_syntax_errors() -> None:
    found = claims("INSERT INTO c (id, n) VALUES (%(id)s::INTEGER, %s)", "SELECT 7 %% 2", "DROP TABLE old")
    assert (3, "ban-drop-table") in found


def test_a_statement_it_cannot_read_hides_nothing_of_the_others() -> None:
    found = predict(statements("ALTER TABLE a SET FOO BAR", "SELECT 'never closed", "DROP TABLE old"))
    assert found is not None
    assert found["unread"] == [1, 2]
    assert found["error"] == "squawk could not read statements 1, 2."
    assert (3, "ban-drop-table") in {(claim["statement"], claim["rule"]) for claim in found["claims"]}


def test_it_says_which_release_it_is_and_claims_in_sentences() -> None:
    found = predict(statements("DROP TABLE old"))
    assert found is not None
    assert found["tool"] == "squawk"
    assert found["version"][0].isdecimal()
    [claim] = [claim for claim in found["claims"] if claim["rule"] == "ban-drop-table"]
    assert claim["level"] == "warning"
    assert claim["message"].endswith(".")


@pytest.mark.parametrize("texts", [(), ("",), ("\0\ud800 binary",), ("SELECT 1;" * 20_000,)])
def test_nothing_that_a_migration_sends_makes_it_raise(texts: tuple[str, ...]) -> None:
    found = predict(statements(*texts))
    assert found is not None
    assert isinstance(found["error"], str)


def test_settings_are_those_of_the_migrations_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / ".squawk.toml").write_text('excluded_rules = ["ban-drop-table"]\n')
    rule = (1, "ban-drop-table")
    assert rule not in claims("DROP TABLE old", folder=own)
    monkeypatch.chdir(own)
    assert rule in claims("DROP TABLE old", folder=tmp_path)
    assert rule in claims("DROP TABLE old")


def test_broken_settings_are_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / ".squawk.toml").write_text("excluded_rules = 7\n")
    found = predict(statements("DROP TABLE old"), folder=tmp_path)
    assert found is not None
    assert found["claims"] == []
    assert found["error"].startswith("squawk could not be used")


def test_what_a_server_version_changes_is_told_by_it() -> None:
    sql = "ALTER TABLE busy ADD COLUMN n integer DEFAULT 1"
    assert (1, "adding-field-with-default") in claims(sql, server_version=90_600)
    assert (1, "adding-field-with-default") not in claims(sql, server_version=180_006)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("echo 'squawk 2.0'; exec sleep 30", "did not end within 0.3 s"),
        ("echo 'squawk 2.0'; echo broken >&2; exit 9", "broken"),
        ("echo 'squawk 2.0'; echo '{'", "could not be used"),
    ],
)
def test_a_program_that_hangs_or_breaks_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, error: str
) -> None:
    program = tmp_path / "squawk"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "squawk 2.0" && exit\n{body}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(squawk, "_program", lambda: str(program))
    monkeypatch.setattr(squawk, "WITHIN_S", 0.3)
    found = predict(statements("DROP TABLE old"))
    assert found is not None
    assert error in found["error"]
    assert (found["claims"], found["unread"]) == ([], [1])


def test_without_squawk_nothing_is_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert predict(statements("DROP TABLE old")) is None
