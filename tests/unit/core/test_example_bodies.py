import uuid
from typing import Any

import pytest

from harness.core.bodies import canary, new_id
from harness.core.canary import make_text
from harness.core.example_bodies import CANARY_ROOM, Example, Examples
from tests.unit.core.api_documents import document


def _body(properties: dict[str, Any], required: list[str] | None = None, key: str | None = None) -> Example:
    schema = {"type": "object", "properties": properties, "required": required or list(properties)}
    return Examples(document({"/a": {"get": {}}})).body(schema, "POST /a", key)


def test_free_text_bears_the_canary() -> None:
    assert _body({"title": {"type": "string", "example": "A title", "maxLength": 255}}).body == {
        "title": canary
    }


def test_a_canary_has_room() -> None:
    run = "20261129T101801Z-own-placebo-93047d"
    assert len(make_text("mul-0001@example.com", run, 99_999, "", uuid.uuid4())) <= CANARY_ROOM


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "maxLength": 20}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "minLength": 6, "maxLength": 9}, "textxx"),
        ({"type": "string", "minLength": 60}, canary("." * 60)),
        ({"type": "string", "enum": ["new", "old"]}, "new"),
        ({"type": "string", "const": "one"}, "one"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T12:00:00Z"),
        ({"type": "string", "format": "email"}, "somebody@example.com"),
        ({"type": ["string", "null"], "maxLength": 20}, "text"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 6),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "integer", "example": 42}, 42),
        ({"type": "integer", "examples": [43]}, 43),
        ({"type": "number", "default": 2.5}, 2.5),
        ({"type": "boolean"}, False),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {}}}, {"a": 1}),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
    ],
)
def test_field_is_filled_by_what_its_schema_says(schema: dict[str, Any], value: object) -> None:
    example = _body({"field": schema})
    assert example.body == {"field": value}
    assert example.decide == []


@pytest.mark.parametrize(
    ("name", "schema", "said"),
    [
        ("product_id", {"type": "integer"}, "product_id: the id of a record that is there"),
        ("ownerId", {"type": "string", "format": "uuid"}, "ownerId: the id of a record that is there"),
        ("code", {"type": "string", "pattern": "^[A-Z]{3}$"}, "code: a text that matches ^[A-Z]{3}$"),
        ("blob", {}, "blob: of no type that the document tells"),
    ],
)
def test_what_only_a_person_can_know_is_asked(name: str, schema: dict[str, Any], said: str) -> None:
    assert _body({name: schema}).decide == [said]


def test_only_required_fields_are_sent_and_an_optional_text_where_none_of_them_bears_a_canary() -> None:
    properties: dict[str, Any] = {
        "price": {"type": "integer"},
        "colour": {"type": "string", "enum": ["red"]},
        "slug": {"type": "string", "readOnly": True},
        "note": {"type": "string"},
        "comment": {"type": "string"},
    }
    assert _body(properties, ["price"]).body == {"price": 1, "note": canary}
    assert _body(properties, ["price", "comment"]).body == {"price": 1, "comment": canary}


def test_client_chooses_an_id_that_is_a_uuid() -> None:
    uuid_schema = {"type": "string", "format": "uuid"}
    assert _body({"id": uuid_schema}, key="id").body == {"id": new_id}
    assert _body({"id": {"type": "integer"}}, key="id").body == {"id": 1}


def test_object_that_must_hold_one_of_its_kind_comes_to_an_end() -> None:
    node = {
        "type": "object",
        "required": ["child"],
        "properties": {"child": {"$ref": "#/components/schemas/Node"}},
    }
    examples = Examples(document({"/a": {"get": {}}}, components={"schemas": {"Node": node}}))
    assert "child" in examples.body(node, "POST /a").body


def test_tree_whose_children_may_be_none_has_none() -> None:
    node = {
        "type": "object",
        "required": ["name", "children"],
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
    }
    examples = Examples(document({"/a": {"get": {}}}, components={"schemas": {"Node": node}}))
    assert examples.body(node, "POST /a").body == {"name": canary, "children": []}
