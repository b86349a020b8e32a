"""What the text of a statement says, as far as the tracer must know. Pure."""

from __future__ import annotations

import re
from typing import Any

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|;)+", re.DOTALL)
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_SPACE = re.compile(r"\s+")
# A text that was cut off within the literal ends it too.
_SECRET = re.compile(
    r"(\b(?:password|connection)(?:\s|/\*.{0,200}?\*/|--[^\n]*\n)+)"
    r"(?:''[^']+''|e'(?:[^'\\]|''|\\.)*(?:'|\\?\Z)|(?:u&)?'(?:[^']|'')*(?:'|\Z)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))",
    re.IGNORECASE | re.DOTALL,
)
# Bounded, as a text of many URLs would take quadratic time. The scheme's colon may have been forgotten.
_URL = re.compile(r"(//[^\s:/@'\"]{0,100}:)[^\s'\"]{1,1000}@")
_REPEATED = re.compile(r"(?:insert|update|delete|select|with|merge|execute|copy|values)\b", re.IGNORECASE)
_TRANSACTION = re.compile(
    r"(?P<begin>begin|start\s+transaction)\b|(?P<commit>commit|end)\b(?!\s+prepared)"
    r"|(?P<rollback_to>rollback\s+(?:work\s+|transaction\s+)?to)\b|(?P<rollback>rollback|abort)\b(?!\s+prepared)"
    r"|(?P<savepoint>savepoint)\b|(?P<release>release)\b",
    re.IGNORECASE,
)
# After these a SELECT of ours would take the transaction's snapshot and make a later
# `SET TRANSACTION ISOLATION LEVEL` fail with 25001.
_NO_SNAPSHOT = re.compile(
    r"(?:set|reset|show|begin|start|commit|end|abort|rollback|savepoint|release|lock|fetch|move|close|declare"
    r"|discard|deallocate|prepare|listen|unlisten|notify)\b",
    re.IGNORECASE,
)
_TIMEOUT = re.compile(
    r"\b(?P<name>statement|lock)_timeout['\"]?\s*(?:=|\bto\b|,)\s*['\"]?\s*(?P<value>[\w.]+)\s*(?P<unit>us|ms|s|min|h|d)?",
    re.IGNORECASE,
)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, None: 1e-3}


def masked(sql: str) -> str:
    """The text without the literals of `CREATE ROLE … PASSWORD '…'` and `CREATE SUBSCRIPTION … CONNECTION
    '…'`, and without the passwords of URLs."""
    return _URL.sub(r"\1***@", _SECRET.sub(r"\1'***'", sql))


def without_comments(sql: str) -> str:
    """The text from its first word."""
    found = _LEADING.match(sql)
    return sql[found.end() :] if found else sql


def repeat_key(sql: str) -> str | None:
    """What two repeats of a statement share: the text without literals; None for what is never folded
    (DDL)."""
    if not _REPEATED.match(without_comments(sql)):
        return None
    return _SPACE.sub(" ", _LITERAL.sub("?", sql))


def transaction_command(sql: str) -> str | None:
    """`begin`, `commit`, `rollback`, `savepoint`, `rollback_to` or `release`, if that is all the text
    does."""
    pieces = _pieces(sql)
    found = _TRANSACTION.match(pieces[0]) if len(pieces) == 1 else None
    return found.lastgroup if found else None


def allows_snapshot(sql: str) -> bool:
    return not all(_NO_SNAPSHOT.match(piece) for piece in _pieces(sql))


def _pieces(sql: str) -> list[str]:
    return [text for text in (without_comments(piece) for piece in sql.split(";")) if text]


def locks_tables(sql: str) -> bool:
    """Whether the text is a LOCK TABLE."""
    return any(piece[:4].lower() == "lock" for piece in _pieces(sql))


def touches_timeouts(sql: str) -> bool:
    lowered = sql.lower()
    return "_timeout" in lowered or "reset all" in lowered or "discard all" in lowered


def makes_statement_timeout_small(sql: str) -> bool:
    """Whether a query of ours could be cancelled after this text: it sets less than a second, or something
    unreadable."""
    return any(
        _is_below(1, found) for found in _TIMEOUT.finditer(sql) if found["name"].lower() == "statement"
    )


def makes_lock_timeout_small(sql: str) -> bool:
    """Whether this text sets a lock_timeout below 100 ms, or an unreadable one."""
    return any(_is_below(0.1, found) for found in _TIMEOUT.finditer(sql) if found["name"].lower() == "lock")


def _is_below(limit: float, found: Any) -> bool:
    if found["value"].lower() == "default":
        return False
    number = re.match(r"([\d.]+)\s*(us|ms|s|min|h|d)?$", found["value"], re.IGNORECASE)
    if number is None:
        return True
    unit = (number[2] or found["unit"] or "").lower() or None
    return 0 < float(number[1]) * _UNITS[unit] < limit


def seconds(setting: str | None) -> float | None:
    """PostgreSQL's `500ms`, `5s`, `1min`, `0` in seconds; None if it is none of them. 0 means no timeout."""
    found = re.match(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?$", setting or "")
    return float(found[1]) * _UNITS[found[2]] if found else None
