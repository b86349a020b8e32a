from typing import Any

import pytest

from harness.core.openapi import DEEPEST, Document
from harness.errors import UsageError
from tests.unit.core.api_documents import FORM, ITEM, answers, document, query, takes


def test_operation_has_its_parameters_and_those_of_its_path_its_bodies_and_its_answer() -> None:
    shared = {"parameters": query("tenant", required=True), "post": takes(ITEM, parameters=query("dry"))}
    form = {"post": {**takes(ITEM, FORM), **answers(ITEM, "201")}}
    post, sign_in = document({"/items": shared, "/login": form}).operations()
    assert (post.method, post.path, post.json, post.form) == ("POST", "/items", ITEM, None)
    assert list(post.query()) == ["tenant", "dry"]
    assert post.asks_for_more
    assert (sign_in.json, sign_in.form, sign_in.answer) == (None, ITEM, ITEM)
    assert not sign_in.asks_for_more


def test_references_are_followed_also_through_escaped_names() -> None:
    components = {"schemas": {"a/b": {"$ref": "#/components/schemas/Item"}, "Item": ITEM}}
    [post] = document(
        {"/items": {"post": takes({"$ref": "#/components/schemas/a~1b"})}}, components=components
    ).operations()
    assert post.json == ITEM


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("#/components/schemas/Nothing", "POST /items refers to #/components/schemas/Nothing, which is not"),
        ("item.json#/Item", "POST /items refers to item.json#/Item, which lies outside"),
        (
            "#/components/schemas/Self",
            "POST /items refers to #/components/schemas/Self, which refers to itself",
        ),
    ],
)
def test_broken_reference_is_refused_by_name(ref: str, said: str) -> None:
    components = {"schemas": {"Self": {"$ref": "#/components/schemas/Self"}}}
    broken = document({"/items": {"post": takes({"$ref": ref})}}, components=components)
    with pytest.raises(UsageError, match=said):
        list(broken.operations())


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"swagger": "2.0", "paths": {"/a": {}}}, r"Swagger 2\.0.*Convert it to OpenAPI 3"),
        ({"openapi": "4.0.0", "paths": {"/a": {}}}, r"is of OpenAPI 4\.0\.0"),
        ({"detail": "Not Found"}, "has only the keys: detail"),
        ({}, "has only the keys: none"),
        ({"openapi": "3.0.3", "paths": {}}, "lists no paths"),
        ({"openapi": "3.0.3"}, "lists no paths"),
        ([1], "holds a list"),
        (None, "holds a NoneType"),
    ],
)
def test_what_is_no_openapi_3_document_is_refused(tree: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Document(tree, "api.json")


def test_openapi_3_0_is_read() -> None:
    assert Document({"openapi": "3.0.3", "paths": {"/a": {"get": {}}}}, "api.json").title == "the service"


@pytest.mark.parametrize(
    ("server", "base", "path"),
    [
        ("https://shop.example/base/", "https://shop.example/base/", "/base/items"),
        ("/base", None, "/base/items"),
        ("/", None, "/items"),
    ],
)
def test_paths_begin_with_the_servers(server: str, base: str | None, path: str) -> None:
    served = document({"/items": {"get": {}}}, servers=[{"url": server}])
    assert served.server == base
    assert [operation.path for operation in served.operations()] == [path]


@pytest.mark.parametrize(
    ("whole", "own", "secured"),
    [
        (None, None, None),
        ([{"jwt": []}], None, True),
        ([{"jwt": []}], [], False),
        (None, [{"jwt": []}], True),
    ],
)
def test_operation_is_secured_by_itself_or_by_the_document(
    whole: Any, own: Any, secured: bool | None
) -> None:
    operation = {} if own is None else {"security": own}
    others = {} if whole is None else {"security": whole}
    [found] = document({"/a": {"get": operation}}, **others).operations()
    assert found.secured is secured


def test_properties_are_those_of_all_parts() -> None:
    whole = {"allOf": [ITEM, {"required": ["price"], "properties": {"price": {"type": "number"}}}]}
    read = document({"/a": {"get": {}}})
    assert list(read.properties(whole, "GET /a")) == ["id", "title", "price"]
    assert read.required(whole, "GET /a") == ["title", "price"]


def test_what_stands_in_answers_alone_is_not_required_of_a_request() -> None:
    schema = {"required": ["id", "title"], "properties": {"id": {"readOnly": True}, "title": {}}}
    assert document({"/a": {"get": {}}}).required(schema, "POST /a") == ["title"]


def test_first_alternative_that_is_not_null_counts() -> None:
    read = document({"/a": {"get": {}}})
    schema = {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 9}], "title": "Name"}
    assert read.plain(schema, "GET /a") == {"type": "string", "maxLength": 9, "title": "Name"}


def test_schema_that_consists_of_itself_comes_to_an_end() -> None:
    own = {"$ref": "#/components/schemas/Node"}
    schemas = {"Node": {"anyOf": [own]}, "Part": {"allOf": [own, {"$ref": "#/components/schemas/Part"}]}}
    read = document({"/a": {"get": {}}}, components={"schemas": schemas})
    assert read.plain(own, "GET /a") == {}
    assert read.properties(schemas["Part"], "GET /a", DEEPEST - 3) == {}
