"""`/ws`: an account's own changes and the migration's status, pushed as they are committed.

Each process listens on one connection of its own, to PostgreSQL or to the cache, and hands notifications to
the sockets it holds; it hears there, too, when the signing key was rotated.
Notifications are not queued for who is away, so a socket that sees a gap in its numbers, and every socket
after the listening connection was lost, reads what it missed from the table `events`. A token is checked when
a socket opens, and the socket is closed when the token ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal, Protocol

import psycopg
from fastapi import APIRouter, HTTPException, Query, WebSocket
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketDisconnect

from harness.target.auth import Caller, Controller, Guard, bearer_token
from harness.target.cache import CacheError
from harness.target.changes import (
    announce,
    change_message,
    changes_after,
    last_number,
)
from harness.target.channels import CHANGES, KEYS, MIGRATION
from harness.target.tokens import InvalidToken, Verifier

__all__ = ["Hub", "Listen", "router"]

router = APIRouter()
_log = logging.getLogger(__name__)

_SQL_CHARACTERS = 1000
"""How much of a statement's text is broadcast: NOTIFY carries less than 8,000 bytes."""
_QUEUE = 1000
"""Messages a slow reader may fall behind before its socket is closed."""
_RECONNECT_S = 0.2


class _CatchUp:
    """In a subscriber's queue: read the table, notifications may have been lost."""


