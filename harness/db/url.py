"""A database URL as people write it, and where libpq would really go with it.

The two differ: `postgresql://localhost/db?host=prod.example` goes to prod.example, and PGHOSTADDR, PGSERVICE
and a service file redirect a URL that looks harmless
(https://www.postgresql.org/docs/current/libpq-connect.html, https://www.postgresql.org/docs/current/libpq-envars.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from psycopg import OperationalError
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, ConninfoOption, ConnStatus, PGconn

from harness.errors import UsageError

__all__ = ["DatabaseUrl", "Resolved"]

DRIVERS = ("asyncpg", "psycopg", "psycopg2", "psycopg_async")
SECRETS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)

EXAMPLE = "postgresql://USER@HOST:5432/DATABASE"
EXPECTED = f"Write it as {EXAMPLE}."
ENCODE = (
    "Percent-encode special characters in the user name and the password "
    "(@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25, a space is %20)."
)

SCHEME = re.compile(r"(?P<dialect>[A-Za-z0-9_]+)(?:\+(?P<driver>\w+))?://(?P<rest>.*)", re.DOTALL)
# One @ at most, and only before the hosts: libpq takes `u:p/w@host/db` for the host `u`, SQLAlchemy splits
# `u:p?w@host/db` elsewhere than libpq, and either way the rest of a password would show in messages.
REST = re.compile(r"(?:[^@/?#\s]*@)?[^@/?#\s]*(?:/[^@/?#\s]*)?(?:\?[^@#\s]*)?")


@dataclass(frozen=True)
class Resolved:
    """Where libpq would connect, environment and service file included; carries no password.

    `hosts` and `hostaddrs` are the lists libpq tries in order; an empty or missing host is the default local
    socket. `port` is the first host's.
    """

    hosts: tuple[str, ...]
    hostaddrs: tuple[str, ...]
    port: int
    dbname: str
    user: str

    @property
    def peers(self) -> tuple[str, ...]:
        """What libpq dials for each entry: the address where one is given, else the host, else ""."""
        count = max(len(self.hosts), len(self.hostaddrs), 1)
        hosts = self.hosts or ("",) * count
        addresses = self.hostaddrs or ("",) * count
        return tuple(address or host for host, address in zip(hosts, addresses, strict=True))


@dataclass(frozen=True)
class DatabaseUrl:
    """A PostgreSQL URL; its `str` and `repr` are masked."""

    _libpq: str = field(repr=False)
    masked: str
    """The URL with every secret replaced, for logs, messages and files."""

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Read `postgres://…`, `postgresql://…` or `postgresql+DRIVER://…`.

        Raises UsageError, which never repeats any part of the URL that could hold a password.
        """
        rest = _after_scheme(text.strip())
        if not REST.fullmatch(rest):
            raise UsageError("The database URL is not well-formed.", f"{ENCODE} {EXPECTED}")
        _check_parameters(rest.partition("?")[2])
        libpq = f"postgresql://{rest}"
        try:
            options = _options(Conninfo.parse(libpq.encode()))
        except OperationalError:  # its text quotes what it could not read, which may be the password
            options = None
        if options is None:
            raise UsageError("The database URL is not well-formed.", f"{ENCODE} {EXPECTED}")
        _ports(options.get("port", ""))
        return cls(libpq, _compose("postgresql", _mask(options)))

    def __str__(self) -> str:
        return self.masked

    def libpq(self) -> str:
        """The URL, password included, as `psycopg.connect` takes it."""
        return self._libpq

    def sqlalchemy(self, driver: str = "psycopg") -> str:
        """The URL, password included, as SQLAlchemy takes it.

        libpq's parameters are passed on as they are; asyncpg does not know those of libpq (`sslmode`, …).
        """
        options = self._given()
        host = options.get("host", "")
        if "," in host or host.startswith("/"):  # SQLAlchemy reads one plain name before the path, no more
            query = {"host": options.pop("host"), "port": options.pop("port", "")}
            return _compose(f"postgresql+{driver}", options, {k: v for k, v in query.items() if v})
        return _compose(f"postgresql+{driver}", options)

    def at(self, database: str) -> DatabaseUrl:
        """The same server, user and parameters, but another database."""
        conninfo = make_conninfo(self._libpq, dbname=database)
        return DatabaseUrl(
            conninfo, _compose("postgresql", _mask(_options(Conninfo.parse(conninfo.encode()))))
        )

    def environment(self) -> dict[str, str]:
        """libpq's environment variables that say the same, the password included: for a program's process."""
        given = self._given()
        variables = {o.keyword.decode(): o.envvar.decode() for o in Conninfo.get_defaults() if o.envvar}
        return {variables[name]: value for name, value in given.items() if name in variables}

    def without_secrets(self) -> str:
        """What a program's arguments may show, as libpq's connection string."""
        return make_conninfo(**{name: value for name, value in self._given().items() if name not in SECRETS})

    def resolved(self) -> Resolved:
        """Let libpq put URL, environment and service file together, without connecting.

        libpq checks `sslmode` after it has resolved everything else and before it opens a socket, so an
        impossible value stops it exactly there (`pqConnectOptions2` in src/interfaces/libpq/fe-connect.c).
        """
        stop = "stop-before-connecting"
        connection = PGconn.connect_start(make_conninfo(self._libpq, sslmode=stop).encode())
        try:
            reason = connection.error_message.decode(errors="replace").strip()
            if connection.status != ConnStatus.BAD or stop not in reason:
                raise UsageError(
                    f"libpq cannot make out where {self.masked} goes: {reason or 'no reason given'}.",
                    "Check the URL, the PG… environment variables and the service file.",
                )
            options = _options(connection.info)
        finally:
            connection.finish()
        return Resolved(
            hosts=_list(options.get("host", "")),
            hostaddrs=_list(options.get("hostaddr", "")),
            port=_ports(options.get("port", ""))[0],
            dbname=options.get("dbname", ""),
            user=options.get("user", ""),
        )

    def _given(self) -> dict[str, str]:
        return _options(Conninfo.parse(self._libpq.encode()))


