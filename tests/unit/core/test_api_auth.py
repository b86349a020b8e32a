from typing import Any

import pytest

from harness.core.api_auth import AuthShape, auth_of
from tests.unit.core.api_documents import FORM, LOGIN, answers, document, takes

SIGN_UP = {
    "type": "object",
    "required": ["email", "password", "password_confirm", "terms"],
    "properties": {
        "email": {"type": "string", "format": "email"},
        "password": {"type": "string"},
        "password_confirm": {"type": "string"},
        "terms": {"type": "boolean", "default": True},
        "full_name": {"type": "string"},
    },
}
TOKEN = {"type": "object", "properties": {"access_token": {"type": "string"}}}


def _auth(paths: dict[str, Any], **schemes: Any) -> AuthShape:
    read = document(paths, components={"securitySchemes": schemes})
    return auth_of(read, list(read.operations()))


def _oauth2(url: str) -> dict[str, Any]:
    return {"type": "oauth2", "flows": {"password": {"tokenUrl": url, "scopes": {}}}}


@pytest.mark.parametrize("url", ["/login", "login", "https://shop.example/login"])
def test_oauth2_password_flow_is_a_password_grant(url: str) -> None:
    shape = _auth({"/login": {"post": takes(LOGIN, FORM)}}, o=_oauth2(url))
    assert (shape.kind, shape.arguments, shape.options, shape.decide) == ("PasswordGrant", ["/login"], {}, [])
    assert shape.needs_accounts


def test_token_url_that_is_none_of_the_paths_is_to_be_decided() -> None:
    shape = _auth({"/items": {"get": {}}}, o=_oauth2("/auth/token"))
    assert shape.decide == ["the document says that tokens come from /auth/token, which is none of its paths"]


def test_token_that_can_be_refreshed_is() -> None:
    refresh = {"type": "object", "properties": {"refresh_token": {"type": "string"}}}
    paths = {"/login": {"post": takes(LOGIN, FORM)}, "/login/refresh": {"post": takes(refresh)}}
    assert _auth(paths, o=_oauth2("/login")).options == {"refresh": "/login/refresh"}


@pytest.mark.parametrize(
    ("answer", "options", "decides"),
    [
        (TOKEN, {}, 0),
        ({"properties": {"token": {"type": "string"}}}, {"token": "token"}, 0),
        ({"properties": {"data": {"type": "object", **TOKEN}}}, {"token": "data.access_token"}, 0),
        ({"properties": {"result": {"type": "string"}}}, {}, 1),
        ({}, {}, 1),
    ],
)
def test_bearer_token_from_a_json_login(answer: Any, options: dict[str, Any], decides: int) -> None:
    body = {"properties": {"email": {"type": "string"}, "password": {"type": "string"}}}
    paths = {"/auth/login": {"post": takes(body) | answers(answer)}}
    shape = _auth(paths, b={"type": "http", "scheme": "bearer"})
    assert (shape.kind, shape.arguments) == ("JsonLogin", ["/auth/login"])
    assert shape.options == {"username": "email", **options}
    assert len(shape.decide) == decides


@pytest.mark.parametrize(
    ("scheme", "kind", "options"),
    [
        ({"type": "http", "scheme": "bearer"}, "StaticToken", {}),
        ({"type": "openIdConnect"}, "StaticToken", {}),
        ({"type": "http", "scheme": "basic"}, "StaticToken", {"scheme": "Basic"}),
        (
            {"type": "apiKey", "in": "header", "name": "X-Key"},
            "StaticToken",
            {"header": "X-Key", "scheme": ""},
        ),
    ],
)
def test_without_a_login_each_account_has_its_token(scheme: Any, kind: str, options: dict[str, Any]) -> None:
    shape = _auth({"/items": {"get": {}}}, s=scheme)
    assert (shape.kind, shape.options, shape.needs_accounts) == (kind, options, True)


def test_cookie_of_a_login_is_a_session() -> None:
    shape = _auth(
        {"/auth/login": {"post": takes(LOGIN)}}, c={"type": "apiKey", "in": "cookie", "name": "sid"}
    )
    assert (shape.kind, shape.arguments) == ("CookieSession", ["/auth/login"])
    assert shape.options == {"cookie": "sid", "json": True}


def test_scheme_that_cannot_be_written_down_is_to_be_decided() -> None:
    shape = _auth({"/items": {"get": {}}}, k={"type": "apiKey", "in": "query", "name": "key"})
    assert shape.kind is None
    assert shape.decide == ["auth: how accounts prove themselves; the document says only: apiKey"]


def test_without_a_scheme_what_looks_like_a_login_is_one() -> None:
    paths = {"/password/reset": {"post": takes(LOGIN)}, "/token": {"post": takes(LOGIN, FORM)}}
    shape = _auth(paths)
    assert (shape.kind, shape.arguments) == ("PasswordGrant", ["/token"])
    assert shape.said == ["the document names no security scheme, but a path that takes name and password"]


def test_without_scheme_and_login_there_is_no_auth_and_that_is_said() -> None:
    shape = _auth({"/items": {"get": {}}})
    assert (shape.kind, shape.needs_accounts, shape.decide) == (None, False, [])
    assert shape.said == ["no auth: the document names no security scheme, and no path looks like a login"]


@pytest.mark.parametrize("path", ["/users/signup", "/auth/register", "/users"])
def test_accounts_are_created_where_anybody_may(path: str) -> None:
    open_to_all: dict[str, Any] = {"security": []}
    paths = {"/login": {"post": takes(LOGIN, FORM)}, path: {"post": takes(SIGN_UP, **open_to_all)}}
    shape = _auth(paths, o=_oauth2("/login"))
    body = {"email": "{name}", "password": "{password}", "password_confirm": "{password}", "terms": True}
    assert shape.registration == (path, body)
    assert shape.account_name == "mul-{:04}@example.com"
    assert not shape.needs_accounts


def test_accounts_that_only_an_administrator_creates_are_not_created() -> None:
    secured: dict[str, Any] = {"security": [{"o": []}]}
    paths = {"/login": {"post": takes(LOGIN, FORM)}, "/users": {"post": takes(SIGN_UP, **secured)}}
    assert _auth(paths, o=_oauth2("/login")).registration is None


def test_account_with_a_name_and_an_address_gets_both() -> None:
    body = {
        "required": ["username", "email", "password"],
        "properties": {
            "username": {"type": "string", "pattern": r"^[\w-]+$"},
            "email": {"type": "string", "format": "email"},
            "password": {"type": "string"},
        },
    }
    paths = {"/login": {"post": takes(LOGIN, FORM)}, "/register": {"post": takes(body)}}
    shape = _auth(paths, o=_oauth2("/login"))
    assert shape.registration == (
        "/register",
        {"username": "{name}", "password": "{password}", "email": "{name}@example.com"},
    )
    assert shape.account_name == "mul-{:04}"
    assert shape.decide == []