class Subscriber:
    """One open socket: what waits to be sent to it."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._queue: asyncio.Queue[dict[str, Any] | str | _CatchUp] = asyncio.Queue()

    def put(self, item: dict[str, Any] | str | _CatchUp) -> None:
        self._queue.put_nowait(item)

    async def next(self) -> dict[str, Any] | str | _CatchUp:
        """A change, a message ready to be sent, or the order to catch up."""
        return await self._queue.get()

    @property
    def too_slow(self) -> bool:
        return self._queue.qsize() > _QUEUE


class Channels(Protocol):
    """What brings a process the word of the others."""

    def listening(self, *channels: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, str]]]: ...


class Listen:
    """PostgreSQL's LISTEN, on a connection of its own."""

    def __init__(self, libpq_url: str) -> None:
        self._url = libpq_url

    @asynccontextmanager
    async def listening(self, *channels: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute("; ".join(f"LISTEN {channel}" for channel in channels))
            yield ((one.channel, one.payload) async for one in connection.notifies())


class Hub:
    """This process's sockets, and the connection that listens for all of them.

    `connected` is called whenever that connection is made, `key_rotated` whenever the signing key may have
    been rotated.
    """

    def __init__(
        self,
        channels: Channels,
        key_rotated: Callable[[], None],
        connected: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._channels = channels
        self._key_rotated = key_rotated
        self._connected = connected
        self._subscribers: dict[str, set[Subscriber]] = {}

    def subscribe(self, account: str) -> Subscriber:
        subscriber = Subscriber(account)
        self._subscribers.setdefault(account, set()).add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        remaining = self._subscribers[subscriber.account]
        remaining.discard(subscriber)
        if not remaining:
            del self._subscribers[subscriber.account]

    async def listen(self) -> None:
        """Listens until cancelled, connecting again whenever the connection is lost."""
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, SQLAlchemyError, CacheError) as error:
                _log.warning("the listening connection was lost (%s); connecting again", type(error).__name__)
            await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        async with self._channels.listening(CHANGES, MIGRATION, KEYS) as notifications:
            if self._connected is not None:
                await self._connected()
            self._key_rotated()
            self._to_all(_CatchUp())
            async for channel, payload in notifications:
                self._dispatch(channel, payload)

    def _dispatch(self, channel: str, payload: str) -> None:
        if channel == KEYS:
            self._key_rotated()
            return
        if channel == MIGRATION:
            self._to_all(payload)
            return
        change = json.loads(payload)
        for subscriber in self._subscribers.get(change["account"], ()):
            subscriber.put(change)

    def _to_all(self, item: str | _CatchUp) -> None:
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.put(item)


class Feed:
    """Sends one subscriber's messages in order: each change once, none left out."""

    def __init__(self, websocket: WebSocket, caller: Caller, subscriber: Subscriber) -> None:
        self._websocket = websocket
        self._caller = caller
        self._subscriber = subscriber
        self._sent = 0

    def token_ends_in(self) -> float:
        """For how many seconds the token is still good that the socket was opened by."""
        return self._caller.claims.expires_at - time.time()

    async def run(self, after: int | None) -> None:
        """Greets, resumes after the number `after` if given, then sends until cancelled."""
        async with self._caller.transaction() as session:
            last = await last_number(session)
        await self._greet(last)
        self._sent = last if after is None else after
        await self._catch_up()
        while not self._subscriber.too_slow:
            await self._forward(await self._subscriber.next())
        await self._websocket.close(1013, "too slow")

    async def _greet(self, last: int) -> None:
        account = self._subscriber.account
        await self._websocket.send_json({"type": "welcome", "account": account, "last_seq": last})

    async def _forward(self, item: dict[str, Any] | str | _CatchUp) -> None:
        if isinstance(item, str):
            await self._websocket.send_text(item)
        elif isinstance(item, _CatchUp) or item["seq"] > self._sent + 1:
            await self._catch_up()
        elif item["seq"] == self._sent + 1:
            await self._send_change(item)

    async def _catch_up(self) -> None:
        while changes := await self._missed():
            for change in changes:
                await self._send_change(change)

    async def _missed(self) -> list[dict[str, Any]]:
        async with self._caller.transaction() as session:
            return await changes_after(session, self._sent)

    async def _send_change(self, change: dict[str, Any]) -> None:
        await self._websocket.send_text(change_message(change))
        self._sent = change["seq"]


class MigrationEvent(BaseModel):
    status: Literal["started", "statement", "finished", "failed"]
    statement: int | None = None
    revision: str | None = Field(default=None, max_length=100)
    sql: str | None = None
    announcement: int | None = None
    """The announcer's own number for it, which is passed on."""


@router.post("/migration-events", status_code=202)
async def announce_migration(event: MigrationEvent, caller: Controller) -> Response:
    """Broadcasts the migration's status to every socket of every process."""
    message = {"type": "migration", **event.model_dump(), "server_time": time.time()}
    if event.sql is not None:
        message["sql"] = event.sql[:_SQL_CHARACTERS]
    payload = json.dumps(message, ensure_ascii=False)
    async with caller.transaction() as session:
        await announce(session, MIGRATION, payload)
    return JSONResponse({}, 202)


@router.websocket("/ws")
async def subscribe(
    websocket: WebSocket, token: str | None = None, after: Annotated[int | None, Query(ge=0)] = None
) -> None:
    """The token travels in the `Authorization` header or, for browsers, as `?token=`."""
    guard: Guard[Verifier] = websocket.app.state.guard
    hub: Hub = websocket.app.state.hub
    try:
        caller = await guard.caller(token or bearer_token(websocket))
        async with caller.transaction():
            pass
    except (InvalidToken, HTTPException) as error:
        status = error.status_code if isinstance(error, HTTPException) else 401
        await websocket.send_denial_response(JSONResponse({"detail": "invalid token"}, status))
        return
    except CacheError:
        await websocket.send_denial_response(JSONResponse({"detail": "the cache is away"}, 503))
        return
    if "read" not in caller.claims.scopes:
        await websocket.send_denial_response(
            JSONResponse({"detail": "the token lacks the scope 'read'"}, 403)
        )
        return
    await websocket.accept()
    subscriber = hub.subscribe(caller.claims.account)
    try:
        await _until_either_ends(Feed(websocket, caller, subscriber), websocket, after)
    finally:
        hub.unsubscribe(subscriber)


async def _until_either_ends(feed: Feed, websocket: WebSocket, after: int | None) -> None:
    """Sends until the client goes; what the client says is read and ignored."""
    sending = asyncio.create_task(_send(feed, websocket, after))
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


async def _send(feed: Feed, websocket: WebSocket, after: int | None) -> None:
    try:
        async with asyncio.timeout(feed.token_ends_in()):
            await feed.run(after)
    except WebSocketDisconnect:
        return
    except TimeoutError:
        await websocket.close(4401, "the token has ended")
    except HTTPException:
        await websocket.close(4401, "the token was revoked")
    except (SQLAlchemyError, CacheError) as error:
        _log.warning("a socket is closed: its changes could not be read (%s)", type(error).__name__)
        await websocket.close(1011, "database error")
