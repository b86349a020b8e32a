"""asyncpg: the methods of `protocol.Protocol`, below the connection, whose exclusive section is held
meanwhile.

Signatures there are private and move, so arguments are passed through untouched.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import weakref
from collections.abc import Callable
from typing import Any

from .backend import IDLE, IN_ERROR, IN_TRANSACTION, Backend
from .channel import fail
from .guard import unguarded

_ROWS = re.compile(r"(\d+)$")


def hook(module: Any) -> None:
    utils = module.connect_utils
    utils._connect = _connect(utils._connect)
    protocol = module.protocol.protocol.Protocol
    protocol._mul_copy_out = protocol.copy_out
    for name, find_sql in _STATEMENTS.items():
        original = getattr(protocol, name, None)
        if original is None:
            fail(f"asyncpg Protocol.{name}", AttributeError("this version has no such method"))
        else:
            setattr(protocol, name, _statement(original, name, find_sql))


def _first(args: Any, kwargs: Any, name: str) -> Any:
    return args[0] if args else kwargs.get(name)


_STATEMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "prepare": lambda args, kwargs: args[1] if len(args) > 1 else kwargs.get("query"),
    "bind": lambda args, kwargs: _first(args, kwargs, "state").query,
    "bind_execute": lambda args, kwargs: _first(args, kwargs, "state").query,
    "bind_execute_many": lambda args, kwargs: _first(args, kwargs, "state").query,
    "query": lambda args, kwargs: _first(args, kwargs, "query"),
    "copy_in": lambda args, kwargs: _first(args, kwargs, "copy_stmt"),
    "copy_out": lambda args, kwargs: _first(args, kwargs, "copy_stmt"),
}


def _statement(original: Any, name: str, find_sql: Callable[[Any, Any], Any]) -> Any:
    @functools.wraps(original)
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        backend: _AsyncpgBackend | None = getattr(self, "_mul", None)
        if backend is None:
            return await original(self, *args, **kwargs)
        call = _begin(backend, name, find_sql, args, kwargs)
        if call is not None and call.command in ("commit", "rollback"):
            await _ask_before_the_end(self, backend)
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            backend.failed = True
            backend.end(call, error=error)
            raise
        backend.failed = False
        backend.end(call, rows=_rows(result))
        await _ask(self, backend, call)
        return result

    return method


def _begin(backend: Backend, name: str, find_sql: Any, args: Any, kwargs: Any) -> Any:
    try:
        sql = find_sql(args, kwargs)
        sql = sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)
    except Exception as error:
        fail(f"asyncpg Protocol.{name}", error)
        return None
    return backend.begin(sql, many=name == "bind_execute_many", prepare=name == "prepare")


def _rows(result: Any) -> int | None:
    """From the command tag, `UPDATE 5`: what `query` returns, and the second thing `bind_execute` does."""
    tag = result[1] if isinstance(result, tuple) and len(result) > 1 else result
    tag = tag.decode(errors="replace") if isinstance(tag, bytes) else tag
    found = _ROWS.search(tag) if isinstance(tag, str) else None
    return int(found[1]) if found else None


class _AsyncpgBackend(Backend):
    """asyncpg says only *in a transaction*; whether that one has failed is what its last statement said."""

    failed = False

    def __init__(self, pid: int, protocol: Any) -> None:
        alive = weakref.ref(protocol)

        def status() -> int:
            found = alive()
            if found is None or not found.is_in_transaction():
                return IDLE
            return IN_ERROR if self.failed else IN_TRANSACTION

        super().__init__("asyncpg", pid, status, lambda: id(asyncio.current_task()))


def _connect(original: Any) -> Any:
    @functools.wraps(original)
    async def connect(*args: Any, **kwargs: Any) -> Any:
        connection = await original(*args, **_with_default_settings(kwargs))
        try:
            await _announce(connection)
        except Exception as error:
            unguarded("asyncpg connection", error)
        return connection

    return connect


def _with_default_settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        defaults = json.loads(os.environ.get("MUL_DEFAULT_OPTIONS") or "{}")
    except ValueError as error:
        fail("MUL_DEFAULT_OPTIONS", error)
        return kwargs
    if not defaults:
        return kwargs
    return {**kwargs, "server_settings": {**defaults, **(kwargs.get("server_settings") or {})}}


async def _announce(connection: Any) -> None:
    protocol = connection._protocol
    backend = _AsyncpgBackend(connection.get_server_pid(), protocol)
    for sql, take, failed in backend.introduction():
        try:
            take(await _query(protocol, sql))
        except Exception as error:  # noqa: PERF203 - each has its own remedy
            failed(error)
    protocol._mul = backend


async def _ask_before_the_end(protocol: Any, backend: Backend) -> None:
    try:
        owed = backend.questions.before_the_end()
        if owed is not None:
            call, question = owed
            backend.questions.answered(call, question, await _query(protocol, question.sql))
    except Exception as error:
        backend.questions.failed(error)


async def _ask(protocol: Any, backend: Backend, call: Any) -> None:
    try:
        question = backend.questions.after(call)
        if question is None:
            return
        if question.shows:
            # Only COPY can be read down here, and it would take the transaction's snapshot; the next one
            # will tell.
            backend.questions.settings_unknown()
            return
        backend.questions.answered(call, question, await _query(protocol, question.sql))
    except Exception as error:
        backend.questions.failed(error)


async def _query(protocol: Any, sql: str) -> str:
    """The one value of a query. COPY's text format doubles backslashes, and JSON has no raw tabs or
    newlines."""
    chunks: list[bytes] = []

    async def keep(data: bytes) -> None:
        chunks.append(bytes(data))

    await protocol._mul_copy_out(f"COPY ({sql}) TO STDOUT", keep, None)
    return b"".join(chunks).decode().rstrip("\n").replace("\\\\", "\\")
