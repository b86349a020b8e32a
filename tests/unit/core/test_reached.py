"""Whether every version table is where the migration was to leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.core.reached import elsewhere, reached
from harness.core.trace import Context, VersionTable
from harness.core.trace_fold import build


@pytest.mark.parametrize(
    ("direction", "expected", "tables", "answer"),
    [
        ("upgrade", {"b2"}, [["b2"]], True),
        ("upgrade", {"b2"}, [["b2", "k1"]], True),  # another branch
        ("upgrade", {"b2"}, [["a1"]], False),
        ("upgrade", {"b2"}, [[]], False),
        ("upgrade", {"b2"}, [["b2"], ["a1"]], False),  # one schema was left behind
        ("upgrade", {"b2"}, [["b2"], ["b2"]], True),
        ("upgrade", {"b2"}, [["b2"], None], None),
        ("upgrade", {"b2"}, [None, []], False),
        ("upgrade", {"b2"}, [], None),
        ("downgrade", {"a1"}, [["a1"]], True),
        ("downgrade", {"a1"}, [["a1", "k1"]], False),
        ("downgrade", set(), [[]], True),
        ("downgrade", set(), [None], None),
    ],
)
def test_reached(
    direction: str, expected: set[str], tables: Sequence[Sequence[str] | None], answer: bool | None
) -> None:
    assert reached(direction, expected, tables) is answer


@pytest.mark.parametrize(
    ("visited", "said"),
    [
        ((), ""),
        (("shop",), ""),
        (("archive", "shop"), ""),
        (("archive", None), ""),  # where one of them is, nobody saw
        (("archive",), "went to archive alone, never to shop, the database that it is meant for"),
        (("billing", "archive"), "went to archive and billing alone, never to shop, the database that it is"
         " meant for"),
    ],
)  # fmt: skip
def test_a_migration_that_never_came_to_its_own_database(visited: Sequence[str | None], said: str) -> None:
    contexts = tuple(
        Context(number, VersionTable("alembic_version", database=database))
        for number, database in enumerate(visited, 1)
    )
    assert elsewhere(replace(build([]), contexts=contexts), "shop") == said
