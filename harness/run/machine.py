"""What the run ran on: `environment.json`."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from harness import __version__
from harness.db.guard import Identity
from harness.db.settings import read_settings

__all__ = ["describe"]

PACKAGES = ("locust", "gevent", "alembic", "sqlalchemy", "psycopg", "pyjwt", "numpy")


def describe(
    database_url: str | None,
    identity: Identity | None,
    image: str | None = None,
    cache: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Versions, machine, and the PostgreSQL settings that matter to a migration; `image` is what the server's
    container was made from, where it runs in one. `cache` says which the reference service was given, or why
    none; None where none was asked for.
    """
    return {
        "harness": __version__,
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "cores": psutil.cpu_count(),
            "memory_mb": psutil.virtual_memory().total // 2**20,
        },
        "postgresql": None
        if identity is None or database_url is None
        else {
            "version": identity.server_version,
            "image": image,
            "database": identity.database,
            "settings": read_settings(database_url),
        },
        **({} if cache is None else {"cache": dict(cache)}),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
