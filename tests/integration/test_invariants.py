"""Queries that must return no row, asked of a real database by somebody who may only read."""

from __future__ import annotations

import pytest

from harness.core.invariants import Answer
from harness.core.plan import Plan
from harness.db import invariants as invariants_module
from harness.db.invariants import ask
from harness.db.url import DatabaseUrl
from harness.errors import UsageError
from harness.run.invariants import Invariants
from tests.integration.test_catalog import run

pytestmark = pytest.mark.integration


@pytest.fixture
def notes(database: str) -> str:
    run(
        database,
        "CREATE TABLE notes (id int PRIMARY KEY, title text)",
        "INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 10) n",
        "CREATE SEQUENCE counter",
    )
    return database


def asked(database: str, query: str) -> Answer:
    return ask(DatabaseUrl.parse(database), query)


def test_rows_are_counted_and_some_are_told(notes: str) -> None:
    found = asked(notes, "SELECT id FROM notes WHERE id > 5 ORDER BY id")
    assert found == Answer(5, ('{"id":6}', '{"id":7}', '{"id":8}'))
    assert asked(notes, "SELECT id FROM notes WHERE title LIKE '%other%'") == Answer(0)


@pytest.mark.parametrize(
    "query",
    [
        "WITH few AS (SELECT * FROM notes LIMIT 2) SELECT * FROM few",
        "TABLE notes LIMIT 2",
        "VALUES (1), (2)",
        "SELECT id, id FROM notes WHERE id < 3 -- the first",
    ],
)
def test_every_kind_of_query_is_asked(notes: str, query: str) -> None:
    assert asked(notes, query).rows == 2


def test_a_long_row_is_cut(notes: str) -> None:
    [line] = asked(notes, "SELECT repeat('x', 5000) AS x").examples
    assert len(line) == 200


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("SELECT slug FROM notes", True),
        ("SELECT 1 FROM labels", True),
        ("SELECT slugify(title) FROM notes", True),
        ("SELECT id FROM notes WHERE", False),
        ("SELECT 1 / (id - 1) FROM notes", False),
    ],
)
def test_what_is_not_answered_says_why_and_whether_something_is_not_there(
    notes: str, query: str, missing: bool
) -> None:
    found = asked(notes, query)
    assert (found.rows, found.missing) == (None, missing)
    assert found.error


@pytest.mark.parametrize(
    "query",
    [
        "WITH gone AS (DELETE FROM notes RETURNING id) SELECT id FROM gone",
        "SELECT 1) AS found) AS told; DELETE FROM notes; SELECT count(*), '[]' FROM (SELECT ''::text AS line,"
        " 1 AS n FROM (SELECT 1",
        "SELECT nextval('counter')",
        "SELECT id FROM notes FOR UPDATE",
    ],
)
def test_nothing_can_be_written(notes: str, query: str) -> None:
    found = asked(notes, query)
    assert found.rows is None
    assert not found.missing
    assert asked(notes, "SELECT id FROM notes").rows == 10


def test_it_ends_in_time(notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (*invariants_module.SETTINGS, "SET LOCAL statement_timeout = '20ms'")
    monkeypatch.setattr(invariants_module, "SETTINGS", settings)
    assert "statement timeout" in asked(notes, "SELECT pg_sleep(60)").error


def test_a_database_that_does_not_answer_is_told() -> None:
    assert "does not answer" in asked("postgresql://app@127.0.0.1:1/shop", "SELECT 1").error


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id FROM notes WHERE id < 3", 'returns 2 rows before the migration, such as {"id":1}'),
        ("SELECT id FROM notes WHERE", "was not answered: syntax error"),
    ],
)
def test_what_does_not_hold_before_is_refused(notes: str, query: str, words: str) -> None:
    with pytest.raises(UsageError, match="--invariant notes") as refused:
        Invariants.of(Plan(invariants=(f"notes: {query}",)), notes)
    assert words in str(refused.value)


def test_what_needs_the_migration_is_accepted_and_noted_each_time_it_is_asked(notes: str) -> None:
    told: list[tuple[str, str, int | None, bool]] = []

    def note(kind: str, at: float | None = None, **data: object) -> float:
        told.append((data["name"], data["when"], data["rows"], data["missing"]))  # type: ignore[arg-type]
        return 0.0

    invariants = Invariants.of(Plan(invariants=("slugs: SELECT id FROM notes WHERE slug <> title",)), notes)
    invariants.note_before(note)
    run(notes, "ALTER TABLE notes ADD COLUMN slug text", "UPDATE notes SET slug = 'x' WHERE id = 4")
    invariants.ask("end", note)
    assert told == [("slugs", "before", None, True), ("slugs", "end", 1, False)]
