from typing import Any

import pytest

from harness.core.bodies import canary, new_id
from harness.core.declaration import Declaration
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("declared", "does"),
    [
        ({"create": {"title": canary}}, ("list", "read", "create", "update", "delete")),
        ({"create": {"title": canary}, "without": {"update", "list"}}, ("read", "create", "delete")),
        ({}, ("list", "read")),
    ],
)
def test_what_is_declared_can_be_done(declared: dict[str, Any], does: tuple[str, ...]) -> None:
    assert Declaration("/items", **declared).does == does


@pytest.mark.parametrize(
    ("path", "item", "of_seven"),
    [
        ("/items", None, "/items/7"),
        ("/items/", None, "/items/7"),
        ("/items/", "/items/{id}/", "/items/7/"),
        ("/items/all", "/item/{id}", "/item/7"),
    ],
)
def test_path_of_one_record(path: str, item: str | None, of_seven: str) -> None:
    assert Declaration(path, item=item).path_of("7") == of_seven


def test_update_writes_what_create_does_but_the_id() -> None:
    declared = Declaration("/items", create={"id": new_id, "title": canary, "price": 3})
    assert declared.change == {"title": canary, "price": 3}
    assert declared.chooses_id
    assert declared.marked == {"title"}


@pytest.mark.parametrize(
    ("declared", "tells", "rewrites"),
    [
        ({"create": {"title": canary}}, True, True),
        ({"create": {"title": canary}, "update": {"price": 3}}, False, False),
        ({"create": {"title": canary}, "update": {"price": 3}, "version": "v"}, True, False),
        ({"create": {"price": 2}}, False, False),
    ],
)
def test_version_is_told_by_a_field_or_by_the_text(
    declared: dict[str, Any], tells: bool, rewrites: bool
) -> None:
    declaration = Declaration("/items", **declared)
    assert (declaration.tells_versions, declaration.rewrites_canary) == (tells, rewrites)


def test_what_is_not_declared_is_said() -> None:
    assert Declaration("/items", create={"title": canary}).limits == ()
    bare = Declaration("/items", create={"price": 3}, without={"list", "delete"}, private=False)
    assert bare.limits == (
        "has no list, delete declared: that is neither done nor judged",
        "is read back record by record: a create that was not acknowledged is not judged",
        "bears no canary: a leak into a list is not seen, and only lost records are found",
        "is not private: its isolation is not probed",
    )
    unversioned = Declaration("/items", create={"title": canary}, update={"price": 3})
    assert unversioned.limits == ("shows no version: a lost update is not seen, only a lost record",)


@pytest.mark.parametrize(
    ("path", "declared", "said"),
    [
        ("items", {}, "has the path 'items'"),
        ("/items", {"item": "/items/{item_id}"}, r"Write \{id\}"),
        ("/items", {"without": {"erase"}}, "is without 'erase'"),
        ("/items", {"update_method": "put"}, "updates by 'put'"),
        ("/items", {"without": {"list", "read"}}, "does nothing"),
        ("/items", {"without": {"list"}}, "does nothing"),
        ("/items", {"create": {"a": 1}, "without": {"list", "read"}}, "neither list nor read"),
        ("/items", {"version": "v", "without": {"read"}}, "a version, but no read"),
        ("/items", {"page": "from/to"}, "Shopper.: page is 'from/to'"),
    ],
)
def test_declaration_that_contradicts_itself_is_refused(
    path: str, declared: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Declaration(path, **declared).check("Shopper")


def test_whole_declaration_is_accepted() -> None:
    Declaration("/items/", create={"title": canary}, page="skip/limit", item="/item/{id}").check("Shopper")
