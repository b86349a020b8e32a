"""What looks like a credential is masked, and nothing else."""

from __future__ import annotations

import pytest

from harness.core.secrets import mask


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
    ],
)
def test_a_credential_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8000/documents", "postgresql://app@db/shop", "SELECT 1", ""]
)
def test_what_holds_no_credential_stays(text: str) -> None:
    assert mask(text) == text


def test_masking_twice_changes_nothing_more() -> None:
    once = mask("postgresql://app:s3cr3t@db/shop password=x Bearer y")
    assert mask(once) == once
