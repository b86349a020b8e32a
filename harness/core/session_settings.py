"""Session settings: the timeouts that a session of the migration sets for itself, and where they are lost.

A connection pooler in transaction mode gives each transaction of a session whichever of PostgreSQL's
processes is free, so what `SET` changed in one is not there in the next
(https://www.pgbouncer.org/features.html#sql-feature-map-for-pooling-modes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.timeouts import timeout_s
from harness.errors import UsageError

__all__ = ["TIMEOUTS", "LostSetting", "SessionSettings"]

TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)+", re.DOTALL)
_SET = re.compile(
    r"set\s+(?:(?P<scope>local|session)\s+)?(?P<name>\w+)\s*(?:=|\bto\b)\s*(?:'(?P<quoted>[^']*)'|(?P<bare>\w+))"
    r"[\s;]*",
    re.IGNORECASE,
)
_RESET = re.compile(r"(?:reset\s+(?P<name>\w+)|discard\s+all)[\s;]*", re.IGNORECASE)
_CONFIG = re.compile(
    r"select\s+(?:pg_catalog\.)?set_config\s*\(\s*'(?P<name>\w+)'\s*,\s*'(?P<quoted>[^']*)'\s*,"
    r"\s*(?P<local>true|false)\s*\)[\s;]*",
    re.IGNORECASE,
)
_CHANGES = re.compile(r"\b(?:set|reset|set_config|discard)\b", re.IGNORECASE)


@dataclass(frozen=True)
class LostSetting:
    """A timeout of `meant_s` that the session had set by statement `set_by` (None: outside a revision), and
    that was `found_s` where it was looked for. In seconds, 0 is no timeout. `beside`: it was looked for right
    after a statement outside a transaction, and not in the statement's own transaction.
    """

    setting: str
    meant_s: float
    found_s: float
    set_by: int | None
    beside: bool = False


@dataclass(frozen=True)
class _Meant:
    """None stands for what cannot be told from the text."""

    seconds: float | None
    set_by: int | None


class SessionSettings:
    """What one session has set, by the texts of its statements in their order."""

    def __init__(self) -> None:
        self._session: dict[str, _Meant] = {}
        self._before: dict[str, _Meant] | None = None  # what a rollback goes back to
        self._local: set[str] = set()

    def take(self, sql: str, number: int | None, in_transaction: bool) -> None:
        """A statement that succeeded."""
        text = sql[found.end() :] if (found := _LEADING.match(sql)) else sql
        lowered = text.lower()
        if in_transaction and self._before is None:
            self._before = dict(self._session)
        if change := _SET.fullmatch(text) or _CONFIG.fullmatch(text):
            self._change(change.groupdict(), number, in_transaction)
        elif reset := _RESET.fullmatch(text):
            for name in TIMEOUTS:
                if reset["name"] is None or reset["name"].lower() in ("all", name):
                    self._session.pop(name, None)
        elif _CHANGES.search(text):
            for name in TIMEOUTS:
                if name in lowered or "discard all" in lowered or "reset all" in lowered:
                    self._session[name] = _Meant(None, number)

    def _change(self, words: Mapping[str, str | None], number: int | None, in_transaction: bool) -> None:
        name = (words["name"] or "").lower()
        if name not in TIMEOUTS:
            return
        if (words.get("scope") or "").lower() == "local" or (words.get("local") or "").lower() == "true":
            if in_transaction:
                self._local.add(name)
            return
        value = words["quoted"] if words["quoted"] is not None else words.get("bare") or ""
        self._local.discard(name)
        if value.lower() == "default":
            self._session.pop(name, None)
        else:
            self._session[name] = _Meant(_seconds(value), number)

    def rolled_back_to(self) -> None:
        """A savepoint's rollback took back nobody knows which of the transaction's changes."""
        before = self._before or {}
        for name in TIMEOUTS:
            if self._session.get(name) != before.get(name) or name in self._local:
                self._session[name] = _Meant(None, None)

    def transaction_over(self, committed: bool) -> None:
        """What the transaction set stays, or never was."""
        if not committed and self._before is not None:
            self._session = self._before
        self._before = None
        self._local.clear()

    def lost(self, found: Mapping[str, float | None], beside: bool) -> tuple[LostSetting, ...]:
        """What was set for the session and is not what was `found`; `beside` as in LostSetting."""
        return tuple(
            LostSetting(name, meant.seconds, now, meant.set_by, beside)
            for name, meant in self._session.items()
            if meant.seconds is not None
            and name not in self._local
            and (now := found.get(name)) is not None
            and abs(now - meant.seconds) > 1e-6
        )


def _seconds(value: str) -> float | None:
    try:
        return timeout_s(value)
    except UsageError:
        return None
