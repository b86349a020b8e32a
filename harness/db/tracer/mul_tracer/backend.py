"""One connection: its statements, its transaction, what may be asked of it and when."""

from __future__ import annotations

import itertools
import json
import time
import weakref
from collections.abc import Callable
from typing import Any

from . import guard
from . import sql as text
from .channel import emit, fail, harmless
from .on_alembic import current

IDLE, ACTIVE, IN_TRANSACTION, IN_ERROR = 0, 1, 2, 3  # libpq's PGTransactionStatusType
_STATUS = {IDLE: "idle", IN_TRANSACTION: "in", IN_ERROR: "error"}

FULL_REPEATS = 20
"""So many repeats of one statement are written in full; later ones are summed up while they are fast."""
FAST = 0.005
FLUSH_EVERY = 0.5
LONGEST_TEXT = 50_000

_SETTINGS = (
    "'lock_timeout', pg_catalog.current_setting('lock_timeout'),"
    " 'statement_timeout', pg_catalog.current_setting('statement_timeout')"
)
IDENTITY_SQL = (
    "SELECT pg_catalog.json_build_object('pid', pg_catalog.pg_backend_pid(), " + _SETTINGS + ","
    " 'database', d.datname, 'oid', d.oid::pg_catalog.int8{system})::pg_catalog.text"
    " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
)
SYSTEM_IDENTIFIER = (
    ", 'system', (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system())"
)
SETTINGS_SQL = "SELECT pg_catalog.json_build_object(" + _SETTINGS + ")::pg_catalog.text"
# Oids below 16384 are PostgreSQL's own (access/transam.h, FirstNormalObjectId); ours on the catalog are
# among them.
SNAPSHOT_SQL = (
    "SELECT pg_catalog.json_build_object(" + _SETTINGS + ", 'locks', (SELECT pg_catalog.json_agg("
    "pg_catalog.json_build_array(l.relation::pg_catalog.int8,"
    " l.relation::pg_catalog.regclass::pg_catalog.text, c.relkind, l.mode, c.relfilenode::pg_catalog.int8))"
    " FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation"
    " WHERE l.locktype = 'relation' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()"
    " AND l.relation >= 16384))::pg_catalog.text"
)

_backends: weakref.WeakSet[Backend] = weakref.WeakSet()
_numbers = itertools.count(1)


def identity_sql() -> str:
    return IDENTITY_SQL.replace("{system}", SYSTEM_IDENTIFIER if guard.expected() else "")


def flush_all() -> None:
    for backend in list(_backends):
        backend.flush()


