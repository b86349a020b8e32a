"""The engine, and how a failure of the database looks to a client.

Every request works in one transaction, reads too. psycopg prepares a statement on its fifth use; after a
change of a selected column's type such a statement fails with 0A000 (*cached plan must not change result
type*), and only a ROLLBACK makes psycopg forget it: in autocommit every later use on that connection would
fail. `prepare_threshold` keeps psycopg's default, as in most services behind which there is no pooler;
explicit column lists are what keeps added and dropped columns harmless. Statements that carry a request's
comment are never prepared (`sqlcommenter.py`).
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from harness.target.settings import Settings
from harness.target.sqlcommenter import comment_on

__all__ = ["create_engine", "database_failed", "pool_exhausted"]

_log = logging.getLogger(__name__)


def create_engine(settings: Settings) -> AsyncEngine:
    engine = create_async_engine(
        settings.sqlalchemy_url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=30,
        hide_parameters=True,
        connect_args={"prepare_threshold": None} if settings.pooled else {},
    )
    if settings.sqlcommenter:
        comment_on(engine)
    return engine


async def database_failed(request: Request, error: Exception) -> JSONResponse:
    """422 for a value no column can hold, 503 when the database is away, otherwise 500; with the SQLSTATE."""
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None)
    _log.warning("%s %s: %s, SQLSTATE %s", request.method, request.url.path, type(error).__name__, sqlstate)
    return JSONResponse({"detail": "database error", "sqlstate": sqlstate}, _status(error))


async def pool_exhausted(request: Request, error: Exception) -> JSONResponse:
    """503 when no connection became free in time."""
    _log.warning("%s %s: %s, no free connection", request.method, request.url.path, type(error).__name__)
    return JSONResponse({"title": "pool exhausted", "detail": "no free database connection"}, 503)


def _status(error: Exception) -> int:
    if isinstance(error, DataError):
        return 422
    return 503 if isinstance(error, OperationalError) else 500
