"""The doctor: looks at everything a run needs and says what is not ready, and how to mend it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.backend import DOCKER, EMBEDDED
from harness.core.plan import Plan
from harness.db.guard import check_http_host, connect, identify
from harness.db.migrator import DatabaseMigrator
from harness.db.server import find_binaries
from harness.db.settings import may_monitor
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError
from harness.run.docker_engine import Engine
from harness.run.services import REFERENCE_ALEMBIC, given_services

__all__ = ["Finding", "examine"]

DESCRIPTORS_WANTED = 4096


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is ready (None: a run goes without it), what was found, what to do."""

    what: str
    ready: bool | None
    found: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        """For the terminal."""
        return "note" if self.ready is None else "ok" if self.ready else "NO"


def examine(
    database_url: str | None,
    host: str | None,
    alembic_config: Path | None,
    postgres_bin: Path | None,
    services: str = EMBEDDED,
) -> list[Finding]:
    """Look at everything, whatever the findings before; touches nothing."""
    looks = [_descriptors(), _migration(database_url, alembic_config)]
    if database_url:
        looks.append(_database(database_url))
    else:
        looks.append(_engine() if services == DOCKER else _embedded(postgres_bin))
    if host:
        looks.append(_service(host))
    return [finding for look in looks for finding in look]


def _descriptors() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS_WANTED
    remedy = "" if enough else f"Raise the hard limit: ulimit -Hn {DESCRIPTORS_WANTED}"
    yield Finding("file descriptors", enough, f"{soft} (up to {hard})", remedy)


def _embedded(postgres_bin: Path | None) -> Iterator[Finding]:
    try:
        binaries = find_binaries(postgres_bin)
    except HarnessError as error:
        yield Finding("embedded PostgreSQL", False, error.message, error.remedy)
        return
    yield Finding("embedded PostgreSQL", True, f"{binaries.version}; MUL_DATABASE_URL is not set")


def _engine() -> Iterator[Finding]:
    try:
        engine = Engine.connect("doctor")
    except HarnessError as error:
        yield Finding("Docker engine", False, error.message, error.remedy)
        return
    try:
        yield Finding("Docker engine", True, f"version {engine.version}; MUL_DATABASE_URL is not set")
    finally:
        engine.close()


def _database(database_url: str) -> Iterator[Finding]:
    try:
        url = DatabaseUrl.parse(database_url)
        with connect(url, "migrate-under-load doctor") as connection:
            identity = identify(connection)
            monitor = may_monitor(connection)
    except HarnessError as error:
        yield Finding("database", False, error.message, error.remedy)
        return
    yield Finding("database", True, f"{url.masked} answers, server version {identity.server_version}")
    role = url.resolved().user
    grant = "" if monitor else f'As a superuser: GRANT pg_monitor TO "{role}";'
    found = f"{role} may see every session" if monitor else f"{role} sees only its own sessions"
    yield Finding("privileges", monitor or None, found, grant)


def _migration(database_url: str | None, alembic_config: Path | None) -> Iterator[Finding]:
    config = alembic_config or REFERENCE_ALEMBIC
    name = str(alembic_config) if alembic_config else "the reference service's history"
    try:
        heads = ", ".join(DatabaseMigrator(None, alembic_config=config).heads())
        yield Finding("migration scripts", True, f"{name}: heads {heads}")
        if database_url and alembic_config:
            now = DatabaseMigrator(database_url, alembic_config=config).current()
            yield Finding("database revision", True, ", ".join(now) or "base")
    except HarnessError as error:
        yield Finding("migration scripts", False, error.message, error.remedy)


def _service(host: str) -> Iterator[Finding]:
    try:
        check_http_host(host, started_by_us=True, allow_hosts=(), allow_production=True)
        given_services(Plan(host=host))
    except HarnessError as error:
        yield Finding("service", False, error.message, error.remedy)
        return
    yield Finding("service", True, f"{host} answers")
