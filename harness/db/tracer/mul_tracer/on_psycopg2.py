"""psycopg2: connections and cursors become subclasses of the classes the caller asked for."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from typing import Any

from .backend import IDLE, Backend
from .guard import unguarded
from .questions import Question

_STATEMENTS = {"execute": False, "executemany": True, "copy_expert": False, "callproc": False}
_cursor_classes: dict[type, type] = {}
_connection_classes: dict[type, type] = {}


def hook(module: Any) -> None:
    original = module.connect

    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        positional = len(args) > 1
        factory = (
            args[1] if positional else kwargs.get("connection_factory")
        ) or module.extensions.connection
        if not _is_traceable(factory, kwargs):
            return original(*args, **kwargs)
        if positional:
            return original(args[0], _connection_class(factory), *args[2:], **kwargs)
        return original(*args, **{**kwargs, "connection_factory": _connection_class(factory)})

    module.connect = connect


def _is_traceable(factory: Any, kwargs: dict[str, Any]) -> bool:
    asynchronous = kwargs.get("async") or kwargs.get("async_")
    plain = isinstance(factory, type) and not hasattr(factory, "start_replication_expert")
    if asynchronous or not plain:
        unguarded("psycopg2.connect", TypeError(f"an asynchronous connection, or one of {factory!r}"))
        return False
    return True


def _connection_class(base: Any) -> type:
    if base not in _connection_classes:
        _connection_classes[base] = type(
            base.__name__, (_ConnectionMethods, base), {"__module__": base.__module__}
        )
    return _connection_classes[base]


class _ConnectionMethods:
    _mul: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self._mul = _announce(self)
        except Exception as error:
            unguarded("psycopg2 connection", error)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        # Which class it will be is decided inside the base's cursor() (DictConnection does), so one is made
        # to see.
        made = super().cursor(*args, **kwargs)  # type: ignore[misc]
        if self._mul is None or isinstance(made, _CursorMark):
            return made
        if len(args) > 1:
            args = (args[0], _cursor_class(type(made)), *args[2:])
        else:
            kwargs["cursor_factory"] = _cursor_class(type(made))
        return super().cursor(*args, **kwargs)  # type: ignore[misc]

    def commit(self) -> None:
        _end_transaction(self, "commit", super().commit)  # type: ignore[misc]

    def rollback(self) -> None:
        _end_transaction(self, "rollback", super().rollback)  # type: ignore[misc]


class _CursorMark:
    """Base of our cursor classes, to know them by."""


def _cursor_class(base: Any) -> type:
    if base not in _cursor_classes:
        methods: dict[str, Any] = {name: _statement(base, name, many) for name, many in _STATEMENTS.items()}
        methods["copy_from"] = _copy(base, "copy_from", "COPY {} FROM STDIN")
        methods["copy_to"] = _copy(base, "copy_to", "COPY {} TO STDOUT")
        methods["__module__"] = base.__module__
        _cursor_classes[base] = type(base.__name__, (base, _CursorMark), methods)
    return _cursor_classes[base]


def _statement(base: Any, name: str, many: bool) -> Callable[..., Any]:
    original = getattr(base, name)

    @functools.wraps(original)
    def method(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sql = f"SELECT * FROM {query}(…)" if name == "callproc" else _text(self, query)
        return _traced(self, sql, many, lambda: original(self, query, *args, **kwargs))

    return method


def _copy(base: Any, name: str, template: str) -> Callable[..., Any]:
    original = getattr(base, name)

    @functools.wraps(original)
    def method(self: Any, file: Any, table: Any, *args: Any, **kwargs: Any) -> Any:
        sql = template.format(table)
        return _traced(self, sql, False, lambda: original(self, file, table, *args, **kwargs))

    return method


def _traced(cursor: Any, sql: str, many: bool, run: Callable[[], Any]) -> Any:
    backend: Backend = cursor.connection._mul
    call = backend.begin(sql, many)
    try:
        result = run()
    except BaseException as error:
        backend.end(call, error=error)
        raise
    backend.end(call, rows=cursor.rowcount)
    _ask(cursor.connection, backend, call)
    return result


def _text(cursor: Any, query: Any) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    try:
        return str(query.as_string(cursor))
    except Exception:
        return repr(query)


def _end_transaction(connection: Any, what: str, run: Callable[[], Any]) -> None:
    backend: Backend = connection._mul
    if backend is None or connection.closed or backend.is_idle():
        return run()  # type: ignore[no-any-return]
    _ask_before_the_end(connection, backend)
    call = backend.begin(what)
    try:
        run()
    except BaseException as error:
        backend.end(call, error=error)
        raise
    backend.end(call)
    return _ask(connection, backend, call)


def _announce(connection: Any) -> Backend:
    # The status comes from a weak look through the C type, so that the backend never keeps a connection
    # alive.
    import weakref

    alive = weakref.ref(connection)

    def status() -> int:
        found = alive()
        return 4 if found is None or found.closed else int(found.info.transaction_status)

    backend = Backend("psycopg2", connection.info.backend_pid, status, threading.get_ident)
    for sql, take, failed in backend.introduction():
        try:
            take(_query(connection, sql))
        except Exception as error:  # noqa: PERF203 - each has its own remedy
            failed(error)
    return backend


def _ask(connection: Any, backend: Backend, call: Any) -> None:
    try:
        question = backend.questions.after(call)
        if question is not None:
            backend.questions.answered(call, question, _answer(connection, question))
    except Exception as error:
        backend.questions.failed(error)


def _ask_before_the_end(connection: Any, backend: Backend) -> None:
    try:
        owed = backend.questions.before_the_end()
        if owed is not None:
            call, question = owed
            backend.questions.answered(call, question, _answer(connection, question))
    except Exception as error:
        backend.questions.failed(error)


def _answer(connection: Any, question: Question) -> str:
    if question.shows:
        return json.dumps({name: _query(connection, f"SHOW {name}") for name in question.shows})
    return _query(connection, question.sql)


def _query(connection: Any, sql: str) -> str:
    from psycopg2.extensions import cursor as plain_cursor

    before = connection.autocommit
    idle = connection.info.transaction_status == IDLE
    if idle and not before:
        connection.autocommit = True
    try:
        with plain_cursor(connection) as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
    finally:
        if idle and not before:
            connection.autocommit = False
    return str(row[0])
