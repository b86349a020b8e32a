"""psycopg 3, sync and async: the methods of its cursors, and the generator that sends BEGIN, COMMIT and
ROLLBACK.

Our own questions go through `PGconn.exec_`, below the driver: no transaction is begun, no statement prepared.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from . import sql as text
from .backend import Backend
from .guard import unguarded
from .questions import Question

TUPLES_OK = 2


def hook(module: Any) -> None:
    for owner in _classes_with("__init__", module.Connection, named="BaseConnection"):
        owner.__init__ = _init(owner.__init__)
    for owner in _classes_with("_exec_command", module.Connection, module.AsyncConnection):
        owner._exec_command = _exec_command(owner._exec_command)
    cursors = [getattr(module, name, None) for name in _CURSORS]
    for owner in _classes_with("execute", *cursors):
        owner.execute = _async_statement(owner.execute) if _is_async(owner) else _statement(owner.execute)
    for owner in _classes_with("executemany", *cursors):
        wrap = _async_statement if _is_async(owner) else _statement
        owner.executemany = wrap(owner.executemany, many=True)
    for owner in _classes_with("copy", *cursors):
        owner.copy = _copy(owner.copy)
    for owner in _classes_with("stream", *cursors):
        owner.stream = _async_stream(owner.stream) if _is_async(owner) else _stream(owner.stream)


_CURSORS = [
    prefix + name
    for prefix in ("", "Async")
    for name in ("Cursor", "ClientCursor", "ServerCursor", "RawCursor", "RawServerCursor")
]


def _classes_with(method: str, *classes: Any, named: str | None = None) -> Iterator[Any]:
    """Every class of psycopg's own among the bases of `classes` that defines `method` itself, once."""
    seen = set()
    for owner in (base for cls in classes if cls is not None for base in cls.__mro__):
        if owner in seen or method not in vars(owner) or named not in (None, owner.__name__):
            continue
        seen.add(owner)
        if owner.__module__.split(".")[0] == "psycopg":
            yield owner


def _is_async(owner: Any) -> bool:
    return "Async" in owner.__name__


def _init(original: Any) -> Any:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            self._mul = _announce(self)
        except Exception as error:
            unguarded("psycopg connection", error)

    return method


def _announce(connection: Any) -> Backend:
    alive = weakref.ref(connection.pgconn) if _weak(connection.pgconn) else None
    holder = weakref.ref(connection)

    def status() -> int:
        pgconn = alive() if alive is not None else getattr(holder(), "pgconn", None)
        return 4 if pgconn is None else int(pgconn.transaction_status)

    backend = Backend("psycopg", connection.pgconn.backend_pid, status, _owner)
    for sql, take, failed in backend.introduction():
        try:
            take(_query(connection.pgconn, sql))
        except Exception as error:  # noqa: PERF203 - each has its own remedy
            failed(error)
    return backend


def _weak(pgconn: Any) -> bool:
    try:
        weakref.ref(pgconn)
    except TypeError:
        return False
    return True


def _owner() -> Any:
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return threading.get_ident()


