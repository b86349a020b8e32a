"""A plan file: `harness.toml`, or `[tool.migrate-under-load]` of a `pyproject.toml`.

Its text becomes defaults of the flags, so that flags and environment variables override it, or, where they
may be repeated, add to its lists; and the several migrations that no flag can list.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from harness.core import plan_keys as keys
from harness.core.durations import parse_duration
from harness.core.migration_plan import MigrationPlan
from harness.core.plan_keys import IGNORE, IGNORING, KEYS, MIGRATION, SECTIONS, Key
from harness.core.secrets import is_secret, mask
from harness.errors import HarnessError, UsageError

__all__ = ["NO_FILE", "PYPROJECT", "TABLE", "PlanFile", "parse_plan_file"]

PYPROJECT = "pyproject.toml"
TABLE = "tool.migrate-under-load"
"""The table of a `pyproject.toml` that is a plan file."""

Variable = Callable[[str], str | None]
"""Reads an environment variable; None when it is unset."""

Error = TypeVar("Error", bound=HarnessError)

_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@'\"]*:[^\s'\"]*@", re.IGNORECASE)

_FIELDS = {"env": "environment", "deadline": "deadline_s"}
"""Fields of MigrationPlan that are not called as their key."""


@dataclass(frozen=True)
class PlanFile:
    """A checked plan file. `path` is as the person named it; `defaults` are values of Locust's options."""

    path: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, repr=False)
    locustfile: str | None = None
    database_url_variable: str | None = None
    entries: tuple[tuple[MigrationPlan, str | None], ...] = field(default=(), repr=False)
    """The `[[migration]]`s, each with the variable that holds its database's URL."""

    def database_url(self, variable: Variable) -> str | None:
        """The run's database if the file names a variable for it; raises UsageError if that is unset."""
        name = self.database_url_variable
        return self._url_in(name, "[service]", variable) if name else None

    def migrations(self, variable: Variable) -> tuple[MigrationPlan, ...]:
        """The `[[migration]]`s, with the URLs of their databases; raises UsageError for an unset variable."""
        return tuple(
            replace(one, database_url=self._url_in(name, f"[[migration]] {one.name}", variable))
            if name
            else one
            for one, name in self.entries
        )

    def _url_in(self, name: str, where: str, variable: Variable) -> str:
        url = variable(name)
        if url is None:
            raise UsageError(
                f"{self.path}: {where} database-url-variable names {name}, which is not set.",
                f"Set it, for instance: export {name}=postgresql://user:password@127.0.0.1/shop",
            )
        return url

    def in_its_words(self, error: Error, options: Mapping[str, Any]) -> Error:
        """`error` with the flags whose values the file gave called by the file's keys.

        `options` are the values that were in force.
        """
        message, remedy = error.message, error.remedy
        for key in (*KEYS, IGNORING):
            if key.flag and self._decides(key, options):
                flag = re.compile(rf"(?<![\w-]){key.flag}(?![\w-])")
                message, remedy = (flag.sub(str(key), text) for text in (message, remedy))
        if message == error.message:
            return error
        return type(error)(f"{self.path}: {message}", remedy)

    def _decides(self, key: Key, options: Mapping[str, Any]) -> bool:
        """Whether the file gave the value in force; of several migrations it gives all."""
        given = self.defaults.get(key.dest)
        listed = bool(self.entries) and key.section == MIGRATION
        return listed or (given is not None and options.get(key.dest) == given)


NO_FILE = PlanFile()


def parse_plan_file(text: str, path: str) -> PlanFile | None:
    """The plan file whose `text` stands at `path`; None for a `pyproject.toml` without our table.

    Raises UsageError, naming the file and the key, for what is unknown, of a wrong type or secret.
    """
    try:
        table: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = f"at line {max(1, len(text.splitlines()))}, the last"
        what = str(error).replace("at end of document", end)
        raise UsageError(f"{path} is not valid TOML: {what}.", "Mend that line.") from None
    if posixpath.basename(path) == PYPROJECT:
        tools = table.get("tool")
        if not isinstance(tools, dict) or "migrate-under-load" not in tools:
            return None
        table = tools["migrate-under-load"]
    return _Reading(path).plan_file(table)


