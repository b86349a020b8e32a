import uuid

import pytest

from harness.core.canary import Canary, all_own, foreign, make_text, read_text, told


def test_text_says_whose_it_is_of_which_run_and_version() -> None:
    text = make_text("account-0001", "8f3a", 3, "lorem ipsum")
    assert text == "canary:account-0001 run:8f3a v:3 lorem ipsum"
    assert read_text(text) == Canary("account-0001", "8f3a", 3)


def test_text_may_bear_the_key_that_the_ledger_knows_its_record_by() -> None:
    key = uuid.UUID(int=7)
    text = make_text("account-0001", "8f3a", 3, "lorem", key)
    assert text == f"canary:account-0001 run:8f3a v:3 k:{key.hex} lorem"
    assert read_text(text) == Canary("account-0001", "8f3a", 3, key)


def test_text_without_a_rest_has_no_space_at_its_end() -> None:
    assert make_text("a", "b", 1) == "canary:a run:b v:1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lorem ipsum",
        "Document 7 of canary:account-0001",  # as it was seeded
        "canary:account-0001 run:8f3a v:",  # cut off
    ],
)
def test_text_that_no_run_wrote_has_no_canary_of_one(text: str) -> None:
    assert read_text(text) is None


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("Document 7 of canary:account-0001", set()),
        ('{"canary": "canary:account-0001"}', set()),
        ("This is canary:account-0001. And canary:account-0001, again", set()),
        ("no canary at all", set()),
        ("canary:account-0002", {"account-0002"}),
        ("canary:account-00010 is another account", {"account-00010"}),
        ("canary:account-000 is another account", {"account-000"}),
        ("canary:account-0001 canary:b@x.example canary:c.d", {"b@x.example", "c.d"}),
    ],
)
def test_foreign_canaries_are_those_of_other_accounts(text: str, others: set[str]) -> None:
    assert foreign(text, "account-0001") == others
    assert not (others and all_own(text.encode(), "account-0001"))


def test_own_canaries_as_runs_write_them_are_seen_without_a_search() -> None:
    assert all_own(make_text("jürgen", "8f3a", 3, make_text("jürgen", "8f3a", 4)).encode(), "jürgen")
    assert all_own(b"no canary at all", "ann") is None
    assert all_own(b"canary:ann. Also hers, if looked at", "ann") is False
    assert not all_own((make_text("ann", "8f3a", 3) + make_text("ann.b", "8f3a", 3)).encode(), "ann")


def test_number_that_no_version_can_be_is_none() -> None:
    assert read_text("canary:ann run:8f3a v:" + "9" * 5000) is None


def test_of_many_accounts_the_first_are_told() -> None:
    assert told({"bob", "ann"}) == "ann, bob"
    many = told(f"account-{number:04}" for number in range(1000))
    assert many.endswith("account-0008, account-0009 and 990 more")
    assert len(told(["x" * 1_000_000])) == 100
