"""The library Alembic, found past a project's own folder of that name.

Locust puts the working folder first on the path, and many projects keep their migrations there in a package
called `alembic`. Imported as the library, it has nothing of what is asked of it.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["import_alembic"]


def import_alembic() -> None:
    """Import the library now, if a project's migrations would be imported in its place later."""
    shadows = [entry for entry in sys.path if _holds_migrations(Path(entry, "alembic"))]
    if not shadows or "alembic" in sys.modules:
        return
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if entry not in shadows]
    try:
        with suppress(ModuleNotFoundError):  # whoever needs it says so
            importlib.import_module("alembic")
    finally:
        sys.path[:] = path


def _holds_migrations(folder: Path) -> bool:
    return (folder / "env.py").is_file() and (folder / "__init__.py").is_file()
