"""The comment on the service's statements: the request's own header or nothing."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import TextClause, create_engine

from harness.target import accounts, auth, changes, documents, schema, transfers
from harness.target.sqlcommenter import RequestTrace, commented

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DIALECT = create_engine("postgresql+psycopg://").dialect
COMMENT = f" /*traceparent='{TRACEPARENT}'*/"
ACTIVITY_QUERY_BYTES = 1023
"""What `pg_stat_activity` keeps of a statement by default."""


def served(kind: str, *headers: bytes) -> str:
    """What a statement becomes while such a request is served."""
    found: list[str] = []

    async def app(*_: object) -> None:
        found.append(commented("SELECT 1"))

    async def nothing(*_: object) -> Any:
        raise AssertionError("the application neither reads nor writes")

    scope = {"type": kind, "headers": [(b"host", b"x"), *((b"traceparent", header) for header in headers)]}
    asyncio.run(RequestTrace(app)(scope, nothing, nothing))
    return found[0]


def test_a_statement_carries_the_header_of_its_request() -> None:
    assert served("http", TRACEPARENT.encode()) == f"SELECT 1{COMMENT}"


def test_a_statement_of_a_websocket_or_of_nobody_carries_none() -> None:
    assert served("websocket", TRACEPARENT.encode()) == "SELECT 1"
    assert commented("SELECT 1") == "SELECT 1"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"*/; DROP TABLE accounts; --",
        TRACEPARENT.encode() + b"'*/; DROP TABLE accounts; --",
        TRACEPARENT.encode() + b"\n",
        TRACEPARENT.upper().encode(),
        TRACEPARENT.encode()[:-1],
        b"01" + TRACEPARENT.encode()[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473６-00f067aa0ba902b7-01".encode(),
    ],
)
def test_a_malformed_header_leaves_no_comment(header: bytes) -> None:
    assert served("http", header) == "SELECT 1"


def test_two_headers_leave_no_comment() -> None:
    assert served("http", TRACEPARENT.encode(), TRACEPARENT.encode()) == "SELECT 1"


@pytest.mark.parametrize("module", [accounts, auth, changes, documents, transfers, schema])
def test_the_comment_is_within_what_pg_stat_activity_keeps(module: ModuleType) -> None:
    statements = [value for value in vars(module).values() if isinstance(value, TextClause)]
    assert statements
    for statement in statements:
        sql = str(statement.compile(dialect=DIALECT))
        assert len(sql.encode()) + len(COMMENT) <= ACTIVITY_QUERY_BYTES
