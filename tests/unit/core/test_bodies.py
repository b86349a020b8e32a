from typing import Any

import pytest

from harness.core.bodies import (
    CanaryText,
    NewId,
    ShapeError,
    canaries_in,
    canary,
    fill,
    holds,
    names_in,
    new_id,
    record_in,
    value_at,
    version_of,
)
from harness.core.canary import make_text


def test_placeholders_are_filled_however_deep_they_lie() -> None:
    body = {
        "id": new_id,
        "title": canary,
        "lines": [{"text": canary("and more"), "amount": 3}],
        "owner": lambda user: user["name"],
    }
    assert fill(body, lambda rest: f"<{rest}>", "key-1", {"name": "ann"}) == {
        "id": "key-1",
        "title": "<>",
        "lines": [{"text": "<and more>", "amount": 3}],
        "owner": "ann",
    }


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ({"a": {"b": [1, canary]}}, CanaryText, True),
        ({"a": {"b": [1, canary]}}, NewId, False),
        ({"id": new_id}, NewId, True),
        (None, CanaryText, False),
    ],
)
def test_body_holds_a_placeholder(body: Any, kind: Any, expected: bool) -> None:
    assert holds(body, kind) is expected


def test_canaries_are_looked_for_in_the_fields_that_bear_them() -> None:
    record = {
        "title": make_text("ann", "r", 2),
        "parent": {"title": make_text("bob", "r", 9)},
        "likes": 3,
    }
    assert [says.version for says in canaries_in(record, frozenset({"title"}))] == [2]


def test_canaries_are_looked_for_everywhere_in_a_record_of_another_shape() -> None:
    record = {"attributes": {"title": make_text("ann", "r", 2), "tags": ["x", make_text("ann", "r", 1)]}}
    assert [says.version for says in canaries_in(record, frozenset({"title"}))] == [2, 1]


@pytest.mark.parametrize(
    "answer",
    [{"id": 7}, {"data": {"id": 7}}, {"item": {"id": 7}, "status": "ok"}, {"id": 7, "owner": {"id": 1}}],
)
def test_record_is_found_in_an_answer_about_one(answer: Any) -> None:
    assert record_in(answer, "id")["id"] == 7


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "no 'id' in an object of nothing"),
        ({"ok": True}, "no 'id' in an object of 'ok'"),
        ({"id": None}, "no 'id' in an object of 'id'"),
        ({"a": {"id": 1}, "b": {"id": 2}}, "no 'id' in an object of 'a', 'b'"),
        ([{"id": 1}], "no 'id' in a list"),
        (None, "no 'id' in a NoneType"),
    ],
)
def test_answer_without_a_record_is_said(answer: Any, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        record_in(answer, "id")


@pytest.mark.parametrize(
    ("path", "value"),
    [("token", "a"), ("data.token", "b"), ("data.absent", None), ("token.more", None), ("list.0", None)],
)
def test_a_value_is_found_at_its_path(path: str, value: str | None) -> None:
    assert value_at({"token": "a", "data": {"token": "b"}, "list": ["c"]}, path) == value


@pytest.mark.parametrize("version", [0, 7, 2**31 - 1])
def test_version_is_what_an_integer_column_can_hold(version: int) -> None:
    assert version_of({"v": version}, "v") == version


@pytest.mark.parametrize("record", [{}, *({"v": v} for v in (-1, 2**31, 1.0, "7", True, None))])
def test_version_that_is_none_is_named(record: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match="no whole number 'v' in a record"):
        version_of(record, "v")


def test_of_many_names_the_first_are_told() -> None:
    assert names_in({"a": 1, "b": 2}) == "'a', 'b'"
    assert names_in({}) == "nothing"
    assert names_in(dict.fromkeys(range(1000))).endswith(" 11, …")
