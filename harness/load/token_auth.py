"""Authentication by tokens: had by a form or by JSON, given in a file, or signed by ourselves."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import jwt

from harness.clock import utc_now
from harness.core.accounts import Account
from harness.core.bodies import value_at
from harness.environ import variable
from harness.errors import UsageError
from harness.load.auth import Auth, Credentials, LoginError, Send, answered_json, json_object, required
from harness.load.http_response import Response, service_clock

__all__ = ["BearerAuth", "JsonLogin", "PasswordGrant", "Refresh", "Revoke", "SignedJwt", "StaticToken"]

_KEYS_TOLD = 20
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Refresh:
    """The call that gives new tokens for a refresh token, and how the token is sent.

    `by`: `json` and `form` send it as the field `field`, a form with `grant_type` as RFC 6749 §6 has it;
    `bearer` sends it in place of the access token.
    """

    path: str
    by: Literal["json", "form", "bearer"] = "json"
    field: str = "refresh_token"

    def send(self, token: str, send: Send) -> Response:
        """Ask for new tokens."""
        match self.by:
            case "bearer":
                return send(
                    "POST", self.path, headers={"Authorization": f"Bearer {token}"}, reader=json_object
                )
            case "form":
                form = {"grant_type": "refresh_token", self.field: token}
                return send("POST", self.path, data=form, reader=json_object)
            case _:
                return send("POST", self.path, json={self.field: token}, reader=json_object)


@dataclass(frozen=True)
class Revoke:
    """The call that ends an access token, as RFC 7009 has it or as a logout.

    `by`: `json` and `form` send it as the field `field`; `bearer` sends it as any request does.
    """

    path: str
    by: Literal["json", "form", "bearer"] = "form"
    field: str = "token"

    def send(self, token: str, send: Send) -> Response:
        """Ask for its end."""
        match self.by:
            case "bearer":
                return send("POST", self.path, headers={"Authorization": f"Bearer {token}"})
            case "form":
                return send("POST", self.path, data={self.field: token})
            case _:
                return send("POST", self.path, json={self.field: token})


@dataclass(frozen=True)
class BearerAuth(Auth):
    """Sends a token in a header: after `scheme` if there is one, else bare.

    The rest is for the tokens that the service must refuse: `jwks` is where it shows its public keys (RFC
    7517), `signing_key` the environment variable that holds the key it signs with, and `leeway_s` how long
    after their end it may still take its tokens.
    """

    header: str = field(default="Authorization", kw_only=True)
    scheme: str = field(default="Bearer", kw_only=True)
    jwks: str | None = field(default=None, kw_only=True)
    signing_key: str | None = field(default=None, kw_only=True)
    leeway_s: float = field(default=60.0, kw_only=True)

    bears_token: ClassVar[bool] = True

    def token_of(self, credentials: Credentials) -> str | None:
        """The token that goes with every request."""
        return credentials.headers.get(self.header, "").removeprefix(self.scheme).strip() or None

    def proof_by(self, token: str) -> Credentials:
        """Credentials that bear another token."""
        return self._proof(token)

    @property
    def key_held_in(self) -> str | None:
        """The environment variable with the key that the service signs with, None where it is not known."""
        return self.signing_key

    @property
    def revocation(self) -> Revoke | None:
        """The call that ends a token."""
        return None

    @property
    def narrowed(self) -> Auth | None:
        """The same, for tokens that may only read."""
        return None

    def _proof(self, token: str, refresh_token: str | None = None, life_s: float = math.inf) -> Credentials:
        headers = {self.header: f"{self.scheme} {token}".lstrip()}
        return Credentials(headers, refresh_token=refresh_token, life_s=life_s)


@dataclass(frozen=True)
class _Asked(BearerAuth):
    """A token that a service answers with, at `token` in its JSON; dots lead into objects (`data.token`).

    It lasts for its `expires_in` seconds (RFC 6749 §5.1), else, where it is a JSON Web Token, until its
    `exp`, else for ever.
    """

    path: str
    refresh: Refresh | str | None = field(default=None, kw_only=True)
    revoke: Revoke | str | None = field(default=None, kw_only=True)
    token: str = field(default="access_token", kw_only=True)
    refresh_token: str = field(default="refresh_token", kw_only=True)
    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    needs_password: ClassVar[bool] = True

    @property
    def revocation(self) -> Revoke | None:
        """The call that ends a token."""
        return Revoke(self.revoke) if isinstance(self.revoke, str) else self.revoke

    def renew(self, account: Account, credentials: Credentials, send: Send) -> Credentials | None:
        """New tokens by the refresh call; the old refresh token stays where no new one comes."""
        if self.refresh is None or credentials.refresh_token is None:
            return None
        call = Refresh(self.refresh) if isinstance(self.refresh, str) else self.refresh
        response = call.send(credentials.refresh_token, send)
        return self._granted(account, response, call.path, credentials.refresh_token)

    def check(self, account: Account) -> None:
        """Raise UsageError when this cannot work for such an account."""
        super().check(account)
        required(account, self.extra, f"{type(self).__name__}(extra=…)")

    def _granted(
        self, account: Account, response: Response, path: str, old_refresh: str | None = None
    ) -> Credentials:
        answer = answered_json(account, response, f"POST {path}")
        token = value_at(answer, self.token)
        if not isinstance(token, str) or not token:
            # Values may be secrets; the names of the keys say enough.
            keys = ", ".join(sorted(answer)[:_KEYS_TOLD]) or "none"
            what = f"POST {path} answered HTTP {response.status_code}"
            raise LoginError(account, f"{what} without {self.token}; its keys are: {keys}")
        if not _SENDABLE.fullmatch(token):
            raise LoginError(account, f"POST {path} answered a token that no header can bear")
        refresh_token = value_at(answer, self.refresh_token)
        return self._proof(
            token,
            refresh_token if isinstance(refresh_token, str) else old_refresh,
            _life(answer, token, service_clock(response)),
        )


@dataclass(frozen=True)
class PasswordGrant(_Asked):
    """OAuth 2.0's password grant (RFC 6749 §4.3), as FastAPI's OAuth2PasswordRequestForm takes it.

    `read_scope` is a scope that does not let its holder write: what is tried with it must be refused.
    """

    scope: str | None = field(default=None, kw_only=True)
    read_scope: str | None = field(default=None, kw_only=True)

    @property
    def narrowed(self) -> Auth | None:
        """The same, for tokens that may only read."""
        return replace(self, scope=self.read_scope) if self.read_scope is not None else None

    def log_in(self, account: Account, send: Send) -> Credentials:
        """Tokens for name and password, sent as a form."""
        form = {"grant_type": "password", "username": account.name, "password": account.password}
        if self.scope is not None:
            form["scope"] = self.scope
        form |= account.fill(self.extra)
        return self._granted(account, send("POST", self.path, data=form, reader=json_object), self.path)


@dataclass(frozen=True)
class JsonLogin(_Asked):
    """A login by a JSON object with name and password in the fields `username` and `password`."""

    username: str = field(default="username", kw_only=True)
    password: str = field(default="password", kw_only=True)

    def log_in(self, account: Account, send: Send) -> Credentials:
        """A token for name and password, sent as JSON."""
        body = {self.username: account.name, self.password: account.password, **account.fill(self.extra)}
        return self._granted(account, send("POST", self.path, json=body, reader=json_object), self.path)


@dataclass(frozen=True)
class StaticToken(BearerAuth):
    """A token or API key that the accounts file gives each account, in the column `column`."""

    column: str = field(default="token", kw_only=True)

    asks: ClassVar[bool] = False

    def log_in(self, account: Account, send: Send) -> Credentials:  # noqa: ARG002
        """The account's token."""
        return self._proof(str(account.columns[self.column]))

    def refuses(self, response: Response) -> bool:  # noqa: ARG002
        """There is no other token to try."""
        return False

    def check(self, account: Account) -> None:
        """Raise UsageError when the account has no token."""
        super().check(account)
        if not account.columns.get(self.column):
            raise UsageError(
                f"StaticToken needs a {self.column} of each account, and {account.name} has none.",
                f"Give a file with the column {self.column} by --accounts.",
            )


