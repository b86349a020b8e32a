"""The kinds of errors that PostgreSQL, its poolers and its replicas have for clients, and how to know them.

Which is which was tried on PostgreSQL 15 and 18; the codes are those of
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.core.observation import LogEntry

__all__ = [
    "AFTER_COMMIT",
    "CONSEQUENCE",
    "MEANWHILE",
    "NO_ROOM",
    "POOLED",
    "POOL_EXHAUSTED",
    "REFUSED",
    "REPLAYED",
    "Kind",
    "kind_of",
    "said",
]

POOL_EXHAUSTED = "pool exhausted"

AFTER_COMMIT, MEANWHILE, CONSEQUENCE = "after commit", "meanwhile", "consequence"
REFUSED = "refused"
"""By the service, for asking too often; no statement does that."""
POOLED = "pooled"
"""By a pooler's handing a connection to another of PostgreSQL's processes; no statement does that either."""
REPLAYED = "replayed"
"""By a replica, which cancels queries that stand in the way of what it replays."""
NO_ROOM = "no room"
"""By a disk that is full: whoever writes next fails, whatever filled it."""


@dataclass(frozen=True)
class Kind:
    """`begins`: how errors of this class are brought about by a migration."""

    name: str
    sqlstate: str | None
    begins: str
    says: str = r"(?!)"


_KINDS = (
    Kind("cached plan must not change result type", "0A000", AFTER_COMMIT, r"cached (plan|statement)"),
    Kind("undefined column", "42703", AFTER_COMMIT, r"UndefinedColumn|column \S+ does not exist"),
    Kind("undefined table", "42P01", AFTER_COMMIT, r"UndefinedTable|relation \S+ does not exist"),
    Kind("not-null violation", "23502", AFTER_COMMIT, r"NotNullViolation|violates not-null"),
    Kind("value too long", "22001", AFTER_COMMIT, r"StringDataRightTruncation|value too long"),
    Kind("check violation", "23514", AFTER_COMMIT, r"CheckViolation|violates check constraint"),
    Kind("unique violation", "23505", AFTER_COMMIT, r"UniqueViolation|violates unique constraint"),
    Kind(
        "undefined function or operator", "42883", AFTER_COMMIT, r"UndefinedFunction|operator does not exist"
    ),
    Kind("invalid text representation", "22P02", AFTER_COMMIT, r"InvalidTextRepresentation|invalid input"),
    Kind("datatype mismatch", "42804", AFTER_COMMIT, r"DatatypeMismatch"),
    Kind("permission denied", "42501", AFTER_COMMIT, r"InsufficientPrivilege|permission denied"),
    Kind("sequence exhausted", "2200H", AFTER_COMMIT, r"reached maximum value of sequence"),
    Kind("deadlock", "40P01", MEANWHILE, r"DeadlockDetected|deadlock detected"),
    Kind("lock not available", "55P03", MEANWHILE, r"LockNotAvailable|due to lock timeout"),
    Kind("query canceled", "57014", MEANWHILE, r"QueryCanceled|due to statement timeout"),
    Kind("admin shutdown", "57P01", MEANWHILE, r"AdminShutdown|due to administrator command"),
    Kind("too many clients", "53300", MEANWHILE, r"TooManyConnections|too many clients|remaining connection"),
    Kind(
        POOL_EXHAUSTED,
        None,
        MEANWHILE,
        r"PoolTimeout|QueuePool limit|pool exhausted|no free database connection",
    ),
    Kind(
        "prepared statement lost",
        "26000",
        POOLED,
        r"InvalidSqlStatementName|InvalidSQLStatementName|prepared statement \S+ does not exist",
    ),
    Kind(
        "prepared statement of another",
        "42P05",
        POOLED,
        r"DuplicatePreparedStatement|prepared statement \S+ already exists",
    ),
    Kind("disk full", "53100", NO_ROOM, r"DiskFull|No space left on device"),
    Kind("rate limiting", None, REFUSED, r"^HTTP 429"),
    Kind("transaction aborted", "25P02", CONSEQUENCE, r"InFailedSqlTransaction|transaction is aborted"),
)
_CONFLICT = Kind("conflict with recovery", "40001", REPLAYED)
"""Its SQLSTATE is that of serialization failures, too: only the words tell (tcop/postgres.c)."""
_RECOVERY = re.compile(r"conflict with recovery", re.IGNORECASE)
_BY_SQLSTATE = {kind.sqlstate: kind for kind in _KINDS if kind.sqlstate}
_CODE = re.compile(rf"\b({'|'.join(_BY_SQLSTATE)})\b")
_SAYS = tuple((re.compile(kind.says, re.IGNORECASE), kind) for kind in _KINDS)


def kind_of(entry: LogEntry) -> Kind | None:
    """The class of a message of the server's log, None for what is no error."""
    if entry.kind == "deadlock":
        return _BY_SQLSTATE["40P01"]
    if entry.kind not in ("error", "fatal"):
        return None
    if _RECOVERY.search(entry.message):
        return _CONFLICT
    if entry.sqlstate == "0A000" and "cached plan" not in entry.message:
        return Kind("SQLSTATE 0A000", "0A000", AFTER_COMMIT)
    if entry.sqlstate is None:
        return said(entry.message)
    return _BY_SQLSTATE.get(entry.sqlstate) or Kind(f"SQLSTATE {entry.sqlstate}", entry.sqlstate, MEANWHILE)


def said(text: str) -> Kind | None:
    """The class that a text speaks of, by its SQLSTATE or in its words."""
    if _RECOVERY.search(text):
        return _CONFLICT
    code = _CODE.search(text)
    if code is not None:
        return _BY_SQLSTATE[code[1]]
    return next((kind for says, kind in _SAYS if says.search(text)), None)
