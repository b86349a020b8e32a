"""Everything the service can be told, read once from environment variables `MUL_TARGET_*`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from sqlalchemy.engine import make_url

from harness.target.tokens import SigningKey

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """One process's settings. Secrets stay out of `repr`."""

    database_url: str = field(repr=False)
    """`MUL_TARGET_DATABASE_URL`, as `postgres://`, `postgresql://` or `postgresql+psycopg://`."""

    access_ttl_s: int = 300
    """`MUL_TARGET_ACCESS_TTL_S`: an access token is accepted this long, in whole seconds, at least 1."""

    refresh_ttl_s: int = 86_400
    """`MUL_TARGET_REFRESH_TTL_S`: a refresh token is accepted this long."""

    pool_size: int = 10
    """`MUL_TARGET_POOL_SIZE`: database connections per process, besides the one that listens."""

    pooled: bool = False
    """`MUL_TARGET_POOLED`: 1 or 0, whether that URL leads to a pooler in transaction mode. Then nothing is
    prepared, and `listen_database_url` is needed where no cache tells the processes of each other.
    """

    listen_database_url: str | None = field(default=None, repr=False)
    """`MUL_TARGET_LISTEN_DATABASE_URL`: where to listen for notifications, which takes a session of its own;
    the database itself unless given.
    """

    issuer: str = "migrate-under-load-target"
    """`MUL_TARGET_ISSUER`: the `iss` of every token."""

    audience: str = "documents"
    """`MUL_TARGET_AUDIENCE`: the `aud` of every token."""

    seed_password: str = field(default="correct horse battery staple", repr=False)
    """`MUL_TARGET_SEED_PASSWORD`: what every seeded account signs in with."""

    sqlcommenter: bool = True
    """`MUL_TARGET_SQLCOMMENTER`: 1 or 0, whether statements say for which request they run."""

    fault: str | None = None
    """`MUL_TARGET_FAULT`: how the service is broken on purpose, for tests alone (`faults.py`)."""

    role: str = "all"
    """`MUL_TARGET_ROLE`: `auth` keeps accounts and tokens, `api` what the accounts keep, each in a database
    of its own; `all` is both in one.
    """

    cache_url: str | None = field(default=None, repr=False)
    """`MUL_TARGET_CACHE_URL`: a Valkey or Redis, as `redis://`, `rediss://`, `valkey://` or `valkeys://`."""

    auth_url: str | None = None
    """`MUL_TARGET_AUTH_URL`: where the role `auth` is served, which publishes the key that `api` goes by."""

    signing_key: str | None = field(default=None, repr=False)
    """`MUL_TARGET_SIGNING_KEY`: a P-256 private key as PEM, for a database that holds none yet. Without
    it one is made."""

    release: str = "n"
    """`MUL_TARGET_RELEASE`: `n` knows the schema `v1`; `n+1` reads and writes what the branches `safe` and
    `unsafe` add; `n+1-untagged` does without the column that `hurried` drops; `all` writes as `n` does and
    shows every column that there is, as `SELECT *` would.
    """

    @classmethod
    def from_environment(cls) -> Settings:
        """Raises SystemExit, naming the variable, when one is missing or is not of its kind."""
        return cls(
            database_url=_required("DATABASE_URL"),
            access_ttl_s=_positive("ACCESS_TTL_S", cls.access_ttl_s),
            refresh_ttl_s=_positive("REFRESH_TTL_S", cls.refresh_ttl_s),
            pool_size=_positive("POOL_SIZE", cls.pool_size),
            pooled=_switch("POOLED", cls.pooled),
            listen_database_url=_variable("LISTEN_DATABASE_URL"),
            issuer=_variable("ISSUER") or cls.issuer,
            audience=_variable("AUDIENCE") or cls.audience,
            seed_password=_variable("SEED_PASSWORD") or cls.seed_password,
            sqlcommenter=_switch("SQLCOMMENTER", cls.sqlcommenter),
            fault=_variable("FAULT"),
            signing_key=_private_key("SIGNING_KEY"),
            release=_one_of("RELEASE", ("n", "n+1", "n+1-untagged", "all"), cls.release),
            role=_one_of("ROLE", ("all", "auth", "api"), cls.role),
            cache_url=_cache_url("CACHE_URL"),
            auth_url=_variable("AUTH_URL"),
        )

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL for SQLAlchemy with psycopg 3."""
        return _with_scheme(self.database_url, "postgresql+psycopg")

    @property
    def libpq_url(self) -> str:
        """The database's URL for psycopg itself."""
        return _with_scheme(self.database_url, "postgresql")

    @property
    def listen_url(self) -> str:
        """Where to listen, for psycopg itself."""
        return _with_scheme(self.listen_database_url or self.database_url, "postgresql")

    @classmethod
    def of_migration(cls) -> Settings:
        """Where the database is, and nothing else: by the service's own variable, else by the one that the
        harness gives the process of every migration. Raises SystemExit when neither is set.
        """
        return cls(
            _variable("DATABASE_URL") or os.environ.get("MUL_DATABASE_URL", "") or _required("DATABASE_URL")
        )

    def check_role(self) -> None:
        """Raises SystemExit when a service that is one of two lacks what joins them."""
        if self.role != "all" and self.cache_url is None:
            raise SystemExit(
                f"MUL_TARGET_CACHE_URL is not set; the role {self.role!r} needs it, as the api hears of"
                " revoked tokens and of the key's rotation through it."
            )
        if self.role == "api" and self.auth_url is None:
            raise SystemExit(
                "MUL_TARGET_AUTH_URL is not set; the role 'api' goes by the key that 'auth' publishes."
            )
        if self.role != "all" and self.fault is not None:
            raise SystemExit(
                f"MUL_TARGET_FAULT is set; only the role 'all' can be broken, not {self.role!r}."
            )

    def check_pooler(self) -> None:
        """Raises SystemExit when notifications would be listened for through a pooler, where none arrive."""
        if self.pooled and self.cache_url is None and self.listen_database_url is None:
            raise SystemExit(
                "MUL_TARGET_LISTEN_DATABASE_URL is not set; MUL_TARGET_POOLED says that the database's URL is"
                " a pooler's, and LISTEN hears nothing through one. Give it a URL past the pooler."
            )


