"""How the accounts of an API log in and are created, as far as its document tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.core.example_bodies import Examples
from harness.core.openapi import Document, Operation, Schema

__all__ = ["AuthShape", "auth_of", "is_account_matter"]

NAMES = ("username", "email", "user", "login", "name", "user_name", "userName", "phone")
PASSWORDS = ("password", "passwd", "pass", "pwd", "password1")
TOKENS = ("access_token", "token", "accessToken", "access", "jwt", "id_token", "auth_token", "key")
CONFIRMATIONS = re.compile(
    r"(confirm|repeat|re)_?password|password_?(2|again|confirm\w*|repeat\w*)", re.IGNORECASE
)
_LOGIN = re.compile(r"log_?-?in|sign_?-?in|token|auth|session")
_SIGN_UP = re.compile(r"sign_?-?up|regist")
_NO_LOGIN = re.compile(r"refresh|revoke|reset|forgot|recover|change|verify|logout|test|introspect")
_ACCOUNTS = re.compile(r"/(users?|accounts?|members|auth|login|token|sessions?|register|signup)/?$")


@dataclass
class AuthShape:
    """How the class's `auth` is made: by the class `kind`, None when nobody needs to prove anything.

    `registration` is the path of the call that creates an account, and its body; `account_name` how accounts
    are then called. `said` and `decide` are sentences for a person.
    """

    kind: str | None = None
    arguments: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    registration: tuple[str, dict[str, Any]] | None = None
    account_name: str | None = None
    said: list[str] = field(default_factory=list)
    decide: list[str] = field(default_factory=list)

    @property
    def needs_accounts(self) -> bool:
        """Whether a person must list accounts that are there."""
        return self.kind is not None and self.registration is None


def is_account_matter(path: str, auth: AuthShape) -> bool:
    """Whether a collection is of accounts, or of what they log in by."""
    registers = auth.registration is not None and auth.registration[0] == path
    return registers or bool(_ACCOUNTS.search(path.lower()))


def auth_of(document: Document, operations: Sequence[Operation]) -> AuthShape:
    """What a document says of logging in, or what its paths suggest."""
    shape = _log_in(document, operations)
    if shape.kind in ("PasswordGrant", "JsonLogin", "CookieSession"):
        _register(document, operations, shape)
    return shape


def _log_in(document: Document, operations: Sequence[Operation]) -> AuthShape:
    schemes = document.security_schemes
    login = _login(document, operations)
    for scheme in schemes.values():
        grant = (scheme.get("flows") or {}).get("password")
        if scheme.get("type") == "oauth2" and isinstance(grant, Mapping):
            return _password_grant(document, operations, str(grant.get("tokenUrl") or ""))
    for scheme in schemes.values():
        if shape := _by_scheme(document, operations, scheme, login):
            return shape
    if login is not None:
        shape = _by_login(document, operations, login)
        shape.said.append("the document names no security scheme, but a path that takes name and password")
        return shape
    if schemes:
        kinds = ", ".join(str(scheme.get("type")) for scheme in schemes.values())
        return AuthShape(decide=[f"auth: how accounts prove themselves; the document says only: {kinds}"])
    return AuthShape(said=["no auth: the document names no security scheme, and no path looks like a login"])


def _by_scheme(
    document: Document, operations: Sequence[Operation], scheme: Mapping[str, Any], login: Operation | None
) -> AuthShape | None:
    kind, place = scheme.get("type"), scheme.get("in")
    word = str(scheme.get("scheme") or "").capitalize()
    if kind in ("openIdConnect", "oauth2") or (kind == "http" and word == "Bearer"):
        if login is not None:
            return _by_login(document, operations, login)
        return AuthShape("StaticToken", decide=["no path logs in: list tokens, or sign them by SignedJwt"])
    if kind == "http":
        return AuthShape(
            "StaticToken", options={"scheme": word}, said=[f"token is what follows {word} in Authorization"]
        )
    if kind == "apiKey" and place == "header":
        return AuthShape("StaticToken", options={"header": str(scheme.get("name")), "scheme": ""})
    if kind == "apiKey" and place == "cookie" and login is not None:
        options: dict[str, Any] = {"cookie": str(scheme.get("name"))}
        options |= {"json": True} if login.form is None else {}
        return AuthShape("CookieSession", [login.path], options | _fields(document, login))
    return None


def _password_grant(document: Document, operations: Sequence[Operation], url: str) -> AuthShape:
    path = "/" + urlsplit(url).path.lstrip("/")
    paths = {operation.path for operation in operations}
    if path not in paths and f"{document.prefix}{path}" in paths:
        path = f"{document.prefix}{path}"
    shape = AuthShape("PasswordGrant", [path], _refresh(document, operations))
    if path not in paths:
        shape.decide.append(f"the document says that tokens come from {path}, which is none of its paths")
    return shape


def _by_login(document: Document, operations: Sequence[Operation], login: Operation) -> AuthShape:
    options = _refresh(document, operations)
    if login.form is not None:
        return AuthShape("PasswordGrant", [login.path], options)
    shape = AuthShape("JsonLogin", [login.path], {**_fields(document, login), **options})
    where = f"POST {login.path}"
    token = _token(document, login.answer or {}, where)
    if token is None:
        shape.decide.append(f"token: what it is called in the answer of {where}, if not access_token")
    elif token != TOKENS[0]:
        shape.options["token"] = token
    return shape


def _fields(document: Document, login: Operation) -> dict[str, Any]:
    """What name and password are called, where that is not `username` and `password`."""
    properties = _body(document, login)
    fields: dict[str, Any] = {}
    for usual, known in (("username", NAMES), ("password", PASSWORDS)):
        found = next((name for name in known if name in properties), usual)
        fields |= {} if found == usual else {usual: found}
    return fields


def _token(document: Document, answer: Schema, where: str, inside: str = "") -> str | None:
    """Where an answer holds the token: one of its properties, or one of an object in it."""
    properties = document.properties(answer, where)
    found = next((name for name in TOKENS if name in properties), None)
    if found is not None:
        return f"{inside}{found}"
    if inside:
        return None
    inner = (_token(document, node, where, f"{name}.") for name, node in properties.items())
    return next(filter(None, inner), None)


def _refresh(document: Document, operations: Sequence[Operation]) -> dict[str, Any]:
    """The call that renews a token, where one takes a `refresh_token` as JSON."""
    for operation in operations:
        named = operation.method == "POST" and "refresh" in operation.words and operation.json is not None
        if named and "refresh_token" in _body(document, operation):
            return {"refresh": operation.path}
    return {}


def _login(document: Document, operations: Sequence[Operation]) -> Operation | None:
    """What takes a name and a password and looks like a login; a form before JSON."""
    found = [
        operation
        for operation in operations
        if operation.method == "POST"
        and _LOGIN.search(operation.words)
        and not _SIGN_UP.search(operation.words)
        and not _NO_LOGIN.search(operation.words)
        and _takes_credentials(document, operation)
    ]
    return next((one for one in found if one.form is not None), found[0] if found else None)


def _takes_credentials(document: Document, operation: Operation) -> bool:
    properties = _body(document, operation)
    return bool(set(NAMES) & properties.keys()) and bool(set(PASSWORDS) & properties.keys())


def _body(document: Document, operation: Operation) -> dict[str, Schema]:
    body = operation.form if operation.form is not None else operation.json
    return document.properties(body or {}, f"{operation.method} {operation.path}")


def _register(document: Document, operations: Sequence[Operation], shape: AuthShape) -> None:
    """Add how accounts are created, where anybody may do that."""
    sign_up = next(_sign_ups(document, operations, str(shape.arguments[0])), None)
    if sign_up is None:
        return
    schema, where = sign_up.json or {}, f"POST {sign_up.path}"
    properties = _body(document, sign_up)
    name = next(name for name in NAMES if name in properties)
    password = next(name for name in PASSWORDS if name in properties)
    example = Examples(document).body(schema, where)
    body: dict[str, Any] = {name: "{name}", password: "{password}"}
    for needed in document.required(schema, where):
        if CONFIRMATIONS.fullmatch(needed):
            body[needed] = "{password}"
        elif needed == "email" and name != "email":
            body[needed] = "{name}@example.com"
        elif needed not in body:
            value = example.body.get(needed)
            body[needed] = value if isinstance(value, str | int | float | bool | list | dict) else "{name}"
    shape.registration = (sign_up.path, body)
    mail = name == "email" or properties[name].get("format") == "email"
    shape.account_name = "mul-{:04}@example.com" if mail else "mul-{:04}"
    shape.said.append("the accounts are created in the service when they first log in, and stay there")
    known = {name for name, value in body.items() if value in ("{name}", "{password}")}
    shape.decide += [f"register: {text}" for text in example.decide if text.split(":")[0] not in known]


def _sign_ups(document: Document, operations: Sequence[Operation], login: str) -> Iterator[Operation]:
    """What creates an account, the likeliest first: by its name, else accounts that anybody may create."""
    able = [
        operation
        for operation in operations
        if operation.method == "POST"
        and operation.path != login
        and operation.json is not None
        and not operation.secured
        and not operation.asks_for_more
        and _takes_credentials(document, operation)
    ]
    yield from (one for one in able if _SIGN_UP.search(one.words))
    yield from (one for one in able if one.secured is False and re.search(r"/(users|accounts)/?$", one.path))
