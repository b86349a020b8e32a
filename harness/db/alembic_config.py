"""The user's Alembic configuration, read without running what lies around the migration scripts."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from importlib.machinery import PathFinder
from pathlib import Path

from alembic.config import Config

from harness.errors import UsageError

__all__ = ["as_the_command_sees_it", "find_scripts", "for_ini", "read_config"]

TOML_SINCE_1_16 = hasattr(Config, "toml_file_name")


def read_config(path: Path) -> Config:
    """The configuration of an ini file or a pyproject.toml, and of the other one beside it, as Alembic's
    command reads them. Raises UsageError when there is no such file."""
    if not path.is_file():
        raise UsageError(
            f"There is no Alembic configuration at {path}.",
            "Give the path of your alembic.ini, or the folder of the migration scripts.",
        )
    toml, ini = path.with_name("pyproject.toml"), path
    if path.suffix == ".toml":
        toml, ini = path, path.with_name("alembic.ini")
    given = str(ini) if ini.is_file() else None
    if toml.is_file() and TOML_SINCE_1_16:
        return Config(given, toml_file=str(toml))
    return Config(given)


def find_scripts(config: Config, home: Path) -> None:
    """Make `script_location` the folder it means.

    `package:folder` is found without importing the package, which may be a whole application. Flask-Migrate
    gives the folder on its command line: an ini without `script_location` has its env.py beside it.
    """
    location = _option(config, "script_location")
    if location is None and (home / "env.py").is_file():
        config.set_main_option("script_location", for_ini(str(home)))
    elif location is not None and ":" in location and not os.path.isabs(location):
        folder = _package_folder(location, [*_prepended(config), *sys.path])
        if folder is not None:
            config.set_main_option("script_location", for_ini(folder))


def _option(config: Config, name: str) -> str | None:
    return config.get_alembic_option(name) if TOML_SINCE_1_16 else config.get_main_option(name)


def _prepended(config: Config) -> Sequence[str]:
    """What the configuration puts before sys.path."""
    if TOML_SINCE_1_16:
        return config.get_prepend_sys_paths_list() or ()
    return (config.get_main_option("prepend_sys_path") or "").replace(",", " ").replace(":", " ").split()


def _package_folder(location: str, path: Sequence[str]) -> str | None:
    """The folder of `package.of.theirs:folder`; None when there is no such package."""
    package, *parts = location.split(":")
    search = list(path)
    for name in package.split("."):
        spec = PathFinder.find_spec(name, search)
        if spec is None or not spec.submodule_search_locations:
            return None
        search = list(spec.submodule_search_locations)
    return str(Path(search[0], *parts).absolute())


@contextmanager
def as_the_command_sees_it(folder: Path) -> Iterator[None]:
    """Relative paths of an ini start at the working folder. What it prepends to sys.path does not stay there,
    nor do the modules found there: another configuration's may have the same names."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        with chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how they write their ini is not our reader's matter
            try:
                yield
            finally:
                _forget(set(sys.modules) - modules, path)
    finally:
        sys.path[:] = path


def _forget(modules: set[str], path: Sequence[str]) -> None:
    """Drop the modules that lie below what was added to `path`, not below what was there before."""
    before = {os.path.abspath(entry) for entry in path}
    added = {os.path.abspath(entry) for entry in sys.path} - before
    for name in modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        nearest = max(
            (entry for entry in before | added if file.startswith(entry + os.sep)), key=len, default=""
        )
        if nearest in added:
            del sys.modules[name]


def for_ini(value: str) -> str:
    """configparser reads % as the start of an interpolation."""
    return value.replace("%", "%%")
