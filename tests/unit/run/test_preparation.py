"""What is refused before the load."""

from __future__ import annotations

import pytest

from harness.core.plan import Plan
from harness.db.guard import Identity
from harness.errors import UsageError
from harness.run.preparation import check, check_server_version


def test_a_server_that_cannot_be_observed_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"PostgreSQL 13 is too old, 14 is the least.*waitstart"):
        check_server_version(Identity("1", 5, 130022, "shop"))


@pytest.mark.parametrize("identity", [Identity("1", 5, 140000, "shop"), None])
def test_fourteen_and_no_database_pass(identity: Identity | None) -> None:
    check_server_version(identity)


@pytest.mark.parametrize(
    ("command", "message"), [("", "names no command"), ("  ", "names no command"), ("'", "cannot be read")]
)
def test_a_preparation_without_a_command_is_refused_in_one_line(command: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        check(Plan(placebo=True, prepare=command))
    assert "\n" not in str(refused.value)
