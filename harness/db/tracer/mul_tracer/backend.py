"""One connection: its statements, its transaction, what may be asked of it and when."""

from __future__ import annotations

import itertools
import json
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from . import guard, halt, queries
from . import sql as text
from .channel import emit, first_line, harmless
from .on_alembic import current
from .questions import Questions

IDLE, ACTIVE, IN_TRANSACTION, IN_ERROR, CLOSED = 0, 1, 2, 3, 4  # libpq's PGTransactionStatusType
_STATUS = {IDLE: "idle", IN_TRANSACTION: "in", IN_ERROR: "error", CLOSED: "closed"}

FULL_REPEATS = 20
"""So many repeats of one statement are written in full; later ones are summed up while they are fast."""
FAST = 0.005
FLUSH_EVERY = 0.5
LONGEST_TEXT = 50_000
DEFAULTS = "MUL_DEFAULT_OPTIONS"

_backends: weakref.WeakSet[Backend] = weakref.WeakSet()
_numbers = itertools.count(1)


def flush_all() -> None:
    for backend in list(_backends):
        backend.flush()


class Call:
    """One statement on its way."""

    def __init__(self, sql: str, many: bool, prepare: bool, key: str | None) -> None:
        self.k = next(_numbers)
        self.sql = sql
        self.many = many
        self.prepare = prepare
        self.place = current()
        self.key = (key, prepare, self.place) if key else None
        self.command = None if prepare else text.transaction_command(sql)
        self.folded = False
        self.halts = ""
        self.status: str | None = None
        self.started = time.monotonic()