def _after_scheme(text: str) -> str:
    found = SCHEME.fullmatch(text)
    if not found:
        raise UsageError("The database URL does not start with postgresql://.", EXPECTED)
    dialect, driver = found["dialect"].lower(), found["driver"]
    if dialect not in ("postgres", "postgresql"):
        raise UsageError(f"{dialect} is not PostgreSQL, the only database the harness works with.", EXPECTED)
    if driver and driver not in DRIVERS:
        raise UsageError(
            f"The driver {driver} of the database URL is not known.",
            f"Known are {', '.join(DRIVERS)}; or leave it out: {EXAMPLE}.",
        )
    return found["rest"]


def _check_parameters(query: str) -> None:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    seen: set[str] = set()
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UsageError(
                f"The database URL has a parameter that libpq does not know: {name[:40]!r}.",
                "https://www.postgresql.org/docs/current/libpq-connect.html lists them "
                "(for asyncpg's ssl write sslmode).",
            )
        if name in seen:  # libpq takes the last one, SQLAlchemy all of them: they would go to different hosts
            raise UsageError(
                f"The database URL gives the parameter {name} twice.",
                "Give it once; several hosts are separated by commas.",
            )
        seen.add(name)


def _ports(text: str) -> list[int]:
    """The ports of a comma-separated list; what is not a port may be a password and is not repeated."""
    ports = [port or "5432" for port in text.split(",")]
    if not all(port.isascii() and port.isdigit() and 0 < int(port) < 65536 for port in ports):
        raise UsageError(
            "The port of the database URL is not a number from 1 to 65535.", f"{EXPECTED} {ENCODE}"
        )
    return [int(port) for port in ports]


def _options(options: list[ConninfoOption]) -> dict[str, str]:
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",")) if text else ()


def _mask(options: dict[str, str]) -> dict[str, str]:
    return {name: "***" if name in SECRETS else value for name, value in options.items()}


def _compose(scheme: str, options: dict[str, str], query: dict[str, str] | None = None) -> str:
    rest = dict(options)
    user, password = rest.pop("user", ""), rest.pop("password", "")
    authority = _hosts(rest.pop("host", ""), rest.pop("port", ""))
    database = rest.pop("dbname", "")
    rest |= query or {}
    credentials = quote(user, safe="") + (f":{quote(password, safe='*')}" if password else "")
    return f"{scheme}://{credentials}{'@' if credentials else ''}{authority}/{quote(database, safe='')}" + (
        f"?{urlencode(rest, safe='*,/', quote_via=quote)}" if rest else ""
    )


def _hosts(hosts: str, ports: str) -> str:
    names, numbers = hosts.split(","), ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    pairs = zip(names, numbers, strict=False)
    return ",".join(f"{_bracketed(name)}{':' if port else ''}{port}" for name, port in pairs)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")