class Call:
    """One statement on its way."""

    def __init__(self, sql: str, many: bool, prepare: bool, key: Any) -> None:
        self.k = next(_numbers)
        self.sql = sql
        self.many = many
        self.prepare = prepare
        self.key = key
        self.command = None if prepare else text.transaction_command(sql)
        self.folded = False
        self.status: str | None = None
        self.revision, self.step = current()
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
        self._looked: set[Any] = set()
        self._settings: tuple[float | None, float | None] = (None, None)
        self._touched = False
        self._blind = False
        self._hurried = False
        self._said_hurried = False
        _backends.add(self)

    # who is at the other end

    def identified(self, answer: str) -> None:
        """Announce the connection; end the process when it is not the database that was guarded."""
        found = json.loads(answer)
        self._settings = self._read_settings(found)
        emit(
            "conn",
            backend=self.pid,
            driver=self.driver,
            database=found["database"],
            database_oid=found["oid"],
            system_identifier=found.get("system"),
            lock_timeout_s=self._settings[0],
            statement_timeout_s=self._settings[1],
        )
        guard.check(f"{found.get('system')}:{found['oid']}")

    def unidentified(self, error: BaseException) -> None:
        """Nothing is known of the other end: a reason to stop if a database was expected, a gap otherwise."""
        emit(
            "unidentified",
            backend=self.pid,
            driver=self.driver,
            error=f"{type(error).__name__}: {error}"[:500],
        )
        guard.check("unknown")

    def cannot_look(self, error: BaseException) -> None:
        """The snapshot failed outside any transaction; inside one it would take the user's along."""
        self._blind = True
        emit(
            "blind",
            backend=self.pid,
            reason=f"locks cannot be read: {type(error).__name__}: {_message(error)}",
        )

    # statements

    @harmless
    def begin(self, sql: str, many: bool = False, prepare: bool = False) -> Call | None:
        """Call before the statement is sent; None when it is inside another call of the same caller."""
        owner = self._owner()
        if owner in self._inside:
            return None
        status = self._status()
        if status == IDLE:
            self._looked.clear()
        key = text.repeat_key(sql)
        call = Call(sql, many, prepare, key and (key, prepare, current()))
        call.status = _STATUS.get(status)
        if call.command == "commit" and status == IN_ERROR:
            call.command = "rollback"  # which is what PostgreSQL answers to it
        call.folded = self._folds(call)
        if not call.folded:
            self.flush()
            if call.command is None:
                self._emit_begin(call)
        self._inside.add(owner)
        return call

    def _folds(self, call: Call) -> bool:
        if call.key is None:
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
            revision=call.revision,
            step=call.step,
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
            key=str(call.key[0])[:LONGEST_TEXT],
            revision=call.revision,
            step=call.step,
            prepare=call.prepare,
            count=total["count"],
            rows=total["rows"],
            duration_s=total["took"],
            ended=total["last"],
            status=total["status"],
        )

    # questions of ours

    def question(self, call: Call | None) -> str | None:
        """What to ask on this connection after a successful statement: `snapshot`, `settings`, or None."""
        if call is None or call.prepare or call.folded:
            return None
        if call.command is not None:
            return self._question_after_transaction(call.command)
        if text.touches_timeouts(call.sql):
            self._touched = True
            if text.makes_statement_timeout_small(call.sql):
                self._go_blind("statement_timeout below one second")
            if text.makes_lock_timeout_small(call.sql):
                self._hurry(True)
        if self._blind:
            if text.touches_timeouts(call.sql):
                self.settings_unknown()
            return None
        status = self._status()
        if status == IN_TRANSACTION and not self._hurried and text.allows_snapshot(call.sql):
            return None if self._has_looked_after(call) else "snapshot"
        if text.touches_timeouts(call.sql):
            return "settings"
        return None

    def _question_after_transaction(self, command: str) -> str | None:
        # SET LOCAL ends with the transaction, a SET in a transaction that is rolled back never happened.
        if not self._touched or command not in ("commit", "rollback", "rollback_to"):
            return None
        if self._blind or (self._status() == IN_ERROR):
            self.settings_unknown()
            return None
        self._touched = not self.is_idle()
        return "settings"

    def _has_looked_after(self, call: Call) -> bool:
        if call.key is None:
            return False
        if call.key in self._looked:
            return True
        self._looked.add(call.key)
        return False

    def _go_blind(self, reason: str) -> None:
        if not self._blind:
            self._blind = True
            emit("blind", backend=self.pid, reason=reason)
            self.settings_unknown()

    def _hurry(self, hurried: bool) -> None:
        """With a lock_timeout of next to nothing, a lock on the catalog would fail the snapshot."""
        self._hurried = hurried
        if hurried and not self._said_hurried:
            self._said_hurried = True
            emit("blind", backend=self.pid, reason="lock_timeout below 100 ms")

    def settings_unknown(self) -> None:
        self._settings = (None, None)
        emit("settings", backend=self.pid, lock_timeout_s=None, statement_timeout_s=None)

    @harmless
    def answered(self, call: Call | None, question: str, answer: Any, asked: float) -> None:
        """Write down what the connection said; `answer` is the JSON of one of the queries above."""
        found = json.loads(answer)
        before, self._settings = self._settings, self._read_settings(found)
        if before != self._settings:
            self._touched = self._touched or not self.is_idle()
        fields = {
            "backend": self.pid,
            "lock_timeout_s": self._settings[0],
            "statement_timeout_s": self._settings[1],
        }
        if question == "settings":
            emit("settings", **fields)
        elif call is not None:
            cost = time.monotonic() - asked
            emit("snapshot", k=call.k, locks=found["locks"] or [], cost_s=cost, **fields)

    def question_failed(self, error: BaseException) -> None:
        fail(f"question to backend {self.pid}", error)
        self._go_blind(f"our own query failed: {type(error).__name__}")

    def _read_settings(self, found: dict[str, Any]) -> tuple[float | None, float | None]:
        statement_timeout = text.seconds(found.get("statement_timeout"))
        if statement_timeout is None or 0 < statement_timeout < 1:
            self._blind = True
            emit("blind", backend=self.pid, reason="statement_timeout below one second")
        lock_timeout = text.seconds(found.get("lock_timeout"))
        self._hurry(lock_timeout is not None and 0 < lock_timeout < 0.1)
        return lock_timeout, statement_timeout


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _message(error: BaseException | None) -> str | None:
    """The primary message alone: detail and context may hold rows of the user's data."""
    if error is None:
        return None
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    lines = str(primary or error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:2000]
