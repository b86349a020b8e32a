"""Registering, signing in and out: OAuth 2.0's password grant with rotating refresh tokens."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from harness.target.auth import OPEN_WALLETS, Guard, unauthorized
from harness.target.cache import Cache
from harness.target.passwords import hash_password, password_matches
from harness.target.settings import Settings
from harness.target.tokens import InvalidToken, Tokens

__all__ = ["revoke_again", "router"]

router = APIRouter()

_REGISTER = text("""
    INSERT INTO accounts (name, password_hash, scope) VALUES (:name, :password_hash, 'read write')
    ON CONFLICT (name) DO NOTHING RETURNING id
""")
_ACCOUNT = text("SELECT id, password_hash, scope FROM accounts WHERE name = :name")
_KEEP_REFRESH = text("""
    INSERT INTO refresh_tokens (digest, account_id, scope, expires_at)
    VALUES (:digest, :account_id, :scope, now() + make_interval(secs => :ttl_s))
""")
_USE_REFRESH = text("""
    DELETE FROM refresh_tokens USING accounts
    WHERE digest = :digest AND account_id = accounts.id AND expires_at > now()
    RETURNING account_id, accounts.name, refresh_tokens.scope
""")
_REVOKE_REFRESH = text("DELETE FROM refresh_tokens WHERE digest = :digest")
_REVOKE_ACCESS = text("""
    INSERT INTO revoked_tokens (token_id, expires_at) VALUES (:token_id, to_timestamp(:expires_at))
    ON CONFLICT DO NOTHING
""")
_FORGET_EXPIRED = text("DELETE FROM revoked_tokens WHERE expires_at < now()")
_REVOKED = text("""
    SELECT token_id, extract(epoch FROM expires_at)::int AS expires_at FROM revoked_tokens
    WHERE expires_at > now()
""")


class Registration(BaseModel):
    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.@+-]+$")
    password: str = Field(min_length=8, max_length=200)


class Refresh(BaseModel):
    refresh_token: str


class Revocation(BaseModel):
    token: str


@dataclass(frozen=True)
class Desk:
    """What every handler here needs."""

    engine: AsyncEngine
    settings: Settings
    tokens: Tokens
    cache: Cache | None

    async def grant(
        self, connection: AsyncConnection, account_id: int, account: str, scopes: frozenset[str]
    ) -> dict[str, Any]:
        """A fresh pair of tokens, as RFC 6749 §5.1 answers it."""
        refresh_token = secrets.token_urlsafe(32)
        ttl_s = self.settings.access_ttl_s
        row = {
            "digest": _digest(refresh_token),
            "account_id": account_id,
            "scope": " ".join(sorted(scopes)),
            "ttl_s": self.settings.refresh_ttl_s,
        }
        await connection.execute(_KEEP_REFRESH, row)
        return {
            "access_token": self.tokens.issue(account, scopes, time.time(), ttl_s),
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": ttl_s,
            "scope": row["scope"],
        }


async def _desk(request: Request) -> Desk:
    state = request.app.state
    guard: Guard[Tokens] = state.guard
    return Desk(state.access.engine, state.settings, await guard.tokens(), state.access.cache)


AtDesk = Annotated[Desk, Depends(_desk)]


@router.post("/register", status_code=201)
async def register(registration: Registration, desk: AtDesk) -> dict[str, str]:
    password_hash = await asyncio.to_thread(hash_password, registration.password)
    row = {"name": registration.name, "password_hash": password_hash}
    async with desk.engine.begin() as connection:
        account_id = (await connection.execute(_REGISTER, row)).scalar()
        if account_id is None:
            raise HTTPException(409, "the name is taken")
        if desk.settings.role == "all":
            await connection.execute(OPEN_WALLETS, {"account_id": account_id, "name": registration.name})
    return {"name": registration.name}


@router.post("/token")
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], desk: AtDesk) -> dict[str, Any]:
    """Asked for no scope, the account gets all it may have."""
    async with desk.engine.begin() as connection:
        account = (await connection.execute(_ACCOUNT, {"name": form.username})).one_or_none()
    stored = None if account is None else account.password_hash
    if not await password_matches(stored, form.password) or account is None:
        raise HTTPException(401, "wrong name or password", {"WWW-Authenticate": "Bearer"})
    allowed = frozenset(account.scope.split())
    scopes = frozenset(form.scopes) or allowed
    if not scopes <= allowed:
        raise HTTPException(400, f"invalid_scope: {' '.join(sorted(scopes - allowed))}")
    async with desk.engine.begin() as connection:
        return await desk.grant(connection, account.id, form.username, scopes)


@router.post("/token/refresh")
async def refresh(request: Refresh, desk: AtDesk) -> dict[str, Any]:
    """A refresh token works once: using it deletes it."""
    async with desk.engine.begin() as connection:
        used = await connection.execute(_USE_REFRESH, {"digest": _digest(request.refresh_token)})
        row = used.one_or_none()
        if row is None:
            raise unauthorized("the refresh token is unknown, used or expired")
        return await desk.grant(connection, row.account_id, row.name, frozenset(row.scope.split()))


@router.post("/token/revoke")
async def revoke(revocation: Revocation, desk: AtDesk) -> dict[str, str]:
    """Takes either kind of token; 200 for an unknown one too, as RFC 7009 §2.2 says."""
    async with desk.engine.begin() as connection:
        await connection.execute(_REVOKE_REFRESH, {"digest": _digest(revocation.token)})
        try:
            claims = desk.tokens.verify(revocation.token)
        except InvalidToken:
            return {}
        row = {"token_id": claims.token_id, "expires_at": claims.expires_at}
        await connection.execute(_REVOKE_ACCESS, row)
        await connection.execute(_FORGET_EXPIRED)
    if desk.cache is not None:
        await desk.cache.revoke(claims.token_id, claims.expires_at)
    return {}


@router.get("/.well-known/jwks.json")
async def jwks(desk: AtDesk) -> dict[str, Any]:
    return desk.tokens.key.jwks()


async def revoke_again(engine: AsyncEngine, cache: Cache) -> None:
    """Tell a cache that may have lost its memory which tokens are revoked."""
    async with engine.begin() as connection:
        rows = (await connection.execute(_REVOKED)).all()
    for row in rows:
        await cache.revoke(row.token_id, row.expires_at)


def _digest(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode()).digest()
