"""Whatever JSON a service answers with, its users go on, and nothing but a ShapeError says what is wrong."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.bodies import ShapeError
from harness.core.canary import make_text
from harness.load import http_response
from harness.load.auth import LoginError
from harness.load.resource import Resource
from harness.load.token_auth import PasswordGrant
from tests.unit.load.answers import Response, Service, login
from tests.unit.load.test_records import DOCUMENTS, ITEMS, ORDERS, Person, answer

NAMES = ("id", "version", "title", "items", "data", "next", "access_token", "refresh_token", "expires_in")
TEXTS = st.text() | st.sampled_from(
    [
        make_text("account-0001", "run-1", 3, key=uuid.UUID(int=7)),
        "canary:account-0001 run:run-1 v:" + "9" * 5000,
        "canary:" + "x" * 5000,
        "eyJhbGciOiJub25lIn0.eyJleHAiOiAxZTMwOH0.",
    ]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([-1, 2**31, 10**400])
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner),
    max_leaves=8,
)


class Unlucky(Person):
    """A person whose client looks into each answer, as the session does."""

    def call(self, method: str, path: str, **options: Any) -> http_response.Response:
        response = super().call(method, path, **options)
        with suppress(ShapeError):
            if options.get("reader") is not None:
                options["reader"](response)
        return response


@settings(max_examples=60)
@given(st.sampled_from([DOCUMENTS, ITEMS, ORDERS]), st.lists(TREES, min_size=1, max_size=4))
def test_user_goes_on(resource: Resource, bodies: list[Any]) -> None:
    person = Unlucky()
    records = person.records(resource)
    for body in bodies:
        for operation in ("create", "list", "read", "update", "delete"):
            person.answers = [answer(200, body), answer(200, body)]
            records.do(operation)
    for _, _, version, _ in person.operations:
        assert 0 <= version < 2**32, "what a record of an operation has room for"


@given(TREES)
def test_login_works_or_says_why_not(body: Any) -> None:
    service = Service()
    service["POST /token"] = Response(200, body)
    with suppress(LoginError):
        credentials = login(PasswordGrant("/token")).credentials(service.send)
        assert credentials.headers["Authorization"].startswith("Bearer ")
        assert credentials.life_s > 0
