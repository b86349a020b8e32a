"""The service, put together: a small multi-account document store as a user of the harness might run it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.responses import JSONResponse, Response

from harness.target import accounts, documents, transfers, websocket
from harness.target.auth import Guard
from harness.target.database import create_engine, database_failed, pool_exhausted
from harness.target.faults import plant
from harness.target.settings import Settings
from harness.target.sqlcommenter import RequestTrace

__all__ = ["create_app"]


def create_app() -> FastAPI:
    """The application, from the settings in the environment; uvicorn calls it once in every process."""
    settings = Settings.from_environment()
    app = FastAPI(title="Documents", lifespan=_lifespan)
    app.state.settings = settings
    app.state.engine = create_engine(settings)
    app.state.guard = Guard(app.state.engine, settings)
    app.state.hub = websocket.Hub(settings.libpq_url, app.state.guard.forget_key)
    app.add_exception_handler(DBAPIError, database_failed)
    app.add_exception_handler(PoolTimeoutError, pool_exhausted)
    for part in (accounts, documents, transfers, websocket):
        app.include_router(part.router)
    app.add_api_route("/health", _health)
    if settings.sqlcommenter:
        app.add_middleware(RequestTrace)
    if settings.fault is not None:
        plant(app, settings.fault)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.listening = listening = asyncio.create_task(app.state.hub.listen())
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await app.state.engine.dispose()


async def _health(request: Request) -> Response:
    """200 when the database answers and holds the schema and the signing key, and notifications are listened
    for; otherwise 503."""
    if request.app.state.listening.done():
        return JSONResponse({"status": "unavailable", "why": "nothing listens for notifications"}, 503)
    try:
        await request.app.state.guard.tokens()
        async with request.app.state.engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM accounts LIMIT 1"))
    except SQLAlchemyError as error:
        return JSONResponse({"status": "unavailable", "why": type(error).__name__}, 503)
    return JSONResponse({"status": "ok"})
