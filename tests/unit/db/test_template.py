"""Which databases may be dropped and made anew."""

from __future__ import annotations

import pytest

from harness.db.template import check_recreatable
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError


def url(name: str) -> DatabaseUrl:
    return DatabaseUrl.parse(f"postgresql://app@127.0.0.1/{name}")


def test_a_database_that_was_named_may_go() -> None:
    check_recreatable(url("shop"), ("shop",))


@pytest.mark.parametrize("allowed", [(), ("shop2", "SHOP")])
def test_a_database_that_was_not_named_stays(allowed: tuple[str, ...]) -> None:
    with pytest.raises(GuardError, match="would drop the database shop") as refused:
        check_recreatable(url("shop"), allowed)
    assert refused.value.exit_code == 3
    assert "--allow-database shop" in refused.value.remedy


@pytest.mark.parametrize("name", ["postgres", "template0", "template1"])
def test_the_servers_own_databases_stay_even_if_named(name: str) -> None:
    with pytest.raises(UsageError, match="belongs to the server itself"):
        check_recreatable(url(name), (name,))


def test_a_name_must_leave_room_for_its_templates() -> None:
    check_recreatable(url("x" * 50), ("x" * 50,))
    with pytest.raises(UsageError, match="at most 50 bytes"):
        check_recreatable(url("x" * 51), ("x" * 51,))
