"""Who is calling, and what they may do.

A token is verified by its signature, then by one indexed look-up in the request's own transaction: the
account still exists and the token is not revoked. So a revocation holds in every process from its commit on.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import HTTPConnection

from harness.target.settings import Settings
from harness.target.tokens import Claims, InvalidToken, SigningKey, Tokens, new_private_pem

__all__ = ["SCOPES", "Caller", "Controller", "Guard", "Reader", "Session", "Writer", "unauthorized"]

SCOPES = frozenset({"read", "write", "migration_test"})

_ACCOUNT = text("""
    SELECT id FROM accounts
    WHERE name = :name AND NOT EXISTS (SELECT FROM revoked_tokens WHERE token_id = :token_id)
""")
_KEY = text("SELECT key_id, private_pem FROM signing_keys")
_KEEP_KEY = text("""
    INSERT INTO signing_keys (key_id, private_pem) VALUES (:key_id, :private_pem) ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True)
class Session:
    """One transaction of one signed-in account."""

    connection: AsyncConnection
    account_id: int
    account: str


class Guard:
    """Verifies tokens with the key that all processes share through the table `signing_keys`."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._tokens: Tokens | None = None
        self._rotations = 0

    async def tokens(self) -> Tokens:
        """The service's tokens; reads the key on first use, so that a service may start before its schema."""
        if self._tokens is not None:
            return self._tokens
        rotations, key = self._rotations, await self._signing_key()
        tokens = Tokens(key, self._settings.issuer, self._settings.audience)
        if rotations == self._rotations:  # else the key that was read may be the old one
            self._tokens = tokens
        return tokens

    def forget_key(self) -> None:
        """Read the key anew at the next use: it may have been rotated."""
        self._tokens = None
        self._rotations += 1

    async def caller(self, token: str) -> Caller:
        """Raises InvalidToken."""
        return Caller((await self.tokens()).verify(token), self._engine)

    async def _signing_key(self) -> SigningKey:
        async with self._engine.begin() as connection:
            pem = self._settings.signing_key or new_private_pem()
            await connection.execute(_KEEP_KEY, {"key_id": str(uuid.uuid4()), "private_pem": pem})
            row = (await connection.execute(_KEY)).one()
        return SigningKey(row.key_id, row.private_pem)


@dataclass(frozen=True)
class Caller:
    """The bearer of a token whose signature is good."""

    claims: Claims
    engine: AsyncEngine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One transaction as this account, committed on leaving; a revoked token is answered 401.

        Handlers open it themselves: a dependency with `yield` would commit after the response went out.
        """
        async with self.engine.begin() as connection:
            look_up = {"name": self.claims.account, "token_id": self.claims.token_id}
            account_id = (await connection.execute(_ACCOUNT, look_up)).scalar()
            if account_id is None:
                raise unauthorized("the token is revoked or its account is gone")
            yield Session(connection, account_id, self.claims.account)


def unauthorized(why: str) -> HTTPException:
    """401 as RFC 6750 wants it."""
    return HTTPException(401, why, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def bearer_token(connection: HTTPConnection) -> str:
    """The token of the `Authorization` header; raises InvalidToken when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("no bearer token")
    return token


def _with_scope(scope: str) -> Callable[[HTTPConnection], Awaitable[Caller]]:
    async def caller(connection: HTTPConnection) -> Caller:
        guard: Guard = connection.app.state.guard
        try:
            found = await guard.caller(bearer_token(connection))
        except InvalidToken as error:
            raise unauthorized(str(error)) from error
        if scope not in found.claims.scopes:
            raise HTTPException(403, f"the token lacks the scope {scope!r}")
        return found

    return caller


Reader = Annotated[Caller, Depends(_with_scope("read"))]
Writer = Annotated[Caller, Depends(_with_scope("write"))]
Controller = Annotated[Caller, Depends(_with_scope("migration_test"))]
