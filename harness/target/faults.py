"""Faults: the service broken on purpose, so that tests see which of the harness's gates go red.

`MUL_TARGET_FAULT` names one. Each stands around the whole service as ASGI middleware and changes what comes
out of it, or what goes in; the service itself stays as it is. A fault strikes at every n-th chance of its
process, never by luck: at the demo's 80 requests a second each strikes several times in ten seconds.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, ClassVar

import jwt
from fastapi import FastAPI
from sqlalchemy import text
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.target.auth import Guard
from harness.target.cache import Cache
from harness.target.tokens import InvalidToken, Tokens

__all__ = ["FAULTS", "plant"]

_log = logging.getLogger(__name__)

_DOCUMENT = re.compile(r"/documents/[^/]+")
_DROP = text("DELETE FROM documents WHERE id = :id")
_TAKE_BACK = text("UPDATE wallets SET balance = balance - :amount WHERE id = :to")
_FOR_S = 60
_LASTS_S = 86_400


def plant(app: FastAPI, name: str) -> None:
    """Break the service in the way called `name`; raises SystemExit for another, naming
    those there are, and for one of the cache where there is none.
    """
    if name not in FAULTS:
        raise SystemExit(f"MUL_TARGET_FAULT is {name!r}; it takes one of {', '.join(FAULTS)}.")
    if FAULTS[name].breaks_the_cache and app.state.access.cache is None:
        raise SystemExit(
            f"MUL_TARGET_FAULT is {name!r}; that needs a cache, and MUL_TARGET_CACHE_URL is not set."
        )
    _log.warning("this service is broken on purpose: %s", name)
    app.add_middleware(FAULTS[name])


class _Answer:
    """An answer kept until it is whole."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    @property
    def status(self) -> int:
        return int(self.start["status"])

    async def send(self, send: Send) -> None:
        length = (b"content-length", str(len(self.body)).encode())
        headers = [header for header in self.start["headers"] if header[0] != length[0]]
        body = () if self.status == 204 else (length,)
        await send({**self.start, "headers": [*headers, *body]})
        await send({"type": "http.response.body", "body": self.body})


class _Fault:
    """Strikes at every `every`-th chance."""

    every: ClassVar[int] = 1
    breaks_the_cache: ClassVar[bool] = False

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._chances = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    def _strikes(self) -> bool:
        return next(self._chances) % self.every == 0


class _FaultyAnswer(_Fault):
    """Comes between the service and the answers to requests of one kind."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer()
        await self._app(scope, receive, answer.take)
        await self._spoil(scope, answer)
        await answer.send(send)

    async def _spoil(self, scope: Scope, answer: _Answer) -> None:
        raise NotImplementedError


class _DropWrites(_FaultyAnswer):
    """A create is acknowledged, and what it wrote is dropped."""

    every = 40

    async def _spoil(self, scope: Scope, answer: _Answer) -> None:
        created = scope["method"] == "POST" and scope["path"] == "/documents" and answer.status == 201
        if created and self._strikes():
            async with scope["app"].state.access.engine.begin() as connection:
                await connection.execute(_DROP, {"id": json.loads(answer.body)["id"]})


class _MixUpAccounts(_FaultyAnswer):
    """A read is answered with what another account was last shown, as by a cache that forgets who asks."""

    every = 50

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._last: list[tuple[bytes, bytes]] = []  # the latest answer to each of the last two who asked

    async def _spoil(self, scope: Scope, answer: _Answer) -> None:
        if not _is_document(scope, answer):
            return
        asker, own = _authorization(scope), answer.body
        others = [body for who, body in self._last if who != asker]
        if others and self._strikes():
            answer.body = others[-1]
        self._last = [*((who, body) for who, body in self._last if who != asker), (asker, own)][-2:]


class _ServeStaleReads(_FaultyAnswer):
    """A document that has changed is shown as it was when its account first looked at it."""

    every = 5

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._first: dict[tuple[bytes, str], bytes] = {}

    async def _spoil(self, scope: Scope, answer: _Answer) -> None:
        if not _is_document(scope, answer):
            return
        first = self._first.setdefault((_authorization(scope), scope["path"]), answer.body)
        if first != answer.body and self._strikes():
            answer.body = first


class _BreakTransfers(_FaultyAnswer):
    """A transfer takes the money from one wallet, and gives it to none."""

    every = 2

    async def _spoil(self, scope: Scope, answer: _Answer) -> None:
        moved = scope["method"] == "POST" and scope["path"] == "/transfers" and answer.status == 201
        if moved and self._strikes():
            async with scope["app"].state.access.engine.begin() as connection:
                await connection.execute(_TAKE_BACK, json.loads(answer.body))


class _SkipEvents(_Fault):
    """A change is pushed to nobody, and the numbers go on."""

    every = 50

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_most(message: Message) -> None:
            if not (_is_change(message) and self._strikes()):
                await send(message)

        await self._app(scope, receive, send_most if scope["type"] == "websocket" else send)


class _AcceptAnyToken(_Fault):
    """A token is believed whatever it says, whoever signed it, and however old it is; so a stream does not
    end with its token.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            tokens = await _tokens(scope)
            believed = _signed_anew if scope["type"] == "http" else _prolonged
            headers = [_with_token(partial(believed, tokens), *header) for header in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


class _ForgetRevisions(_Fault):
    """A document is kept in the cache whichever revision the schema has, so its old shape outlives a
    migration.
    """

    breaks_the_cache = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            cache: Cache = scope["app"].state.access.cache
            cache.by_revision = False
        await self._app(scope, receive, send)


FAULTS: dict[str, type[_Fault]] = {
    "drop-writes": _DropWrites,
    "mix-up-accounts": _MixUpAccounts,
    "accept-any-token": _AcceptAnyToken,
    "skip-events": _SkipEvents,
    "serve-stale-reads": _ServeStaleReads,
    "break-transfers": _BreakTransfers,
    "forget-revisions": _ForgetRevisions,
}


def _is_document(scope: Scope, answer: _Answer) -> bool:
    """Whether one document was shown."""
    asked = scope["method"] == "GET" and _DOCUMENT.fullmatch(scope["path"]) is not None
    return asked and answer.status == 200


def _is_change(message: Message) -> bool:
    told: str = message.get("text") or "{}"
    return bool(message["type"] == "websocket.send" and json.loads(told).get("type") == "change")


def _authorization(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"authorization"), b"")


async def _tokens(scope: Scope) -> Tokens:
    guard: Guard[Tokens] = scope["app"].state.guard
    return await guard.tokens()


def _with_token(change: Callable[[str], str], name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header; another token stands in it where it bears one."""
    if name != b"authorization":
        return name, value
    scheme, _, token = value.decode("latin-1").partition(" ")
    return name, f"{scheme} {change(token)}".encode("latin-1")


def _prolonged(tokens: Tokens, token: str) -> str:
    """A good token that says the same and lasts."""
    try:
        claims = tokens.verify(_signed_anew(tokens, token))
    except InvalidToken:  # it says nothing that could be believed
        return token
    return tokens.issue(claims.account, claims.scopes, time.time(), _LASTS_S)


def _signed_anew(tokens: Tokens, token: str) -> str:
    """A token that says the same and is good."""
    try:
        tokens.verify(token)
    except InvalidToken:
        try:
            claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return token
        scopes = frozenset(str(claims.get("scope", "")).split())
        return tokens.issue(str(claims.get("sub")), scopes, time.time(), _FOR_S)
    return token
