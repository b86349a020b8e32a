from typing import Any

import pytest

from harness.core.bodies import ShapeError
from harness.core.paging import Paging, records_of
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("page", "first", "second"),
    [
        ("skip/limit", "limit=2&skip=0", "limit=2&skip=2"),
        ("offset/limit", "limit=2&offset=0", "limit=2&offset=2"),
        ("limit/offset", "limit=2&offset=0", "limit=2&offset=2"),
        ("page/size", "size=2&page=1", "size=2&page=2"),
        ("limit/after", "limit=2", "limit=2&after=7"),
    ],
)
def test_pages_are_asked_for_one_after_the_other(page: str, first: str, second: str) -> None:
    paging = Paging.parse(page)
    assert paging.query(paging.start, 2) == first
    following = paging.following(paging.start, [], [{"id": 3}, {"id": 7}], "id")
    assert paging.query(following, 2) == second


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ({"items": [], "next": "k7"}, "k7"),
        ({"items": [], "next": None}, None),
        ({"items": [], "next_cursor": ""}, None),
        ({"items": [], "next": "http://127.0.0.1/items?limit=2&after=k9"}, "k9"),
        ({"items": []}, "3"),  # no cursor: the last id is the place
        ([], "3"),
    ],
)
def test_cursor_is_taken_from_the_answer(answer: Any, place: str | None) -> None:
    assert Paging.parse("limit/after").following("k1", answer, [{"id": 3}], "id") == place


def test_list_that_ends_with_an_empty_page_has_no_next() -> None:
    assert Paging.parse("limit/after").following("k1", [], [], "id") is None


@pytest.mark.parametrize("page", ["skip", "skip/skip", "skip/offset", "limit/size", "from/to", ""])
def test_paging_that_is_none_is_refused(page: str) -> None:
    with pytest.raises(UsageError, match="as in 'skip/limit'"):
        Paging.parse(page)


@pytest.mark.parametrize(
    "answer",
    [
        [{"id": 1}],
        {"items": [{"id": 1}]},
        {"data": [{"id": 1}], "count": 1},
        {"results": [{"id": 1}], "errors": []},
        {"goods": [{"id": 1}]},
        {"data": {"items": [{"id": 1}]}, "ok": True},
    ],
)
def test_list_is_found_where_it_is_unambiguous(answer: Any) -> None:
    assert records_of(answer) == [{"id": 1}]


def test_list_is_found_where_it_was_said_to_be() -> None:
    assert records_of({"a": {"b": [{"id": 1}]}, "c": []}, "a.b") == [{"id": 1}]


@pytest.mark.parametrize(
    ("answer", "where", "said"),
    [
        ({"a": [], "b": []}, None, "several lists among 'a', 'b'"),
        ({"ok": True}, None, "no list among 'ok'"),
        ("text", None, "no list of objects"),
        ({"ids": [1, 2]}, None, "no list of objects"),
        ({"a": []}, "b.c", "no list of objects at 'b.c'"),
    ],
)
def test_list_that_cannot_be_found_is_said(answer: Any, where: str | None, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        records_of(answer, where)