class _Reading:
    """Reads the tables of one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder = posixpath.dirname(path)

    def plan_file(self, table: Any) -> PlanFile:
        if not isinstance(table, dict):
            raise self._wrong(f"{TABLE} is not a table.", f"Write [{TABLE}.load] and keys below it.")
        defaults: dict[str, Any] = {}
        others: dict[Key, Any] = {}
        entries: tuple[tuple[MigrationPlan, str | None], ...] = ()
        for section, content in table.items():
            self._check_section(section, content)
            if section == MIGRATION and isinstance(content, list):
                entries = tuple(map(self._entry, content))
            elif section == IGNORE:
                defaults[IGNORING.dest] = [self._ignored(rule, reason) for rule, reason in content.items()]
            else:
                for key, value in self._values(section, content):
                    if key.flag:
                        defaults[key.dest] = _default(key, value)
                    else:
                        others[key] = value
        named = {str(key): value for key, value in others.items()}
        return PlanFile(
            self._path,
            defaults,
            named.get("[load] locustfile"),
            named.get("[service] database-url-variable"),
            entries,
        )

    def _values(
        self, section: str, content: Mapping[str, Any], listed: bool = False
    ) -> Iterator[tuple[Key, Any]]:
        known = {key.name: key for key in KEYS if key.section == section}
        for name, value in content.items():
            if name not in known:
                raise self._unknown(section, name, list(known))
            key = known[name]
            if section == MIGRATION and key.flag is None and not listed:
                raise self._wrong(
                    f"{key} is for several migrations.",
                    "Write [[migration]] instead of [migration], or drop it.",
                )
            yield key, self._value(key, value)

    def _value(self, key: Key, value: Any) -> Any:
        if not key.kind.fits(value):
            raise self._wrong(f"{key} is {_shown(value)}.", f"It takes {key.kind.expected}.")
        if key.kind is keys.VARIABLES:
            self._refuse_secret_variables(key, value)
        for text in _texts(value):
            if is_secret(text) if key.kind in (keys.COMMAND, keys.URL) else _URL_PASSWORD.search(text):
                raise self._wrong(
                    f"{key} holds a password, and a plan file is kept and read by many.",
                    "Give a database's URL as MUL_DATABASE_URL, any other secret in an environment variable"
                    " of your own: commands inherit it.",
                )
        if key.kind is keys.DURATION:
            parse_duration(value, f"{self._path}: {key}")
        return posixpath.normpath(posixpath.join(self._folder, value)) if key.kind is keys.PATH else value

    def _refuse_secret_variables(self, key: Key, value: Mapping[str, str]) -> None:
        for name, text in value.items():
            if is_secret(f"{name}={text}"):
                raise self._wrong(
                    f"{key} sets {name}, by its name a secret, and a plan file is kept and read by many.",
                    f"Drop it here and export {name}: the migration inherits it.",
                )

    def _entry(self, content: Mapping[str, Any]) -> tuple[MigrationPlan, str | None]:
        fields: dict[str, Any] = {}
        variable: str | None = None
        for key, value in self._values(MIGRATION, content, listed=True):
            if key.name == "database-url-variable":
                variable = value
                continue
            if key.kind is keys.VARIABLES:
                value = tuple(value.items())
            elif key.kind is keys.DURATION:
                value = parse_duration(value)
            fields[_FIELDS.get(key.name, key.name.replace("-", "_"))] = value
        return MigrationPlan(**fields), variable

    def _ignored(self, rule: str, reason: Any) -> str:
        if not IGNORING.kind.fits(reason):
            raise self._wrong(
                f"[{IGNORE}] {rule} is {_shown(reason)}.", f"It takes {IGNORING.kind.expected}."
            )
        return f"{rule}: {reason}"

    def _check_section(self, section: str, content: Any) -> None:
        if section not in SECTIONS:
            homes = sorted(str(key) for key in KEYS if key.name == section)
            if homes and not isinstance(content, dict):
                raise self._wrong(f"{section} stands in no section.", f"Write it as {' or '.join(homes)}.")
            near = get_close_matches(section, SECTIONS, n=1, cutoff=0.4)
            did = f"Did you mean [{near[0]}]? " if near else ""
            raise self._wrong(f"there is no section [{section}].", f"{did}Known: {', '.join(SECTIONS)}.")
        lists = (
            section == MIGRATION and isinstance(content, list) and all(isinstance(c, dict) for c in content)
        )
        if not isinstance(content, dict) and not lists:
            raise self._wrong(
                f"{section} is {_shown(content)}.", f"It is a section: write [{section}] and keys below it."
            )

    def _unknown(self, section: str, name: str, known: list[str]) -> UsageError:
        homes = [str(key) for key in KEYS if key.name == name]
        near = get_close_matches(name, known, n=1, cutoff=0.4)
        if homes:
            remedy = f"Write it as {' or '.join(homes)}."
        elif near:
            remedy = f"Did you mean {near[0]}? Known there: {', '.join(known)}."
        else:
            remedy = f"Known there: {', '.join(known)}."
        return self._wrong(f"[{section}] has no key {name}.", remedy)

    def _wrong(self, what: str, remedy: str) -> UsageError:
        return UsageError(f"{self._path}: {what}", remedy)


def _default(key: Key, value: Any) -> Any:
    """The value as the flag's option holds it."""
    if key.kind is keys.VARIABLES:
        return [f"{name}={text}" for name, text in value.items()]
    return float(value) if key.kind is keys.NUMBER else value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _shown(value: Any) -> str:
    """A value of a wrong type as TOML writes it, as far as one line allows; no secret of it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return mask(repr(value))
