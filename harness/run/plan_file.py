"""Finds and reads the plan file: the one that is named, else the working folder's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.plan_file import NO_FILE, PYPROJECT, TABLE, PlanFile, parse_plan_file
from harness.environ import variable
from harness.errors import UsageError

__all__ = ["HARNESS_TOML", "Planned", "find_plan_file", "named_plan_file", "read_plan_file"]

HARNESS_TOML = "harness.toml"


def find_plan_file(named: str | None) -> PlanFile:
    """The plan file called `named`, else the working folder's, else an empty one.

    Raises UsageError for a named file that cannot be read, for one that is wrong, and where two are found.
    """
    if named is not None:
        return read_plan_file(named)
    found = [file for name in (HARNESS_TOML, PYPROJECT) if Path(name).is_file() and (file := _read(name))]
    if len(found) > 1:
        raise UsageError(
            f"Two plan files: {HARNESS_TOML}, and [{TABLE}] of {PYPROJECT}.",
            f"Drop one, or name the one that is meant: --plan {HARNESS_TOML}.",
        )
    return found[0] if found else NO_FILE


@dataclass(frozen=True)
class Planned:
    """What a command that is no run is told as a run is: by its flags, by variables, by the plan file."""

    file: PlanFile

    @classmethod
    def here(cls) -> Planned:
        """By the file that MUL_PLAN names, else the working folder's; raises UsageError."""
        return cls(find_plan_file(variable("MUL_PLAN")))

    def text(self, name: str, flag: str | None) -> str | None:
        """The flag's value, else that of its variable, else the file's; `name` is its option, `upgrade`."""
        if flag is not None:
            return flag
        named = variable("LOCUST_HOST" if name == "host" else f"MUL_{name.upper()}")
        return named or self.file.defaults.get(name) or None

    def texts(self, name: str, flags: Sequence[str]) -> tuple[str, ...]:
        """The file's values and those of a flag that may be repeated."""
        return (*self.file.defaults.get(name, ()), *flags)

    @property
    def database_url(self) -> str | None:
        """MUL_DATABASE_URL, else what the file says; raises UsageError where a variable of it is unset."""
        return self.text("database_url", None) or self.file.database_url(variable)

    @property
    def is_own(self) -> bool:
        """Whether a service, a database or migrations other than the reference service's are meant."""
        named = any(self.text(name, None) for name in ("host", "alembic_config", "migration_command"))
        return named or bool(self.file.entries) or self.database_url is not None


def named_plan_file(argv: Sequence[str]) -> str | None:
    """The file that `--plan` names on the command line, else MUL_PLAN; asked before Locust parses them."""
    named = variable("MUL_PLAN")
    for given, following in zip(argv, [*argv, ""][1:], strict=False):
        flag, equals, value = given.partition("=")
        if flag == "--plan":
            named = value if equals else following
    return named or None


def read_plan_file(path: str) -> PlanFile:
    """The plan file at `path`; raises UsageError when it cannot be read or is wrong."""
    file = _read(path)
    if file is None:
        raise UsageError(f"{path} has no [{TABLE}].", f"Write it there, or name another file than {path}.")
    return file


def _read(path: str) -> PlanFile | None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The plan file {path} cannot be read: {error.strerror}.", "Name one that can, or drop --plan."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"The plan file {path} is not UTF-8 text.", "Save it as UTF-8.") from None
    return parse_plan_file(text, path)
