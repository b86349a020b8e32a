"""The shape of a schema, and what differs between two."""

from __future__ import annotations

from harness.core.schema_shape import changes, shape_of
from harness.core.schema_state import ConstraintState, IndexState, SequenceState, TableState
from tests.fix_record import a_schema


def test_equal_schemas_of_other_sizes_have_one_shape() -> None:
    table = TableState("documents", "r", "shop", oid=99, rows=1.0, bytes=1)
    assert shape_of(a_schema()) == shape_of(a_schema(at=80.0, tables={"documents": table}))


def test_what_is_new_gone_or_other_is_told_by_name() -> None:
    before = a_schema(
        tables={"documents": TableState("documents", "r", "shop", columns={"id": "integer"})},
        sequences={"s": SequenceState("s", "bigint")},
    )
    after = a_schema(
        tables={
            "documents": TableState("documents", "r", "shop", columns={"id": "bigint", "size": "bigint"})
        },
        constraints={"documents.c": ConstraintState("c", "documents", "c", "CHECK (size > 0)", valid=False)},
    )
    assert changes(shape_of(before), shape_of(after)) == (
        "column documents.id is bigint, not integer",
        "column documents.size is there",
        "constraint c of documents is there",
        "sequence s is gone",
    )


def test_an_index_that_became_invalid_is_told() -> None:
    index = IndexState("documents_pkey", "documents", "CREATE UNIQUE INDEX documents_pkey", valid=False)
    shapes = shape_of(a_schema()), shape_of(a_schema(indexes={"documents_pkey": index}))
    assert changes(*shapes) == ("index documents_pkey is INVALID",)
    assert changes(*reversed(shapes)) == ("index documents_pkey is valid",)


def test_an_index_that_is_new_and_invalid_is_told_so() -> None:
    index = IndexState("half", "documents", "CREATE INDEX half ON documents (id)", valid=False)
    after = a_schema(indexes={**a_schema().indexes, "half": index})
    assert changes(shape_of(a_schema()), shape_of(after)) == ("index half is there, INVALID",)


def test_a_constraint_that_was_validated_is_told_so() -> None:
    told = ConstraintState("c", "documents", "c", "CHECK (size > 0) NOT VALID", valid=False)
    held = ConstraintState("c", "documents", "c", "CHECK (size > 0)")
    shapes = [shape_of(a_schema(constraints={"documents.c": one})) for one in (told, held)]
    assert changes(*shapes) == ("constraint c of documents is valid",)
    assert changes(*reversed(shapes)) == ("constraint c of documents is NOT VALID",)
