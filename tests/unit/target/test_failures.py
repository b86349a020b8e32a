"""How a failure of the database looks to a client, and what our client makes of it."""

from __future__ import annotations

import asyncio

import pytest
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError
from starlette.requests import Request

from harness.load.causes import http_cause
from harness.target.database import database_failed, pool_exhausted

REQUEST = Request({"type": "http", "method": "GET", "path": "/documents", "headers": []})


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ProgrammingError("SELECT 1", None, errors.UndefinedColumn()), "HTTP 500 (42703)"),
        (DBAPIError("SELECT 1", None, errors.FeatureNotSupported()), "HTTP 500 (0A000)"),
        (OperationalError("SELECT 1", None, errors.DeadlockDetected()), "HTTP 503 (40P01)"),
        (DataError("SELECT 1", None, errors.StringDataRightTruncation()), "HTTP 422 (22001)"),
        (OperationalError("SELECT 1", None, errors.OperationalError("gone")), "HTTP 503"),
    ],
)
def test_a_failed_statement_is_told_by_its_sqlstate(error: Exception, cause: str) -> None:
    answer = asyncio.run(database_failed(REQUEST, error))
    assert http_cause(answer.status_code, bytes(answer.body)) == cause


def test_an_exhausted_pool_is_told_by_its_title() -> None:
    answer = asyncio.run(pool_exhausted(REQUEST, TimeoutError()))
    assert http_cause(answer.status_code, bytes(answer.body)) == "HTTP 503 (pool exhausted)"