@dataclass(frozen=True)
class SignedJwt(BearerAuth):
    """A JSON Web Token that we sign ourselves with the service's key.

    The environment variable `key_variable` holds the key: a shared secret, or a private key as PEM. `claims`
    may hold `{name}` and columns of the accounts file; `iat` and `exp` are added. `headers` are the token's
    own, such as a `kid`.
    """

    key_variable: str
    claims: Mapping[str, Any] = field(default_factory=lambda: {"sub": "{name}"}, kw_only=True)
    algorithm: str = field(default="HS256", kw_only=True)
    lifetime_s: float = field(default=300.0, kw_only=True)
    headers: Mapping[str, Any] | None = field(default=None, kw_only=True)

    asks: ClassVar[bool] = False

    @property
    def key_held_in(self) -> str | None:
        """The environment variable with the key."""
        return self.key_variable

    def log_in(self, account: Account, send: Send) -> Credentials:  # noqa: ARG002
        """A token that is good from now on."""
        key = variable(self.key_variable)
        if key is None:
            raise LoginError(account, f"the environment variable {self.key_variable} is not set here")
        now = int(utc_now().timestamp())
        claims = {"iat": now, "exp": now + math.ceil(self.lifetime_s), **account.fill(self.claims)}
        token = jwt.encode(claims, key, self.algorithm, headers=dict(self.headers or {}) or None)
        return self._proof(token, life_s=self.lifetime_s)

    def check(self, account: Account) -> None:
        """Raise UsageError when there is no key, or it is none for the algorithm."""
        super().check(account)
        required(account, self.claims, "SignedJwt(claims=…)")
        if variable(self.key_variable) is None:
            raise UsageError(
                f"SignedJwt signs with the key in {self.key_variable}, which is not set.",
                f"Set it to the service's key: export {self.key_variable}=…",
            )
        try:
            self.log_in(account, _nobody)
        except (jwt.PyJWTError, NotImplementedError, TypeError, ValueError) as error:
            raise UsageError(
                f"The key in {self.key_variable} signs nothing by {self.algorithm} ({type(error).__name__}).",
                "HS… takes a shared secret, RS…, ES… and EdDSA a private key as PEM.",
            ) from None


def _nobody(*_: Any, **__: Any) -> Response:
    raise NotImplementedError("nobody is asked")


def _life(answer: Mapping[str, Any], token: str, now: float) -> float:
    """For how many seconds from `now`, by the service's clock, the token is good; for ever where nothing says
    so, or what does says that it is over already.
    """
    for said in (_expires_in(answer), _until(token, now)):
        if said is not None:
            return said if said > 0 else math.inf
    return math.inf


def _expires_in(answer: Mapping[str, Any]) -> float | None:
    """Optional (RFC 6749 §5.1), and what is no number says nothing."""
    try:
        return float(answer["expires_in"])
    except (KeyError, OverflowError, TypeError, ValueError):
        return None


def _until(token: str, now: float) -> float | None:
    """By its own `iat` where it has one; what is no JSON Web Token says nothing."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return float(claims["exp"]) - float(claims.get("iat") or now)
    except (jwt.PyJWTError, KeyError, OverflowError, TypeError, ValueError):
        return None