def _with_scheme(url: str, scheme: str) -> str:
    return make_url(url).set(drivername=scheme).render_as_string(hide_password=False)


def _variable(name: str) -> str | None:
    return os.environ.get(f"MUL_TARGET_{name}") or None


def _required(name: str) -> str:
    value = _variable(name)
    if value is None:
        raise SystemExit(f"MUL_TARGET_{name} is not set; give it the URL of a PostgreSQL database.")
    return value


def _positive(name: str, default: int) -> int:
    value = _variable(name)
    if value is None:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise SystemExit(f"MUL_TARGET_{name} is {value!r}; it takes a whole number, 1 or more.")
    return int(value)


def _switch(name: str, default: bool) -> bool:
    value = _variable(name)
    if value not in (None, "0", "1"):
        raise SystemExit(f"MUL_TARGET_{name} is {value!r}; it takes 1 or 0.")
    return default if value is None else value == "1"


def _private_key(name: str) -> str | None:
    value = _variable(name)
    if value is not None:
        try:
            SigningKey("", value)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise SystemExit(
                f"MUL_TARGET_{name} holds no key to sign with; it takes a P-256 private key as PEM, in full."
            ) from None
    return value


def _cache_url(name: str) -> str | None:
    """As redis-py takes it, to which Valkey's schemes are unknown."""
    value = _variable(name)
    if value is None:
        return None
    scheme, separator, rest = value.partition("://")
    known = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
    if not separator or scheme not in known:
        raise SystemExit(f"MUL_TARGET_{name} is no URL of a cache; it takes redis://… or valkey://….")
    return f"{known[scheme]}://{rest}"


def _one_of(name: str, known: tuple[str, ...], default: str) -> str:
    value = _variable(name) or default
    if value not in known:
        raise SystemExit(f"MUL_TARGET_{name} is {value!r}; it takes {' or '.join(known)}.")
    return value
