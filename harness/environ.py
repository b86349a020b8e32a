"""The one place that reads the process environment (a lint rule bans `os.environ` elsewhere)."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["child_environment", "provide", "variable"]


def variable(name: str) -> str | None:
    """The value of the environment variable `name`, or None when it is unset or empty."""
    return os.environ.get(name) or None


def child_environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of this process's environment for a child, with `overrides` laid over it.

    What was provided is left out: a command of the person's gets what the person has set, and no more.
    """
    own = {name: value for name, value in os.environ.items() if name not in _provided}
    return own | dict(overrides or {})


_provided: set[str] = set()


def provide(name: str, value: str) -> None:
    """Set `name` for this process and those forked from it from now on, unless it has a value."""
    if variable(name) is None:
        os.environ[name] = value
        _provided.add(name)