class Backend:
    """`status` reads libpq's transaction status of the connection; `owner` names who is using it right
    now."""

    def __init__(self, driver: str, pid: int, status: Callable[[], int], owner: Callable[[], Any]) -> None:
        self.driver = driver
        self.pid = pid
        self._status = status
        self._owner = owner
        self._inside: set[Any] = set()
        self._repeats: dict[Any, list[float]] = {}
        self._sum: dict[str, Any] | None = None
        self.questions = Questions(pid, self.status_word)
        _backends.add(self)

    # who is at the other end

    def introduction(self) -> Iterator[tuple[str, Callable[[str], None], Callable[[Exception], None]]]:
        """What to ask before the user's first statement, each with what takes the answer and the failure."""
        yield queries.identity(guard.expected() is not None), self._identified, self._unidentified
        yield from self.questions.first()

    def _identified(self, answer: str) -> None:
        """Announce the connection; end the process when it is not the database that was guarded."""
        found = json.loads(answer)
        emit(
            "conn",
            backend=self.pid,
            driver=self.driver,
            database=found["database"],
            database_oid=found["oid"],
            system_identifier=found.get("system"),
            server_version=int(found["version"]),
            server_pid=found["pid"],
            defaults=_defaults(),
            **self.questions.identified(found),
        )
        guard.check(f"{found.get('system')}:{found['oid']}", found["database"])

    def _unidentified(self, error: Exception) -> None:
        """Nothing is known of the other end: a reason to stop if a database was expected, a gap otherwise."""
        emit(
            "unidentified",
            backend=self.pid,
            driver=self.driver,
            error=f"{type(error).__name__}: {error}"[:500],
        )
        guard.check("unknown")

    # statements

    @harmless
    def begin(self, sql: str, many: bool = False, prepare: bool = False) -> Call | None:
        """Call before the statement is sent; None when it is inside another call of the same caller."""
        owner = self._owner()
        if owner in self._inside:
            return None
        status = self._status()
        if status == IDLE:
            self.questions.transaction_is_over()
        key = text.repeat_key(sql)
        call = Call(sql, many, prepare, key)
        call.status = _STATUS.get(status)
        if call.command == "commit" and status == IN_ERROR:
            call.command = "rollback"  # which is what PostgreSQL answers to it
        call.folded = self._folds(call)
        halt.before(call, self.pid)
        if not call.folded:
            self.flush()
            if call.command is None:
                self._emit_begin(call)
        halt.sent(call, self.pid)
        self._inside.add(owner)
        return call

    def _folds(self, call: Call) -> bool:
        if call.key is None or halt.counts():
            return False
        if len(self._repeats) > 1000:
            self._repeats.clear()
        count, last = self._repeats.get(call.key, (0, 0.0))
        return count >= FULL_REPEATS and last < FAST

    def _emit_begin(self, call: Call) -> None:
        emit(
            "begin",
            mono=call.started,
            k=call.k,
            backend=self.pid,
            sql=text.masked(call.sql[:LONGEST_TEXT]),
            **call.place._asdict(),
            many=call.many,
            prepare=call.prepare,
            status=call.status,
        )

    @harmless
    def end(self, call: Call | None, rows: int | None = None, error: BaseException | None = None) -> None:
        """Call after the answer, or with the exception that came instead."""
        if call is None:
            return
        ended = time.monotonic()
        self._inside.discard(self._owner())
        duration = ended - call.started
        if call.command is not None:
            self.transaction(call.command, call.started, ended, error)
            return
        if call.key is not None:
            self._repeats[call.key] = [self._repeats.get(call.key, (0, 0.0))[0] + 1, duration]
        if call.folded and error is None and duration < FAST:
            self._fold(call, ended, duration, rows)
            return
        if call.folded:
            self.flush()
            self._emit_begin(call)
        self._emit_end(call, ended, rows, error)
        halt.after(call, self.pid)

    def _emit_end(self, call: Call, ended: float, rows: int | None, error: BaseException | None) -> None:
        emit(
            "end",
            mono=ended,
            k=call.k,
            backend=self.pid,
            duration_s=ended - call.started,
            rows=rows if rows is not None and rows >= 0 else None,
            sqlstate=_sqlstate(error),
            error=_message(error),
            status=self.status_word(),
        )

    def transaction(
        self, what: str, started: float, ended: float, error: BaseException | None = None
    ) -> None:
        self.flush()
        status = self.status_word()
        emit(
            "txn", mono=ended, backend=self.pid, what=what, ok=error is None, started=started, status=status,
            sqlstate=_sqlstate(error), error=_message(error),
        )  # fmt: skip

    def status_word(self) -> str | None:
        return _STATUS.get(self._status())

    def is_idle(self) -> bool:
        return self._status() == IDLE

    # repeats

    def _fold(self, call: Call, ended: float, duration: float, rows: int | None) -> None:
        if self._sum is None or self._sum["key"] != call.key:
            self.flush()
            self._sum = {
                "key": call.key,
                "sql": call.sql,
                "first": call.started,
                "count": 0,
                "rows": 0,
                "took": 0.0,
            }
        total = self._sum
        total["count"] += 1
        total["took"] += duration
        total["rows"] = None if rows is None or rows < 0 or total["rows"] is None else total["rows"] + rows
        total["last"] = ended
        total["call"] = call
        total["status"] = self.status_word()
        if ended - total["first"] > FLUSH_EVERY:
            self.flush()

    @harmless
    def flush(self) -> None:
        total, self._sum = self._sum, None
        if total is None:
            return
        call: Call = total["call"]
        emit(
            "more",
            mono=total["first"],
            backend=self.pid,
            sql=text.masked(total["sql"][:LONGEST_TEXT]),
            key=total["key"][0][:LONGEST_TEXT],
            **call.place._asdict(),
            prepare=call.prepare,
            count=total["count"],
            rows=total["rows"],
            duration_s=total["took"],
            ended=total["last"],
            status=total["status"],
        )


def _defaults() -> dict[str, str]:
    return {str(name): str(value) for name, value in json.loads(os.environ.get(DEFAULTS) or "{}").items()}


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _message(error: BaseException | None) -> str | None:
    return None if error is None else first_line(error)
