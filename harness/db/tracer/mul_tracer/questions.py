"""What may be asked on a connection, and when, without the user's code noticing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import queries
from . import sql as text
from .channel import emit, fail, first_line

SLOW = 0.005
"""Seconds a snapshot may take; after one that took more the rest of its transaction gets the lean one."""
LONGEST_LOOKING = 1.0
"""Seconds the snapshots of one transaction may take together: each lists all that it has locked so far."""
SLOW_LISTING = 0.1
"""Seconds a list of all relations may take; after one that took more there is no other."""

Settings = tuple[object, ...]
_UNKNOWN = (None, None, None)

_listed: dict[tuple[Any, ...], dict[int, Any] | None] = {}
"""database → oid → the row of `queries.relations`, as last told; None where that is not asked again."""


class Question(NamedTuple):
    """`kind` is snapshot, settings or relations; inside a transaction settings are asked by `shows`: SHOW
    takes no snapshot, so a SET TRANSACTION ISOLATION LEVEL may still follow."""

    kind: str
    sql: str
    shows: tuple[str, ...]
    asked: float


class Questions:
    """The questions to one backend. `status` reads whether its transaction is `idle`, `in` or `error`."""

    def __init__(self, pid: int, status: Callable[[], str | None]) -> None:
        self._pid = pid
        self._status = status
        self._version: int | None = None
        self._database: tuple[Any, ...] = ()
        self._settings: Settings = _UNKNOWN
        self._looked: set[Any] = set()
        self._has_looked = False
        self._touched = False
        self._blind = False
        self._hurried = False
        self._said_hurried = False
        self._lean = False
        self._said_slow = False
        self._looking = 0.0
        self._owed: Any = None
        self._passed = False
        self._unflushed = False
        self._wal: int | None = None

    # once, before the user's first statement

    def identified(self, found: dict[str, Any]) -> dict[str, Any]:
        """Take what the identity query says; returns the settings' fields of the record."""
        self._version = int(found["version"])
        self._database = (found.get("system"), found["oid"])
        self._settings = self._read_settings(found)
        return self._fields()

    def first(self) -> Iterator[tuple[str, Callable[[str], None], Callable[[Exception], None]]]:
        """Questions for a connection that is idle, each with what takes the answer and the failure."""
        yield queries.snapshot(self._version, lean=False), lambda _: None, self._cannot_look
        if not self._blind and self._database not in _listed:
            question = self._question("relations")
            yield question.sql, lambda answer: self.answered(None, question, answer), self._unlisted

    def _cannot_look(self, error: Exception) -> None:
        """The snapshot failed outside any transaction; inside one it would take the user's along."""
        self._blind = True
        self._say_blind(f"locks cannot be read: {type(error).__name__}: {first_line(error)}")

    def _unlisted(self, error: Exception) -> None:
        _listed[self._database] = None
        self._say_blind(f"relations cannot be listed: {type(error).__name__}: {first_line(error)}")

    # after each statement

    def transaction_is_over(self) -> None:
        """The connection is idle, seen before the next statement."""
        # A snapshot has what was read before it flushed when its transaction ends.
        self._unflushed = self._unflushed or (self._passed and not self._has_looked)
        self._looked.clear()
        self._owed = None
        self._passed = self._has_looked = self._lean = False
        self._looking = 0.0

    def unasked(self) -> None:
        """A statement passed about which nothing will be asked: what it wrote and read is not known."""
        self._wal = None
        self._passed = True
        self._unflushed = self._unflushed or self._status() == "idle"

    def after(self, call: Any) -> Question | None:
        """What to ask after a statement that succeeded."""
        if call is None or call.prepare:
            return None
        if call.command is not None:
            return self.after_transaction(call.command)
        if call.folded:
            self.unasked()
            return None
        touches = text.touches_timeouts(call.sql)
        if touches:
            self._expect(call.sql)
        if self._blind:
            if touches:
                self.settings_unknown()
            return None
        question = self._after_statement(call, touches)
        if question is None and text.allows_snapshot(call.sql):
            self.unasked()
        elif question is None and text.locks_tables(call.sql):
            self._owed = call
        return question

    def before_the_end(self) -> tuple[Any, Question] | None:
        """What to ask before COMMIT or ROLLBACK, and on behalf of which statement: a LOCK TABLE that began
        its transaction and was followed by nothing."""
        if self._owed is None or self._silent() or self._status() != "in":
            return None
        return self._owed, self._question("snapshot")

    def _after_statement(self, call: Any, touches: bool) -> Question | None:
        status = self._status()
        if status == "in" and not self._silent() and self._allows_snapshot(call.sql, touches):
            return None if self._has_looked_after(call) else self._question("snapshot")
        if touches:
            return self._question("settings")
        if status == "idle" and call.key is None and text.allows_snapshot(call.sql):
            if _listed.get(self._database) is not None:
                return self._question("relations")
            emit("unlisted", backend=self._pid, k=call.k)
        return None

    def _allows_snapshot(self, sql: str, touches: bool) -> bool:
        # Once a transaction has its snapshot, it cannot change its isolation level anyway.
        return text.allows_snapshot(sql) or (self._has_looked and (touches or text.locks_tables(sql)))

    def after_transaction(self, command: str) -> Question | None:
        """What to ask after BEGIN, COMMIT, ROLLBACK TO and the like."""
        status = self._status()
        if command == "rollback_to" and self._has_looked and status == "in" and not self._silent():
            return self._question("snapshot")
        # SET LOCAL ends with the transaction, a SET in a transaction that is rolled back never happened.
        if not self._touched or command not in ("commit", "rollback", "rollback_to"):
            return None
        if self._blind or status == "error":
            self.settings_unknown()
            return None
        self._touched = status != "idle"
        return self._question("settings")

    def _silent(self) -> bool:
        return self._blind or self._hurried or self._looking > LONGEST_LOOKING

    def _question(self, kind: str) -> Question:
        sql = queries.SETTINGS
        if kind == "snapshot":
            sql = queries.snapshot(self._version, self._lean)
        elif kind == "relations":
            sql = queries.relations(self._version)
        in_transaction = kind == "settings" and self._status() != "idle"
        return Question(kind, sql, queries.TIMEOUTS if in_transaction else (), time.monotonic())

    def _has_looked_after(self, call: Any) -> bool:
        if call.key is None:
            return False
        if call.key in self._looked:
            return True
        self._looked.add(call.key)
        return False

    # what it may cost the user

    def _expect(self, sql: str) -> None:
        self._touched = True
        if text.makes_statement_timeout_small(sql):
            self._go_blind("statement_timeout below one second")
        if text.makes_lock_timeout_small(sql):
            self._hurry(True)

    def _go_blind(self, reason: str) -> None:
        if not self._blind:
            self._blind = True
            self._say_blind(reason)
            self.settings_unknown()

    def _hurry(self, hurried: bool) -> None:
        """With a lock_timeout of next to nothing, a lock on the catalog would fail the snapshot."""
        self._hurried = hurried
        if hurried and not self._said_hurried:
            self._said_hurried = True
            self._say_blind("lock_timeout below 100 ms")

    def _say_blind(self, reason: str) -> None:
        emit("blind", backend=self._pid, reason=reason)

    def settings_unknown(self) -> None:
        self._settings = _UNKNOWN
        emit("settings", backend=self._pid, **self._fields())

    # answers

    def answered(self, call: Any, question: Question, answer: str) -> None:
        """Write down what the connection said; `answer` is the JSON of the question's query."""
        found = json.loads(answer)
        k = None if call is None or call.command is not None else call.k
        before, self._settings = self._settings, self._read_settings(found)
        if before != self._settings:
            self._touched = self._touched or self._status() != "idle"
        cost = time.monotonic() - question.asked
        if question.kind == "settings":
            emit(
                "settings",
                backend=self._pid,
                k=k,
                server_pid=found.get("pid"),
                cost_s=cost,
                **self._fields(),
            )
        elif question.kind == "relations":
            self._list(answer, k, question.asked)
        else:
            self._take_snapshot(found, k, cost)

    def _take_snapshot(self, found: dict[str, Any], k: int | None, cost: float) -> None:
        emit(
            "snapshot",
            backend=self._pid,
            k=k,
            server_pid=found["pid"],
            locks=found["locks"] or [],
            wal=self._wal_since(found),
            unflushed=self._unflushed,
            cost_s=cost,
            **self._fields(),
        )
        self._has_looked = True
        self._owed = None
        self._unflushed = False
        self._looking += cost
        if self._looking > LONGEST_LOOKING:
            self._say_blind(f"snapshots took more than {LONGEST_LOOKING:g} s of one transaction")
        if cost > SLOW:
            self._lean = True
            self._say_slow(cost)

    def _say_slow(self, cost: float) -> None:
        if not self._said_slow:
            self._said_slow = True
            emit("slow", backend=self._pid, cost_s=cost)

    def _list(self, answer: str, k: int | None, asked: float) -> None:
        found = json.loads(answer)
        rows = found["relations"] or []
        known = _listed.get(self._database) or {}
        listed = {row[0]: row for row in rows}
        cost = time.monotonic() - asked
        emit(
            "relations",
            backend=self._pid,
            k=k,
            server_pid=found["pid"],
            relations=[row for oid, row in listed.items() if known.get(oid) != row],
            wal=self._wal_since(found),
            cost_s=cost,
            **self._fields(),
        )
        if len(rows) >= queries.MOST_RELATIONS:
            self._say_blind(f"only the newest {queries.MOST_RELATIONS} relations are known by name")
        _listed[self._database] = listed if cost <= SLOW_LISTING else None
        if k is not None:
            self._unflushed = self._version is not None and self._version < queries.FLUSHES_SINCE

    def _wal_since(self, found: dict[str, Any]) -> list[int | None]:
        since, self._wal = self._wal, found["wal"]
        return [since, self._wal]

    def failed(self, error: BaseException) -> None:
        """A question failed, and the user's transaction with it."""
        fail(f"question to backend {self._pid}", error)
        self._go_blind(f"our own query failed: {type(error).__name__}")

    def _fields(self) -> dict[str, Any]:
        return dict(zip((f"{name}_s" for name in queries.TIMEOUTS), self._settings))

    def _read_settings(self, found: dict[str, Any]) -> Settings:
        settings = tuple(text.seconds(found.get(name)) for name in queries.TIMEOUTS)
        lock_timeout, statement_timeout = settings[0], settings[1]
        if statement_timeout is None or 0 < statement_timeout < 1:
            self._blind = True
            self._say_blind("statement_timeout below one second")
        self._hurry(lock_timeout is not None and 0 < lock_timeout < 0.1)
        return settings
