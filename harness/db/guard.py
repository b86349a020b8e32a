"""The safety guard: which database and which service a run may touch, and who else is on it.

The harness floods a service and changes a schema, so it refuses every peer that is not on this machine, and
every database it did not start, until the person names it. Judged is what would really be connected to, not
what the URL seems to say.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import class_row

from harness.db.pooling import is_direct
from harness.db.url import DatabaseUrl, Resolved
from harness.errors import GuardError, SetupError, UsageError

__all__ = [
    "Identity",
    "RunLock",
    "addresses",
    "check_database",
    "check_http_host",
    "connect",
    "identify",
    "identify_further",
]

Resolve = Callable[[str], list[str]]
"""All addresses of a host name; none when the name is not known."""

WHY = "The harness floods services and changes schemas, so it touches only what it started or what you name."

LOCK_KEY = (0x4D554C31, 1)
"""The two-key advisory lock of a run; advisory locks are per database."""


def addresses(host: str) -> list[str]:
    """Every address `host` stands for on this machine; none when it does not resolve."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


def check_database(
    url: DatabaseUrl,
    *,
    started_by_us: bool,
    allow_hosts: Sequence[str],
    allow_databases: Sequence[str],
    allow_production: bool,
    resolve: Resolve = addresses,
) -> None:
    """Refuse (GuardError) a database the harness did not start, unless the flags name it.

    Started by us waives the database's name and the word prod, not the host: PGHOSTADDR or a service file in
    the environment sends even our own URL elsewhere.
    """
    target = url.resolved()
    away = [peer for peer in target.peers if not _is_local(peer, resolve)]
    _check_hosts(f"The database URL {url.masked}", away, allow_hosts, resolve)
    if started_by_us:
        return
    if len(away) < len(target.peers) and target.dbname not in allow_databases:
        raise GuardError(
            f"The database {target.dbname} on {_where(target)} was not started by the harness. {WHY}",
            f"If a migration and load on it are meant, add --allow-database {target.dbname}.",
        )
    words = [url.masked, *target.hosts, *target.peers, target.dbname, target.user]
    _check_production(f"The database {target.dbname} on {_where(target)}", words, allow_production)


def check_http_host(
    base_url: str,
    *,
    started_by_us: bool,
    allow_hosts: Sequence[str],
    allow_production: bool,
    resolve: Resolve = addresses,
) -> None:
    """Refuse (GuardError) a service that is not on this machine, or says prod, unless the flags name it."""
    host, shown = _http_host(base_url)
    away = [] if _is_local(host, resolve) else [host]
    _check_hosts(f"The service {shown}", away, allow_hosts, resolve)
    if not started_by_us:
        _check_production(f"The service {shown}", [shown], allow_production)


