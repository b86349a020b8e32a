"""Names as PostgreSQL prints them."""

from __future__ import annotations

import pytest

from harness.core.names import among, last_part, parts, quoted, same, schema_of


@pytest.mark.parametrize(
    ("part", "printed"),
    [
        ("busy", "busy"),
        ("_a1$", "_a1$"),
        ("Busy", '"Busy"'),
        ("größe", '"größe"'),
        ("my table", '"my table"'),
        ('a"b', '"a""b"'),
        ("user", '"user"'),
        ("1a", '"1a"'),
        ("", '""'),
    ],
)
def test_a_part_is_quoted_where_it_must_be(part: str, printed: str) -> None:
    assert quoted(part) == printed
    assert last_part(f"s.{printed}") == part


def test_the_parts_of_a_name() -> None:
    assert parts('shop."My.Table"') == ("shop", "My.Table")
    assert (schema_of('shop."My.Table"'), last_part('shop."My.Table"')) == ("shop", "My.Table")
    assert (schema_of("busy"), last_part("busy")) == (None, "busy")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("busy", "busy", True),
        ("public.busy", "busy", True),
        ("a.busy", "b.busy", False),
        ('"user"', "user", True),
        ('"Busy"', "busy", False),
        ("busy", None, False),
        ("", "busy", False),
    ],
)
def test_two_names_of_one_thing(one: str, other: str | None, expected: bool) -> None:
    assert same(one, other) is same(other, one) is expected


def test_a_name_among_others() -> None:
    assert among("public.busy", ["idle", "busy"])
    assert not among("busy", ["idle"])
    assert not among(None, ["idle"])
