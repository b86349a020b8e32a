"""The schema before an upgrade and after its rollback: each difference is told, and red where it hurts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.schema_change import SchemaFinding
from harness.core.schema_round_trip import compare_round_trip
from harness.core.schema_state import ConstraintState, IndexState, SchemaState, SequenceState, TableState

NOTES = TableState(
    "notes",
    "r",
    "shop",
    oid=10,
    acl={"app": ("INSERT", "SELECT")},
    columns={"id": "bigint not null", "title": "text", "size": "integer not null"},
    defaults={"id": "nextval('notes_id_seq'::regclass)", "size": "0"},
    policies={"own": "FOR ALL TO PUBLIC USING (true)"},
)
TAGS = TableState("tags", "r", "shop", columns={"id": "bigint not null"}, defaults={})
LATEST = TableState("latest", "v", "shop", columns={"id": "bigint"})
KEY = ConstraintState("notes_pkey", "notes", "p", "PRIMARY KEY (id)")
CHECK = ConstraintState("positive", "notes", "c", "CHECK ((size > 0))")
PKEY = IndexState("notes_pkey", "notes", "CREATE UNIQUE INDEX notes_pkey ON public.notes USING btree (id)")
INDEX = IndexState("notes_title", "notes", "CREATE INDEX notes_title ON public.notes USING btree (title)")
SERIAL = SequenceState("notes_id_seq", "bigint", "notes.id", "bigint")


def a_state(
    tables: tuple[TableState, ...] = (NOTES, TAGS, LATEST),
    constraints: tuple[ConstraintState, ...] = (KEY, CHECK),
    indexes: tuple[IndexState, ...] = (PKEY, INDEX),
    sequences: tuple[SequenceState, ...] = (SERIAL,),
) -> SchemaState:
    return SchemaState(
        1.0,
        {one.name: one for one in tables},
        {one.name: one for one in indexes},
        {f"{one.table}.{one.name}": one for one in constraints},
        {one.name: one for one in sequences},
    )


def notes(**changes: object) -> SchemaState:
    return a_state((replace(NOTES, **changes), TAGS, LATEST))  # type: ignore[arg-type]


def found(after: SchemaState, before: SchemaState | None = None) -> list[tuple[str, bool]]:
    return [(one.kind, one.red) for one in compare_round_trip(before or a_state(), after)]


def test_a_schema_that_came_back_has_no_finding() -> None:
    assert found(a_state()) == []
    assert found(notes(oid=99, rows=5.0, bytes=7, statistics=("id",), visible_ratio=0.5)) == []


COLUMNS = dict(NOTES.columns)


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (a_state((NOTES, LATEST)), "lost_table"),
        (a_state((NOTES, TAGS)), "lost_table"),
        (a_state((NOTES, TAGS, replace(LATEST, kind="m"))), "changed_table"),
        (notes(columns={"id": COLUMNS["id"], "size": COLUMNS["size"]}), "lost_column"),
        (notes(columns={**COLUMNS, "title": "character varying(20)"}), "changed_column"),
        (notes(columns={**COLUMNS, "size": "integer"}), "changed_column"),
        (notes(columns={**COLUMNS, "slug": "text not null"}), "left_column"),
        (notes(defaults={"id": "nextval('notes_id_seq'::regclass)"}), "changed_default"),
        (notes(defaults={**(NOTES.defaults or {}), "size": "1"}), "changed_default"),
        (notes(owner="migrator"), "changed_owner"),
        (notes(acl={"app": ("SELECT",)}), "lost_grant"),
        (notes(policies={}), "changed_policies"),
        (a_state(constraints=(KEY,)), "lost_constraint"),
        (a_state(constraints=(KEY, replace(CHECK, definition="CHECK ((size > 1))"))), "changed_constraint"),
        (a_state(constraints=(KEY, replace(CHECK, valid=False))), "changed_constraint"),
        (a_state(constraints=(KEY, CHECK, replace(CHECK, name="short"))), "left_constraint"),
        (a_state(indexes=(PKEY,)), "lost_index"),
        (
            a_state(indexes=(PKEY, replace(INDEX, definition=f"{INDEX.definition} WHERE true"))),
            "changed_index",
        ),
        (a_state(indexes=(PKEY, INDEX, replace(INDEX, name="u", definition="", unique=True))), "left_index"),
        (a_state(sequences=()), "lost_sequence"),
        (a_state(sequences=(replace(SERIAL, type="integer"),)), "changed_sequence"),
        (a_state(sequences=(replace(SERIAL, owned_by=None),)), "changed_sequence"),
    ],
)
def test_what_the_release_before_may_miss_or_be_refused_by_is_red(after: SchemaState, kind: str) -> None:
    assert found(after) == [(kind, True)]


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (a_state((NOTES, TAGS, LATEST, replace(TAGS, name="labels"))), "left_table"),
        (notes(columns={**COLUMNS, "slug": "text"}), "left_column"),
        (
            notes(
                columns={**COLUMNS, "slug": "text not null"},
                defaults={**(NOTES.defaults or {}), "slug": "''"},
            ),
            "left_column",
        ),
        (a_state(indexes=(PKEY, INDEX, replace(INDEX, name="other", definition="…"))), "left_index"),
        (a_state(indexes=(PKEY, replace(INDEX, name="by_title"))), "renamed_index"),
        (a_state(sequences=(SERIAL, SequenceState("spare", "bigint"))), "left_sequence"),
    ],
)
def test_what_was_left_behind_and_harms_nobody_is_told(after: SchemaState, kind: str) -> None:
    assert found(after) == [(kind, False)]


def test_the_index_of_a_constraint_is_told_with_it() -> None:
    assert found(a_state(constraints=(CHECK,), indexes=(INDEX,))) == [("lost_constraint", True)]


def test_what_belonged_to_a_lost_table_is_told_with_it() -> None:
    assert found(a_state((TAGS, LATEST), (), (), ())) == [("lost_table", True)]


def test_defaults_that_could_not_be_read_are_not_compared() -> None:
    assert found(notes(defaults=None)) == []


def test_definitions_that_could_not_be_read_are_not_compared() -> None:
    after = a_state(
        constraints=(KEY, replace(CHECK, definition="")), indexes=(PKEY, replace(INDEX, definition=""))
    )
    assert found(after) == []


def test_a_not_null_constraint_is_told_by_its_column_alone() -> None:
    not_null = ConstraintState("notes_size_not_null", "notes", "n", "NOT NULL size")
    assert found(a_state(constraints=(KEY, CHECK, not_null))) == []


def test_red_ones_come_first() -> None:
    after = a_state((NOTES, replace(TAGS, name="a_table"), LATEST))
    told = compare_round_trip(a_state(), after)
    assert [one.red for one in told] == [True, False]
    assert told[0] == SchemaFinding("lost_table", "tags", "The table tags is gone.", red=True)
