"""The service, put together: a small multi-account document store as a user of the harness might run it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from fastapi import FastAPI, HTTPException, Request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.responses import JSONResponse, Response

from harness.target import accounts, documents, transfers, websocket
from harness.target.auth import Access, issuing, trusting
from harness.target.cache import Cache, CacheError
from harness.target.database import create_engine, database_failed, pool_exhausted
from harness.target.faults import plant
from harness.target.schema import Schema
from harness.target.settings import Settings
from harness.target.sqlcommenter import RequestTrace

__all__ = ["create_app"]

_PARTS = {
    "all": (accounts, documents, transfers, websocket),
    "auth": (accounts,),
    "api": (documents, transfers, websocket),
}
"""What each role serves."""


def create_app() -> FastAPI:
    """The application, from the settings in the environment; uvicorn calls it once in every process."""
    settings = Settings.from_environment()
    settings.check_role()
    settings.check_pooler()
    app = FastAPI(title="Documents", lifespan=_lifespan)
    app.state.settings = settings
    cache = None if settings.cache_url is None else Cache(settings.cache_url)
    access = Access(create_engine(settings), cache, admits=settings.role == "api")
    app.state.access = access
    app.state.guard = (trusting if settings.role == "api" else issuing)(access, settings)
    app.state.schema = Schema(access.engine)
    app.state.hub = websocket.Hub(
        cache or websocket.Listen(settings.listen_url),
        app.state.guard.forget_key,
        _on_connecting(settings, access),
    )
    app.add_exception_handler(DBAPIError, database_failed)
    app.add_exception_handler(PoolTimeoutError, pool_exhausted)
    app.add_exception_handler(CacheError, _cache_failed)
    for part in _PARTS[settings.role]:
        app.include_router(part.router)
    app.add_api_route("/health", _health)
    if settings.sqlcommenter:
        app.add_middleware(RequestTrace)
    if settings.fault is not None:
        plant(app, settings.fault)
    return app


def _on_connecting(settings: Settings, access: Access) -> Callable[[], Awaitable[None]] | None:
    """What is done whenever the cache may have been started anew: it has no memory of its own."""
    if access.cache is None or settings.role == "api":
        return None
    return partial(accounts.revoke_again, access.engine, access.cache)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.listening = asyncio.create_task(state.hub.listen())
    tasks = [state.listening]
    if state.settings.release == "all" and state.access.cache is not None:
        tasks.append(asyncio.create_task(state.schema.watch()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await state.access.engine.dispose()
        if state.access.cache is not None:
            await state.access.cache.close()


async def _cache_failed(_: Request, error: Exception) -> JSONResponse:
    """503: without the cache nobody knows which tokens are revoked."""
    return JSONResponse({"detail": "the cache is away", "error": type(error).__name__}, 503)


async def _health(request: Request) -> Response:
    """200 when the database answers and holds the schema, the key is known, the cache answers if there is
    one, and notifications are listened for; otherwise 503. Says how the processes hear of one another.
    """
    state = request.app.state
    if state.listening.done():
        return _unavailable("nothing listens for notifications")
    try:
        await state.guard.tokens()
        async with state.access.engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM accounts LIMIT 1"))
        if state.access.cache is not None:
            await state.access.cache.ping()
    except (SQLAlchemyError, CacheError) as error:
        return _unavailable(type(error).__name__)
    except HTTPException as error:
        return _unavailable(error.detail)
    notifications = "LISTEN/NOTIFY" if state.access.cache is None else "cache"
    return JSONResponse({"status": "ok", "role": state.settings.role, "notifications": notifications})


def _unavailable(why: str) -> JSONResponse:
    return JSONResponse({"status": "unavailable", "why": why}, 503)
