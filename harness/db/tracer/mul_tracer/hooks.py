"""Hooks a library right after its import, whenever and by whomever it is imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from importlib.util import find_spec
from typing import Any

from .channel import emit, fail
from .guard import unguarded

# library → the module of ours that hooks it, by a function `hook(module)`
HOOKS = {
    "psycopg2": "on_psycopg2",
    "psycopg": "on_psycopg",
    "asyncpg": "on_asyncpg",
    "alembic.runtime.migration": "on_alembic",
}
DRIVERS = ("psycopg2", "psycopg", "asyncpg")


def install() -> None:
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds a hooked library as everybody else would, and wraps its loader."""

    def __init__(self) -> None:
        self._looking_for: set[str] = set()

    def find_spec(self, name: str, *_: Any, **__: Any) -> Any:
        if name not in HOOKS or name in self._looking_for:
            return None
        self._looking_for.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._looking_for.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """The library's own loader, which calls our hook once the module has been executed."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def create_module(self, spec: Any) -> Any:
        return self._original.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = self._original
        module.__loader__ = self._original
        self._original.exec_module(module)
        _hook(module)


def _hook(module: Any) -> None:
    name = module.__name__
    try:
        importlib.import_module(f"{__package__}.{HOOKS[name]}").hook(module)
        emit("hooked", library=name.split(".")[0], version=_version(name))
    except Exception as error:
        if name in DRIVERS:
            unguarded(f"hook {name}", error)
        else:
            fail(f"hook {name}", error)


def _version(name: str) -> str | None:
    library = name.split(".")[0]
    found = getattr(sys.modules.get(library), "__version__", None)
    # Alembic sets its own after the import of the module hooked here.
    return found or importlib.metadata.version(library)
