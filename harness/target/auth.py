"""Who is calling, and what they may do.

A token is verified by its signature; then the account still exists and the token is not revoked. Without a
cache that is one indexed look-up in the request's own transaction, so a revocation holds in every process
from its commit on. With one, revocations are looked for there, where they are before they are acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, HTTPException
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import HTTPConnection

from harness.target.cache import Cache
from harness.target.settings import Settings
from harness.target.tokens import (
    Claims,
    InvalidToken,
    PublicKey,
    SigningKey,
    Tokens,
    Verifier,
    new_private_pem,
)

__all__ = [
    "OPEN_WALLETS",
    "Access",
    "Caller",
    "Controller",
    "Guard",
    "Reader",
    "Session",
    "Writer",
    "issuing",
    "refused",
    "trusting",
    "unauthorized",
]

OPEN_WALLETS = text("""
    INSERT INTO wallets (account_id, name, balance)
    SELECT :account_id, kind || ' of canary:' || :name, 10000
    FROM unnest(ARRAY['main', 'savings', 'travel']) kind
""")
"""What every new account has."""

_ACCOUNT = text("SELECT id FROM accounts WHERE name = :name")
_ACCOUNT_OF_GOOD_TOKEN = text("""
    SELECT id FROM accounts
    WHERE name = :name AND NOT EXISTS (SELECT FROM revoked_tokens WHERE token_id = :token_id)
""")
_ADMIT = text("INSERT INTO accounts (name) VALUES (:name) ON CONFLICT (name) DO NOTHING RETURNING id")
_KEY = text("SELECT key_id, private_pem FROM signing_keys")
_KEEP_KEY = text("""
    INSERT INTO signing_keys (key_id, private_pem) VALUES (:key_id, :private_pem) ON CONFLICT DO NOTHING
""")
_PUBLISHED_WITHIN_S = 5.0

V = TypeVar("V", bound=Verifier, covariant=True)


@dataclass(frozen=True)
class Session:
    """One transaction of one signed-in account. `told` is what is published of it once it is committed, and
    `written` the documents that it changed.
    """

    connection: AsyncConnection
    account_id: int
    account: str
    cache: Cache | None = None
    told: list[tuple[str, str]] = field(default_factory=list)
    written: list[uuid.UUID] = field(default_factory=list)

    async def committed(self) -> None:
        """Have the cache know."""
        if self.cache is not None:
            for channel, told in self.told:
                await self.cache.written(self.account, self.written, channel, told)


@dataclass(frozen=True)
class Access:
    """What an account's requests go to. `admits` whom the auth service has vouched for, known here or not."""

    engine: AsyncEngine
    cache: Cache | None = None
    admits: bool = False

    async def account_id(self, connection: AsyncConnection, claims: Claims) -> int | None:
        """The account's id, None where there is none or the token is revoked."""
        look_up = {"name": claims.account, "token_id": claims.token_id}
        if self.cache is None:
            return _number((await connection.execute(_ACCOUNT_OF_GOOD_TOKEN, look_up)).scalar())
        found = (await connection.execute(_ACCOUNT, look_up)).scalar()
        if found is None and self.admits:
            return await self._admit(connection, claims.account)
        return _number(found)

    async def _admit(self, connection: AsyncConnection, name: str) -> int | None:
        """Its first request here; another one may be it, too."""
        account_id = (await connection.execute(_ADMIT, {"name": name})).scalar()
        if account_id is None:
            return _number((await connection.execute(_ACCOUNT, {"name": name})).scalar())
        await connection.execute(OPEN_WALLETS, {"account_id": account_id, "name": name})
        return _number(account_id)


class Guard(Generic[V]):
    """Verifies tokens with the key that all processes share, which `read` finds."""

    def __init__(self, read: Callable[[], Awaitable[V]], access: Access) -> None:
        self._read = read
        self._access = access
        self._tokens: V | None = None
        self._rotations = 0

    async def tokens(self) -> V:
        """The service's tokens; reads the key on first use, so that a service may start before its schema."""
        if self._tokens is not None:
            return self._tokens
        rotations, tokens = self._rotations, await self._read()
        if rotations == self._rotations:  # else the key that was read may be the old one
            self._tokens = tokens
        return tokens

    def forget_key(self) -> None:
        """Read the key anew at the next use: it may have been rotated."""
        self._tokens = None
        self._rotations += 1

    async def caller(self, token: str) -> Caller:
        """Raises InvalidToken."""
        return Caller((await self.tokens()).verify(token), self._access)


def issuing(access: Access, settings: Settings) -> Guard[Tokens]:
    """The guard of a service that has the key in its own table `signing_keys`."""

    async def read() -> Tokens:
        async with access.engine.begin() as connection:
            pem = settings.signing_key or new_private_pem()
            await connection.execute(_KEEP_KEY, {"key_id": str(uuid.uuid4()), "private_pem": pem})
            row = (await connection.execute(_KEY)).one()
        return Tokens(SigningKey(row.key_id, row.private_pem), settings.issuer, settings.audience)

    return Guard(read, access)


def trusting(access: Access, settings: Settings) -> Guard[Verifier]:
    """The guard of a service that goes by the key which another one publishes."""

    async def read() -> Verifier:
        try:
            key = await asyncio.to_thread(_published, f"{settings.auth_url}/.well-known/jwks.json")
        except (OSError, ValueError) as error:
            raise HTTPException(
                503, f"the auth service's key cannot be read: {type(error).__name__}"
            ) from error
        return Verifier(key, settings.issuer, settings.audience)

    return Guard(read, access)


def _published(url: str) -> PublicKey:
    with urllib.request.urlopen(url, timeout=_PUBLISHED_WITHIN_S) as answer:
        return PublicKey.published(json.load(answer))


@dataclass(frozen=True)
class Caller:
    """The bearer of a token whose signature is good."""

    claims: Claims
    access: Access

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One transaction as this account, committed on leaving; a revoked token is answered 401.

        Handlers open it themselves: a dependency with `yield` would commit after the response went out.
        """
        cache = self.access.cache
        if cache is not None and await cache.is_revoked(self.claims.token_id):
            raise refused()
        async with self.access.engine.begin() as connection:
            account_id = await self.access.account_id(connection, self.claims)
            if account_id is None:
                raise refused()
            session = Session(connection, account_id, self.claims.account, cache)
            yield session
        await session.committed()


def unauthorized(why: str) -> HTTPException:
    """401 as RFC 6750 wants it."""
    return HTTPException(401, why, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def refused() -> HTTPException:
    """The answer to a token that was good once."""
    return unauthorized("the token is revoked or its account is gone")


def bearer_token(connection: HTTPConnection) -> str:
    """The token of the `Authorization` header; raises InvalidToken when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("no bearer token")
    return token


def _with_scope(scope: str) -> Callable[[HTTPConnection], Awaitable[Caller]]:
    async def caller(connection: HTTPConnection) -> Caller:
        guard: Guard[Verifier] = connection.app.state.guard
        try:
            found = await guard.caller(bearer_token(connection))
        except InvalidToken as error:
            raise unauthorized(str(error)) from error
        if scope not in found.claims.scopes:
            raise HTTPException(403, f"the token lacks the scope {scope!r}")
        return found

    return caller


def _number(found: object) -> int | None:
    return found if isinstance(found, int) else None


Reader = Annotated[Caller, Depends(_with_scope("read"))]
Writer = Annotated[Caller, Depends(_with_scope("write"))]
Controller = Annotated[Caller, Depends(_with_scope("migration_test"))]