def _exec_command(original: Any) -> Any:
    """BEGIN, COMMIT and the like as the driver sends them; what a server-side cursor sends is in its own
    record."""

    @functools.wraps(original)
    def method(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        backend: Backend | None = getattr(self, "_mul", None)
        sql = _text(self, command)
        what = text.transaction_command(sql)
        if backend is None or what is None:
            return (yield from original(self, command, *args, **kwargs))
        if what == "commit" and backend.status_word() == "error":
            what = "rollback"
        if what in ("commit", "rollback"):
            _ask_before_the_end(self, backend)
        started = time.monotonic()
        try:
            result = yield from original(self, command, *args, **kwargs)
        except BaseException as error:
            backend.transaction(what, started, time.monotonic(), error)
            raise
        backend.transaction(what, started, time.monotonic())
        _ask_after_transaction(self, backend, what)
        return result

    return method


def _ask_before_the_end(connection: Any, backend: Backend) -> None:
    try:
        owed = backend.questions.before_the_end()
        if owed is not None and not connection.pgconn.pipeline_status:
            call, question = owed
            backend.questions.answered(call, question, _answer(connection.pgconn, question))
    except Exception as error:
        backend.questions.failed(error)


def _ask_after_transaction(connection: Any, backend: Backend, what: str) -> None:
    try:
        question = backend.questions.after_transaction(what)
        if question is not None and not connection.pgconn.pipeline_status:
            backend.questions.answered(None, question, _answer(connection.pgconn, question))
    except Exception as error:
        backend.questions.failed(error)


def _statement(original: Any, many: bool = False) -> Any:
    @functools.wraps(original)
    def method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        backend, call = _begin(self, query, many)
        try:
            result = original(self, query, *args, **kwargs)
        except BaseException as error:
            if backend is not None:
                backend.end(call, error=error)
            raise
        if backend is not None and call is not None:
            backend.end(call, rows=self.rowcount)
            with self._conn.lock:
                _ask(self._conn, backend, call)
        return result

    return method


def _async_statement(original: Any, many: bool = False) -> Any:
    @functools.wraps(original)
    async def method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        backend, call = _begin(self, query, many)
        try:
            result = await original(self, query, *args, **kwargs)
        except BaseException as error:
            if backend is not None:
                backend.end(call, error=error)
            raise
        if backend is not None and call is not None:
            backend.end(call, rows=self.rowcount)
            async with self._conn.lock:
                _ask(self._conn, backend, call)
        return result

    return method


def _copy(original: Any) -> Any:
    @functools.wraps(original)
    def method(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
        return _Copy(self, statement, original(self, statement, *args, **kwargs))

    return method


class _Copy:
    """The context manager of `cursor.copy()`: the statement runs from entering it to leaving it."""

    def __init__(self, cursor: Any, statement: Any, original: Any) -> None:
        self._cursor = cursor
        self._statement = statement
        self._original = original
        self._backend: Backend | None = None
        self._call: Any = None

    def __enter__(self) -> Any:
        self._backend, self._call = _begin(self._cursor, self._statement, False)
        try:
            return self._original.__enter__()
        except BaseException as error:
            self._end(error)
            raise

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> Any:
        try:
            result = self._original.__exit__(kind, value, traceback)
        except BaseException as error:
            self._end(error)
            raise
        self._end(value)
        return result

    async def __aenter__(self) -> Any:
        self._backend, self._call = _begin(self._cursor, self._statement, False)
        try:
            return await self._original.__aenter__()
        except BaseException as error:
            self._end(error)
            raise

    async def __aexit__(self, kind: Any, value: Any, traceback: Any) -> Any:
        try:
            result = await self._original.__aexit__(kind, value, traceback)
        except BaseException as error:
            self._end(error)
            raise
        self._end(value)
        return result

    def _end(self, error: Any) -> None:
        if self._backend is not None:
            self._backend.end(self._call, rows=self._cursor.rowcount, error=error)


def _stream(original: Any) -> Any:
    @functools.wraps(original)
    def method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        backend, call = _begin(self, query, False)
        try:
            yield from original(self, query, *args, **kwargs)
        except BaseException as error:
            if backend is not None:
                backend.end(call, error=None if isinstance(error, GeneratorExit) else error)
            raise
        if backend is not None:
            backend.end(call)

    return method


def _async_stream(original: Any) -> Any:
    @functools.wraps(original)
    async def method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        backend, call = _begin(self, query, False)
        rows = original(self, query, *args, **kwargs)
        try:
            async for row in rows:
                yield row
        except BaseException as error:
            if backend is not None:
                backend.end(call, error=None if isinstance(error, GeneratorExit) else error)
            raise
        finally:
            await rows.aclose()  # closing this generator leaves the inner one open, unlike `yield from`
        if backend is not None:
            backend.end(call)

    return method


def _begin(cursor: Any, query: Any, many: bool) -> tuple[Backend | None, Any]:
    backend: Backend | None = getattr(cursor._conn, "_mul", None)
    if backend is None:
        return None, None
    return backend, backend.begin(_text(cursor, query), many)


def _text(context: Any, query: Any) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    try:
        return str(query.as_string(context))
    except Exception:
        return repr(query)


def _ask(connection: Any, backend: Backend, call: Any) -> None:
    try:
        if connection.pgconn.pipeline_status:
            return
        question = backend.questions.after(call)
        if question is not None:
            backend.questions.answered(call, question, _answer(connection.pgconn, question))
    except Exception as error:
        backend.questions.failed(error)


def _answer(pgconn: Any, question: Question) -> str:
    if question.shows:
        return json.dumps({name: _query(pgconn, f"SHOW {name}") for name in question.shows})
    return _query(pgconn, question.sql)


def _query(pgconn: Any, sql: str) -> str:
    result = pgconn.exec_(sql.encode())
    if result.status != TUPLES_OK:
        raise RuntimeError(result.error_message.decode(errors="replace").strip())
    return str(result.get_value(0, 0).decode())
