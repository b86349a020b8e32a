"""A migration's statements before the rules of advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core import review
from harness.core.advice import Advice, Traced
from harness.core.events import Kind
from harness.core.facts import facts_of
from harness.core.review import advice_on
from harness.core.schema_state import IndexState, TableState
from harness.core.shape import Shape
from tests.fix_record import a_record, a_schema, a_wait, events
from tests.fix_trace import statement_records, trace_of

EXCLUSIVE = ("documents", "AccessExclusiveLock")
TRACE = trace_of(
    statement_records("ALTER TABLE documents ADD a int", 27.0, 27.1, k=1, locks=[EXCLUSIVE]),
    statement_records("UPDATE documents SET a = 1", 27.2, 28.0, k=2, locks=[EXCLUSIVE], commit_at=28.0),
    statement_records("CREATE INDEX CONCURRENTLY i ON documents (a)", 28.0, 28.5, k=3, autocommit=True),
)


Given = tuple[Sequence[Traced], Mapping[str, TableState], Mapping[str, str], Mapping[str, IndexState]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """What the rules were given."""
    given: list[Given] = []

    def rules(*arguments: Any) -> tuple[Advice, ...]:
        given.append(arguments)
        return ()

    monkeypatch.setattr(review, "advise", rules)
    return given


def ask(watched: bool = True) -> None:
    facts = facts_of(a_record(waits=(a_wait(27.5, 28.0),), events=events(trace=TRACE, ended_at=28.6)))
    advice_on(facts.migrations[0], in_small, a_schema(), {"a-rule": "ten rows"}, facts.blame, watched)


def in_small(sql: str) -> Shape:
    return Shape(normalised=sql.lower())


def test_the_rules_see_shape_size_and_reasons(asked: list[Given]) -> None:
    ask()
    ((statements, sizes, ignored, indexes),) = asked
    assert statements[1].shape.normalised == "update documents set a = 1"
    assert sizes["public.documents"].rows == 200_000
    assert ignored == {"a-rule": "ten rows"}
    assert list(indexes) == ["documents_pkey"]


def test_a_statement_comes_with_those_before_it_in_its_transaction(asked: list[Given]) -> None:
    ask()
    alter, update, concurrently = asked[0][0]
    assert (alter.previous, update.previous, concurrently.previous) == ((), (alter,), ())


def test_who_waited_is_unknown_where_nobody_watched(asked: list[Given]) -> None:
    ask()
    ask(watched=False)
    watched, unwatched = ([traced.blocked_sessions for traced in given[0]] for given in asked)
    assert (watched, unwatched) == ([1, 0, 0], [1, None, None])
    assert asked[0][0][0].blocked_s == 0.5


def test_reasons_in_the_migrations_own_files_count(asked: list[Given]) -> None:
    begin, *rest = (event for event in events() if event.kind == Kind.MIGRATION_BEGIN)
    told = replace(begin, data={**begin.data, "ignored": {"b-rule": "at night"}})
    others = tuple(event for event in events() if event is not begin and event.kind != Kind.MIGRATION_BEGIN)
    advice_on(facts_of(a_record(events=(told, *rest, *others))).migrations[0], in_small)
    assert asked[0][1:3] == ({}, {"b-rule": "at night"})