def _http_host(base_url: str) -> tuple[str, str]:
    """The host, and the URL without credentials, query and fragment; tcp is a service of another protocol."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the URL
        host, port = None, None
    if not host or parts.scheme not in ("http", "https", "tcp"):
        raise UsageError(
            "The service's URL is not an http or https URL.", "Write --host http://127.0.0.1:8000."
        )
    name = f"[{host}]" if ":" in host else host
    return host, f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path}"


def _check_hosts(what: str, away: Sequence[str], allowed: Sequence[str], resolve: Resolve) -> None:
    for host in away:
        if host in allowed:
            continue
        found = resolve(host)
        seen = host if found == [host] else f"{host} ({', '.join(found) or 'an unknown name here'})"
        raise GuardError(
            f"{what} goes to the host {seen}, which is not this machine. {WHY}",
            f"If load on that host is meant, add --allow-host {host}.",
        )


def _check_production(what: str, words: Sequence[str], allowed: bool) -> None:
    if not allowed and any("prod" in word.lower() for word in words):
        raise GuardError(
            f'{what} looks like production: its name or URL says "prod". {WHY}',
            "If that is meant, add --allow-production.",
        )


def _is_local(peer: str, resolve: Resolve) -> bool:
    if not peer or peer.startswith(("/", "@")):  # a socket in a folder, or an abstract one
        return True
    found = resolve(peer)
    return bool(found) and all(_is_loopback(address) for address in found)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _where(target: Resolved) -> str:
    peers = [peer or "the local socket" for peer in target.peers]
    return f"{', '.join(peers)} (port {target.port})"


@dataclass(frozen=True)
class Identity:
    """Which database this is, whatever name or address led there.

    `system_identifier` is the cluster's (64 bits, as text), `server_version` as 180006.
    """

    system_identifier: str
    database_oid: int
    server_version: int
    database: str


def connect(
    url: DatabaseUrl, application_name: str, connect_timeout_s: int = 5, database: str | None = None
) -> psycopg.Connection:
    """An autocommit connection, to another `database` of the same server if one is named.

    Raises SetupError in one line when there is none to be had.
    """
    try:
        return psycopg.connect(
            url.libpq(),
            autocommit=True,
            application_name=application_name,
            connect_timeout=connect_timeout_s,
            dbname=database,
        )
    except psycopg.OperationalError as error:
        reason = str(error)
    # Raised out here so that it has no context: psycopg's error holds the socket, and the password.
    raise _explained(url.resolved(), reason, connect_timeout_s)


def _explained(target: Resolved, reason: str, timeout_s: int) -> SetupError:
    """libpq gives no SQLSTATE for a failed connection, so its words are all there is to go by."""
    server = f"PostgreSQL at {_where(target)}"
    text = reason.lower()
    if any(sign in text for sign in ("password authentication failed", "no password supplied")):
        return SetupError(
            f"{server} refused the password for the user {target.user}.",
            "Give the right one in MUL_DATABASE_URL, PGPASSWORD or PGPASSFILE.",
        )
    if f'database "{target.dbname.lower()}" does not exist' in text:
        return SetupError(
            f"{server} has no database {target.dbname}.",
            f"Create it (createdb {target.dbname}) or correct the name in the URL.",
        )
    if any(sign in text for sign in ("invalid response to ssl", "expected authentication request")):
        return SetupError(
            f"What answers at {_where(target)} is not PostgreSQL.", "Correct the host or the port in the URL."
        )
    if "server closed the connection unexpectedly" in text:
        return SetupError(
            f"{server} closed the connection without a word: it is not PostgreSQL, or it is going down.",
            "Correct the host or the port in the URL, or look at the server's log.",
        )
    if "timeout" in text:
        return SetupError(
            f"{server} did not answer within {timeout_s} s.", "Check the host, the port and the firewall."
        )
    if "connection refused" in text or "no such file" in text:
        return SetupError(
            f"{server} does not answer: nobody listens there.",
            "Start the server, or correct the host or the port in the URL.",
        )
    return SetupError(
        f"{server} cannot be used: {_first_line(reason)}.", "Check the URL and the server's log."
    )


def _first_line(reason: str) -> str:
    return reason.strip().partition("\n")[0].rstrip(".")


def identify(conn: psycopg.Connection) -> Identity:
    """The identity of the database that `conn` is connected to.

    `pg_control_system()` may be called by everybody
    (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA).
    """
    with conn.cursor(row_factory=class_row(Identity)) as cursor:
        cursor.execute(
            "SELECT c.system_identifier::text AS system_identifier, d.oid AS database_oid,"
            " current_setting('server_version_num')::int AS server_version, d.datname AS database"
            " FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()"
        )
        found = cursor.fetchone()
    if found is None:
        raise SetupError("The server does not list the database of this connection.", "Connect once more.")
    return found


def identify_further(
    conn: psycopg.Connection, names: Sequence[str], *, allow_production: bool = False
) -> tuple[Identity, ...]:
    """Those of the databases called `names` that lie on the server of `conn`, its own database left out.

    Raises GuardError when one looks like production.
    """
    with conn.cursor(row_factory=class_row(Identity)) as cursor:
        cursor.execute(
            "SELECT c.system_identifier::text AS system_identifier, d.oid AS database_oid,"
            " current_setting('server_version_num')::int AS server_version, d.datname AS database"
            " FROM pg_control_system() c, pg_database d"
            " WHERE d.datname = ANY(%s) AND d.datname <> current_database() ORDER BY d.oid",
            [list(names)],
        )
        found = tuple(cursor.fetchall())
    for other in found:
        _check_production(f"The database {other.database}", [other.database], allow_production)
    return found


class RunLock:
    """One run per database: an advisory lock, held by a connection of its own until `release`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @classmethod
    def acquire(cls, url: DatabaseUrl, run_id: str, of: str | None = None) -> RunLock:
        """Take the lock for the run `run_id`: on the database of `url`, or there on the database `of`, which
        may be re-created meanwhile. Raises UsageError that names the holder when it is taken.
        """
        connection = connect(url, application_name=f"mul-run {run_id}")
        key = LOCK_KEY if of is None else (LOCK_KEY[0], zlib.crc32(of.encode()) >> 1)
        try:
            row = connection.execute(_lock_sql(connection), key).fetchone()
            if row is None or not row[0]:
                name = of or url.resolved().dbname
                raise UsageError(
                    f"Another run is using the database {name}: {_holder(connection, key)}.",
                    "Wait for it to end, or stop it.",
                )
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def release(self) -> None:
        """Give the lock back. Closing the connection does it, and works when the server is already gone."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock_sql(connection: psycopg.Connection) -> str:
    """A pooler in transaction mode would leave a session's lock behind with the server's process, for whoever
    comes next; there it is the lock of a transaction, which stays open.
    """
    if is_direct(connection):
        return "SELECT pg_try_advisory_lock(%s, %s)"
    connection.execute("BEGIN", prepare=False)
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0", prepare=False)
    return "SELECT pg_try_advisory_xact_lock(%s, %s)"


def _holder(connection: psycopg.Connection, key: tuple[int, int]) -> str:
    row = connection.execute(
        "SELECT a.application_name, a.pid, coalesce(host(a.client_addr), 'a local socket'),"
        " to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.classid = %s AND l.objid = %s AND l.objsubid = 2",
        key,
    ).fetchone()
    if row is None:
        return "it ended a moment ago"
    name, pid, address, since = row
    return f"{name or 'no name'}, backend {pid}, from {address}, since {since or 'an unknown time'} UTC"
