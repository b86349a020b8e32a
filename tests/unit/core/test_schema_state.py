"""The schema's state: through JSON and back, and the names that a table may be meant by."""

from __future__ import annotations

import dataclasses
import json

from harness.core.schema_state import (
    ConstraintState,
    IndexState,
    SchemaState,
    SequenceState,
    TableState,
    schema_state,
    sizes,
)

STATE = SchemaState(
    at=12.25,
    tables={
        'other."My Tablé"': TableState(
            'other."My Tablé"',
            "r",
            "shop",
            oid=4_294_967_295,
            rows=1e6,
            bytes=1 << 40,
            acl={"app": ("INSERT", "UPDATE (note)"), "PUBLIC": ("SELECT",)},
            row_security=True,
            policies={"own": "FOR ALL TO PUBLIC"},
            options=("fillfactor=70",),
            columns={"z": "bigint not null", '"A"': "text"},
            statistics=("z",),
            visible_ratio=1 / 3,
            partition_of="other.parent",
            reads=("a", "b"),
        ),
        "empty": TableState("empty", "v", "shop"),
    },
    indexes={"i": IndexState("i", "t", "CREATE INDEX …", valid=False, bytes=8192, columns=("a", ""))},
    constraints={"t.c": ConstraintState("c", "t", "f", "FOREIGN KEY …", valid=False, columns=("a", "b"))},
    sequences={"s": SequenceState("s", "integer", "t.id", "bigint", acl={"app": ("USAGE",)})},
    unread=("Sizes and definitions of t: locked.",),
)


def test_a_state_survives_json_exactly() -> None:
    assert schema_state(json.loads(json.dumps(dataclasses.asdict(STATE)))) == STATE


def test_a_state_that_could_not_be_read_survives_json() -> None:
    state = SchemaState(at=0.0, error="The role app may not read pg_class.")

    assert schema_state(json.loads(json.dumps(dataclasses.asdict(state)))) == state


def test_keys_of_a_later_version_are_passed_over() -> None:
    told = {"at": 1.0, "tables": {"t": {"name": "t", "kind": "r", "owner": "shop", "colour": "red"}}}

    assert schema_state(told).tables["t"] == TableState("t", "r", "shop")


def a_schema(*names: str) -> SchemaState:
    return SchemaState(at=0.0, tables={name: TableState(name, "r", "shop") for name in names})


def test_a_table_in_public_is_meant_with_and_without_its_schema() -> None:
    assert {name: table.name for name, table in sizes(a_schema("t")).items()} == {"t": "t", "public.t": "t"}


def test_a_table_elsewhere_is_meant_without_its_schema_while_no_other_bears_the_name() -> None:
    found = sizes(a_schema("other.t", '"a.b"."T"', '"c.d"'))

    assert {name: table.name for name, table in found.items()} == {
        "other.t": "other.t",
        "t": "other.t",
        '"a.b"."T"': '"a.b"."T"',
        '"T"': '"a.b"."T"',
        '"c.d"': '"c.d"',
        'public."c.d"': '"c.d"',
    }


def test_a_name_that_two_schemas_have_is_the_one_in_public() -> None:
    assert sizes(a_schema("t", "other.t"))["t"].name == "t"
    assert "t" not in sizes(a_schema("one.t", "two.t"))
