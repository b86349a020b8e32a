"""What looks like a credential is masked, and nothing else."""

from __future__ import annotations

import pytest

from harness.core.secrets import is_secret, mask, mask_command, mask_known, mask_texts, password_in


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:s3cr3t@db/shop", "postgresql://app:***@db/shop"),
        ("postgresql://app:p@ss@db:5432/shop", "postgresql://app:***@db:5432/shop"),
        ("postgresql+psycopg://app:s@db/shop?x=1", "postgresql+psycopg://app:***@db/shop?x=1"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("got eyJhbGciOi.eyJzdWIi.c2ln here", "got *** here"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("password = 'two words' user=app", "password = *** user=app"),
        ("access_token=abc&x=1", "access_token=***&x=1"),
        ("secret: xyz, next", "secret: ***, next"),
        ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
        ("DB_PASSWORD=x", "DB_PASSWORD=***"),
        ("client_secret=x", "client_secret=***"),
        ("sslpassword=x sslmode=require", "sslpassword=*** sslmode=require"),
        ("tool --password x up", "tool --password *** up"),
        ("tool --password=x up", "tool --password=*** up"),
        ("tool --db-password 'x y' up", "tool --db-password *** up"),
        ("ALTER ROLE app PASSWORD 's3'", "ALTER ROLE app PASSWORD ***"),
        ("CREATE ROLE app PASSWORD E's''3' LOGIN", "CREATE ROLE app PASSWORD *** LOGIN"),
        ("ALTER ROLE app PASSWORD 's3cr", "ALTER ROLE app PASSWORD ***"),  # cut off
        ('{"password": "abc", "a": 1}', '{"password": ***, "a": 1}'),
        ('{"access_token": "a\\"bc"}', '{"access_token": ***}'),
        ("{'api_key': 'abc'}", "{'api_key': ***}"),
        ("/x?api_key=abc&b=1", "/x?api_key=***&b=1"),
        ("postgresql://app:p/w@db/shop", "postgresql://app:***@db/shop"),
        ("postgresql://app:p/w@x@db/shop next a@b", "postgresql://app:***@db/shop next a@b"),
        ("'postgresql://app:p@db/shop' a@b", "'postgresql://app:***@db/shop' a@b"),
        ("from string 'postgresql//app:s3cr3t@db/shop'", "from string 'postgresql//app:***@db/shop'"),
    ],
)
def test_a_credential_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/documents",
        "postgresql://app@db/shop",
        "SELECT 1",
        "",
        "token expired",
        "the server refused the password",
        "password authentication failed for user app",
        "ALTER TABLE users ADD COLUMN password text",
        "pg_restore --no-password -d shop shop.dump",
    ],
)
def test_what_holds_no_credential_stays(text: str) -> None:
    assert mask(text) == text


def test_masking_twice_changes_nothing_more() -> None:
    once = mask("postgresql://app:s3cr3t@db/shop password=x Bearer y --token z PASSWORD 'q'")
    assert mask(once) == once


def test_an_option_and_its_value_may_be_two_arguments() -> None:
    assert mask_command(["a", "--password", "x y", "--api-key=z", "b c"]) == [
        "a",
        "--password",
        "***",
        "--api-key=***",
        "b c",
    ]


def test_an_option_that_takes_no_value_hides_no_argument() -> None:
    assert mask_command(["psql", "--no-password", "shop"]) == ["psql", "--no-password", "shop"]


def test_a_known_secret_is_masked_whatever_stands_around_it() -> None:
    assert mask_known("xhunter2x, hunter22", ["hunter2", "hunter22"]) == "x***x, ***"
    assert mask_known("a cat in a category", ["cat"]) == "a cat in a category"


def test_the_texts_of_a_line_are_masked_and_nothing_else() -> None:
    line = {
        "pid": 7,
        "at": None,
        "queries": ["SELECT 1", "SELECT 2 /* token=abc */"],
        "who": {"as": "token: x"},
    }
    assert mask_texts(line) == {
        "pid": 7,
        "at": None,
        "queries": ["SELECT 1", "SELECT 2 /* token=*** */"],
        "who": {"as": "token: ***"},
    }


def test_of_what_is_parsed_only_known_secrets_are_taken_out() -> None:
    line = {"sql": "SET token = 'abc', key = 'hunter2'", "error": "token=abc hunter2"}
    assert mask_texts(line, ["hunter2"], parsed=("sql",)) == {
        "sql": "SET token = 'abc', key = '***'",
        "error": "token=*** ***",
    }


@pytest.mark.parametrize(
    ("setting", "secret"),
    [
        ("API_KEY=abc", True),
        ("SHOP_PASSWORD=x", True),
        ("SHOP_URL=postgresql://app:x@db/shop", True),
        ("APP_ENV=staging", False),
        ("SHOP_URL=postgresql://app@db/shop", False),
        ("restore --token abc", True),
        ("flask db upgrade", False),
    ],
)
def test_a_setting_that_holds_a_secret_is_told(setting: str, secret: bool) -> None:
    assert is_secret(setting) is secret


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        (None, set()),
        ("postgresql://db/shop", set()),
        ("postgresql://app@db/shop", set()),
        ("postgresql://postgres:postgres@db/shop", set()),
        ("postgresql://app:hunter2@db/shop", {"hunter2"}),
        ("postgresql://app:hunter%402@db/shop", {"hunter%402", "hunter@2"}),
        ("postgresql://app:hunter2@[::1/shop", set()),
    ],
)
def test_the_password_of_a_url_is_known(url: str | None, passwords: set[str]) -> None:
    assert password_in(url) == passwords
