from typing import Any

import pytest

from harness.core.api_shape import ApiShape, ResourceShape, shape_of
from harness.core.bodies import canary, new_id
from tests.unit.core.api_documents import FORM, ITEM, LOGIN, answers, crud, document, query, takes

SIGNED_IN = {
    "components": {
        "securitySchemes": {"o": {"type": "oauth2", "flows": {"password": {"tokenUrl": "/login"}}}}
    },
    "security": [{"o": []}],
}
SIGN_IN = {"/login": {"post": takes(LOGIN, FORM)}}


def _shape(paths: dict[str, Any]) -> ApiShape:
    return shape_of(document({**SIGN_IN, **paths}, **SIGNED_IN))


def _only(paths: dict[str, Any]) -> ResourceShape:
    [resource] = _shape(paths).resources
    return resource


def test_collection_and_item_path_are_a_resource() -> None:
    resource = _only(crud("/api/v1/items/", parameters=query("skip", "limit")))
    assert (resource.name, resource.path) == ("items", "/api/v1/items/")
    assert resource.arguments == {"create": {"title": canary}, "page": "skip/limit"}
    assert (resource.said, resource.decide) == ([], [])


def test_paths_of_the_item_may_differ_in_their_slash() -> None:
    paths = crud("/items/")
    paths["/items/{pk}/"] = paths.pop("/items/{item_id}")
    assert _only(paths).arguments["item"] == "/items/{id}/"


def test_what_is_missing_is_left_out() -> None:
    paths = crud()
    del paths["/items"]["get"], paths["/items/{item_id}"]["delete"]
    assert _only(paths).arguments["without"] == {"list", "delete"}


def test_list_that_needs_a_parameter_is_not_asked_for() -> None:
    assert _only(crud(parameters=query("city", required=True))).arguments["without"] == {"list"}


def test_largest_page_is_respected() -> None:
    arguments = _only(crud(parameters=[*query("offset"), *query("limit", maximum=50)])).arguments
    assert (arguments["page"], arguments["page_size"]) == ("offset/limit", 50)


def test_list_with_a_size_and_no_place_is_to_be_decided() -> None:
    resource = _only(crud(parameters=query("limit")))
    assert resource.decide == ["page: the list takes limit; nothing says how to ask for its next page"]


def test_change_by_patch_that_takes_other_fields() -> None:
    paths = crud(create={"required": ["name"], "properties": {"name": {"type": "string"}}})
    change = {"properties": {"comment": {"type": "string"}}}
    paths["/items/{item_id}"] |= {"patch": takes(change)}
    del paths["/items/{item_id}"]["put"]
    arguments = _only(paths).arguments
    assert arguments["update_method"] == "PATCH"
    assert arguments["update"] == {"comment": canary}


def test_version_that_an_update_must_name_is_optimistic_locking() -> None:
    update = {
        "required": ["title", "version"],
        "properties": {"title": {"type": "string"}, "version": {"type": "integer"}},
    }
    resource = _only(crud(update=update))
    assert resource.arguments == {"create": {"title": canary}, "version": "version"}
    assert "optimistic locking" in resource.said[0]


def test_client_chooses_the_id_that_a_create_requires() -> None:
    create = {**ITEM, "required": ["id", "title"]}
    resource = _only(crud(create=create, update=ITEM))
    assert resource.arguments == {"create": {"id": new_id, "title": canary}}


def test_update_that_must_name_the_id_gets_it() -> None:
    resource = _only(crud(create=ITEM, update={**ITEM, "required": ["id", "title"]}))
    assert resource.arguments["update"] == {"title": canary, "id": new_id}


def test_id_may_be_called_otherwise() -> None:
    paths = crud()
    paths["/items/{item_id}"]["get"] = answers({"properties": {"item_id": {"type": "integer"}}})
    assert _only(paths).arguments["key"] == "item_id"


def test_id_of_which_nothing_is_said_is_to_be_decided() -> None:
    create = {"required": ["title"], "properties": {"title": {"type": "string"}}}
    paths = crud(create=create)
    paths["/items/{item_id}"]["get"] = answers({})
    assert _only(paths).decide == ["key: what the id is called in answers; 'id' is a guess"]


def test_create_that_a_person_must_complete_is_not_sent_yet() -> None:
    create = {
        "required": ["shop_id", "note"],
        "properties": {"shop_id": {"type": "integer"}, "note": {"type": "string"}},
    }
    resource = _only(crud(create=create))
    assert resource.arguments == {}
    assert resource.create == {"shop_id": 1, "note": canary}
    assert resource.decide == ["create: shop_id: the id of a record that is there"]


def test_records_without_a_text_are_said_to_be() -> None:
    create = {"required": ["size"], "properties": {"size": {"type": "integer"}}}
    assert _only(crud(create=create)).said == [
        "no text has room for a canary: only what gets lost will be found"
    ]


def test_list_that_anybody_may_read_is_not_private() -> None:
    resource = _only(crud(security=[]))
    assert resource.arguments["private"] is False


def test_without_auth_nothing_is_private() -> None:
    [resource] = shape_of(document(crud())).resources
    assert resource.arguments["private"] is False


@pytest.mark.parametrize(
    ("paths", "path", "reason"),
    [
        (crud("/users"), "/users", "accounts themselves"),
        (crud("/shops/{shop_id}/items"), "/shops/{shop_id}/items", "the id of another record"),
        (crud("/admin/items"), "/admin/items", "something else than keeping records"),
        ({"/items": {"get": answers({}), "post": takes(ITEM, FORM)}}, "/items", "with a JSON body"),
        (
            {"/orders": {"post": takes(ITEM)}, "/orders/{id}": {"get": answers(ITEM)}},
            "/orders",
            "neither listed nor changed nor deleted",
        ),
        (
            {"/orders": {"post": takes(ITEM)}, "/orders/{id}": {"delete": {}}},
            "/orders",
            "nothing reads what was created",
        ),
    ],
)
def test_what_nothing_can_be_done_with_is_left_out_and_said(
    paths: dict[str, Any], path: str, reason: str
) -> None:
    shape = _shape(paths)
    assert shape.resources == []
    assert reason in shape.left_out[path]


def test_what_can_simply_be_read_is_a_page() -> None:
    read = answers({})
    shape = _shape(
        {
            "/me": {"get": read},
            "/health": {"get": read},
            "/items/latest": {"get": read},
            "/metrics": {"get": read},
            "/.well-known/jwks.json": {"get": read},
            "/find": {"get": {**read, "parameters": query("q", required=True)}},
            "/page.html": {"get": {"responses": {"200": {"content": {"text/html": {}}}}}},
            "/items/{id}": {"get": read},
        }
    )
    assert shape.pages == ["/me", "/health", "/items/latest"]
    assert shape.health == "/health"


def test_service_with_only_plain_reads_has_pages_alone() -> None:
    shape = shape_of(document({"/a": {"get": answers({})}, "/b": {"get": answers({})}}))
    assert (shape.resources, shape.pages, shape.auth.kind) == ([], ["/a", "/b"], None)


def test_path_that_is_only_an_id_is_no_collection() -> None:
    assert _shape({"/{id}": {"get": answers(ITEM)}}).left_out == {}


def test_names_are_not_those_that_a_user_has_already_and_each_is_used_once() -> None:
    paths = crud("/tasks") | crud("/v1/items") | crud("/v2/items") | crud("/import")
    assert [one.name for one in _shape(paths).resources] == ["tasks_", "items", "items_2", "import_"]
