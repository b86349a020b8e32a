"""The doctor: looks at everything a run needs and says what is not ready, and how to mend it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.backend import DOCKER
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import check_http_host, connect, identify
from harness.db.migrator import RELATIVE, DatabaseMigrator
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


def examine(plan: Plan) -> list[Finding]:
    """Look at everything, whatever the findings before; touches nothing.

    Of the plan it takes service, databases and migrations; where it names none, they are the reference
    service's.
    """
    steps = [replace(step, database_url=step.database_url or plan.database_url) for step in plan.steps]
    own = bool(plan.host or plan.database_url)
    looks = [_descriptors(), *(_migration(step, own) for step in steps)]
    databases = dict.fromkeys(step.database_url for step in steps if step.database_url)
    looks += map(_database, databases)
    if not databases:
        looks.append(_engine() if plan.services == DOCKER else _embedded(plan.postgres_bin))
    if plan.host:
        looks.append(_service(plan.host))
    return [finding for look in looks for finding in look]


def _descriptors() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS_WANTED
    remedy = "" if enough else f"Raise the hard limit: ulimit -Hn {DESCRIPTORS_WANTED}"
    yield Finding("file descriptors", enough, f"{soft} (up to {hard})", remedy)


def _embedded(postgres_bin: str | None) -> Iterator[Finding]:
    try:
        binaries = find_binaries(Path(postgres_bin) if postgres_bin else None)
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


def _migration(step: MigrationPlan, own: bool) -> Iterator[Finding]:
    if own and not step.alembic_config:
        remedy = "Name them: --alembic-config path/to/alembic.ini, or alembic-config in the plan file."
        yield Finding("migration scripts", None, "it is not said where they are", remedy)
        return
    config = Path(step.alembic_config) if step.alembic_config else REFERENCE_ALEMBIC
    name = step.alembic_config or "the reference service's history"
    try:
        migrator = DatabaseMigrator(None, alembic_config=config)
        yield Finding("migration scripts", True, f"{name}: heads {', '.join(migrator.heads())}")
        if step.alembic_config and not RELATIVE.fullmatch(step.upgrade):
            migrator.resolve(step.upgrade)
        if step.database_url and step.alembic_config:
            now = DatabaseMigrator(step.database_url, alembic_config=config).current()
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
