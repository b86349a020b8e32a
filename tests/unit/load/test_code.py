"""A worker must have the master's code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import SetupError
from harness.load.code import Code


class Buyer:
    """A class of users."""


class Seller:
    """Another."""


OURS = Code.of([Buyer, Seller])


def test_the_same_code_is_taken_and_further_users_do_no_harm() -> None:
    OURS.check(OURS.as_message())
    OURS.check(Code.of([Buyer]).as_message())


@pytest.mark.parametrize(
    ("worker", "why"),
    [
        (replace(OURS, harness="0.0.1"), r"has release 0\.0\.1 of the harness.*Install the same"),
        (Code.of([Buyer]), r"lacks Seller\. Start every process with the same locustfile"),
        (replace(OURS, users={**OURS.users, "Buyer": "other"}), "has another Buyer"),
    ],
)
def test_other_code_is_refused_by_name(worker: Code, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        worker.check(OURS.as_message())


def test_a_class_without_source_is_known_by_its_name_alone() -> None:
    made_up, other = Code.of([type("Nobody", (), {})]), replace(OURS, users={"Nobody": "other"})
    assert made_up.users == {"Nobody": ""}
    made_up.check(other.as_message())
    other.check(made_up.as_message())


def test_the_source_is_what_counts() -> None:
    assert Code.of([Buyer, Seller]) == OURS
    assert len(set(OURS.users.values())) == 2
