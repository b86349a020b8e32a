"""The reading half of a migration: where the database is, where the scripts lead, what lies between.

`DatabaseMigrator` never migrates and never runs an env.py, nor a revision whose names are plain literals;
`harness.db.migration` does, in another process.
"""

from __future__ import annotations

import configparser
import json
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import alembic
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import ResolutionError, RevisionError
from alembic.util import CommandError, to_tuple

from harness.core.counted import counted
from harness.core.trace import Trace, VersionTable
from harness.db.alembic_config import as_the_command_sees_it, find_scripts, for_ini, read_config
from harness.db.revision_file import revisions_unrun
from harness.db.url import DatabaseUrl
from harness.db.version_table import read_versions
from harness.errors import HarnessError, UsageError

__all__ = ["RELATIVE", "DatabaseMigrator", "Direction", "Environment", "MigrationStatus", "PendingRevision"]

Environment = Literal["test", "staging", "production"]
Direction = Literal["upgrade", "downgrade"]

RELATIVE = re.compile(r"(?:.*[@\w])?[+-]\d+")
"""A target that counts steps: `+1`, `-1`, `branch@+2`."""


@dataclass(frozen=True)
class PendingRevision:
    """A revision that would run, with the first line of its docstring."""

    revision: str
    doc: str


@dataclass(frozen=True)
class MigrationStatus:
    """What `DatabaseMigrator.status` found; unknown is None, and `error` then says why."""

    database: str
    target: str
    current: tuple[str, ...] | None
    heads: tuple[str, ...] | None
    pending: tuple[PendingRevision, ...] | None
    error: str | None

    @property
    def needs_migration(self) -> bool | None:
        return None if self.pending is None else bool(self.pending)

    def text(self) -> str:
        """A few lines for people."""
        lines = [
            f"database  {self.database}",
            f"current   {_listed(self.current, 'base')}",
            f"heads     {_listed(self.heads, 'none')}",
            f"target    {self.target}: {self._outcome()}",
        ]
        lines += [f"          {found.revision}  {found.doc}" for found in self.pending or ()]
        return "\n".join(lines)

    def _outcome(self) -> str:
        if self.error is not None:
            return self.error
        count = len(self.pending or ())
        return f"{counted(count, 'revision')} to run" if count else "nothing to run"

    def as_json(self) -> str:
        """The same as one JSON object with sorted keys."""
        return json.dumps({**asdict(self), "needs_migration": self.needs_migration}, sort_keys=True)


class DatabaseMigrator:
    """Reads the version table of `database_url` and the scripts of an ini file or a script folder.

    Without a `database_url` only the scripts can be asked. Give `alembic_config` (ini or pyproject.toml),
    or `script_location` where there is none; with neither, `alembic.ini` in the working folder is used.
    `version_table` and `version_table_schema` are those env.py passes to `context.configure`; `learn` takes
    them, and those of further schemas and databases, from what a tracer saw.

    `environment` decides what a problem does:
        test        every method raises
        staging     `status()` reports it in `error`, the other methods raise
        production  likewise, and `needs_migration()` answers None, which is neither yes nor no

    Raised are UsageError (a file, a script or a revision is wrong) and SetupError (the database does not
    answer).
    """

    def __init__(
        self,
        database_url: str | DatabaseUrl | None,
        *,
        alembic_config: str | Path | None = None,
        script_location: str | Path | None = None,
        environment: Environment = "test",
        version_table: str = "alembic_version",
        version_table_schema: str | None = None,
    ) -> None:
        if environment not in ("test", "staging", "production"):
            raise UsageError(f"There is no environment {environment!r}.", "Use test, staging or production.")
        self._given = DatabaseUrl.parse(database_url) if isinstance(database_url, str) else database_url
        self._ini = Path(alembic_config or "alembic.ini").absolute()
        self._location = None if script_location is None else Path(script_location).absolute()
        self._has_ini = alembic_config is not None or script_location is None
        self._environment = environment
        self._tables: tuple[VersionTable, ...] = (VersionTable(version_table, version_table_schema),)

    def __repr__(self) -> str:
        return f"DatabaseMigrator({str(self._given)!r}, environment={self._environment!r})"

    @property
    def _url(self) -> DatabaseUrl:
        if self._given is None:
            raise UsageError("No database is given to read the revision from.", "Set MUL_DATABASE_URL.")
        return self._given

    def config(self) -> Config:
        """The Alembic configuration; one made from `script_location` carries the URL, as `sqlalchemy.url`."""
        config = read_config(self._ini) if self._has_ini else Config()
        if self._location is not None:
            config.set_main_option("script_location", for_ini(str(self._location)))
        if not self._has_ini:
            config.set_main_option("sqlalchemy.url", for_ini(self._given.sqlalchemy() if self._given else ""))
        return config

    def learn(self, tables: Iterable[VersionTable]) -> None:
        """From now on read these version tables, and no other; none changes nothing."""
        self._tables = tuple(dict.fromkeys(tables)) or self._tables

    def current(self) -> tuple[str, ...]:
        """The revisions in the version tables, sorted; () when there is none. Raises SetupError when one
        cannot be read."""
        return tuple(sorted({revision for held in self.currents() for revision in held}))

    def currents(self) -> tuple[tuple[str, ...], ...]:
        """The revisions in each version table: more than one where env.py goes through several schemas or
        databases. Raises SetupError."""
        return tuple(held or () for held in self.tables())

    def tables(self, trace: Trace | None = None) -> tuple[tuple[str, ...] | None, ...]:
        """Likewise, None where no such table was found and env.py may keep it elsewhere.

        A `trace` of a migration tells where they are; one in which Alembic never got to its steps says that
        nothing was changed, wherever env.py keeps its table.
        """
        self.learn(context.table for context in (trace.contexts if trace else ()))
        if trace is not None and trace.complete and not trace.contexts:
            return self.currents()
        return tuple(read_versions(self._url, table) for table in self._tables)

    def heads(self) -> tuple[str, ...]:
        """The heads of the scripts, sorted."""
        return tuple(sorted(self._script.get_heads()))

    def targets(self) -> tuple[str, ...]:
        """What an upgrade can be sent to by name: each branch's head, then every revision, newest first."""
        revisions = list(self._script.walk_revisions())
        labels = sorted({label for found in revisions for label in found.branch_labels})
        heads = ("head",) if len(self.heads()) == 1 else ()
        return (*heads, *(f"{label}@head" for label in labels), *(found.revision for found in revisions))

    def resolve(self, target: str, direction: Direction = "upgrade") -> tuple[str, ...]:
        """The revisions a target names: `head`, `heads`, `branch@head`, a label, the start of an id, `+1`,
        `-1`, `base` (which is no revision: ()). A relative target counts from where the database is."""
        if target == "head" and len(self._script.get_heads()) > 1:
            heads = self.heads()
            raise UsageError(
                f"There are {len(heads)} heads, so `head` could be any of them: {self._described(heads)}.",
                f"Name one ({self._example()}), or `heads` for all.",
            )
        with self._explained(target):
            if RELATIVE.fullmatch(target):
                return self._resolve_relative(target, direction)
            return tuple(sorted(found.revision for found in self._script.get_revisions(target)))

    def path(self, target: str = "head", direction: Direction = "upgrade") -> tuple[str, ...]:
        """The revisions that would run, in order."""
        return tuple(found.revision for found in self._path(target, direction))

    def files(
        self, target: str = "head", direction: Direction = "upgrade", start: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """The script files of the revisions that would run, in order; of a downgrade, of those undone.

        `start` are the revisions to count from; where the database is unless given.
        """
        return tuple(Path(found.path) for found in self._path(target, direction, start))

    def after(self, target: str) -> tuple[str, ...]:
        """The revisions at which an upgrade to `target` would leave the database, sorted."""
        steps = self._path(target, "upgrade")
        passed = {down for step in steps for down in to_tuple(step.down_revision, default=())}
        return tuple(sorted({*self.current(), *(step.revision for step in steps)} - passed))

    def needs_migration(self, target: str = "head") -> bool | None:
        """Whether an upgrade to `target` would run anything; None only in `production`, when it cannot be
        told."""
        try:
            return bool(self._path(target, "upgrade"))
        except HarnessError:
            if self._environment == "production":
                return None
            raise

    def status(self, target: str = "head", direction: Direction = "upgrade") -> MigrationStatus:
        """Everything at once, as far as it can be known."""
        current = heads = pending = error = None
        try:
            heads = self.heads()
            current = self.current()
            pending = tuple(
                PendingRevision(found.revision, found.doc) for found in self._path(target, direction)
            )
        except HarnessError as problem:
            if self._environment == "test":
                raise
            error = str(problem)
        return MigrationStatus(self._url.masked, target, current, heads, pending, error)

    # the scripts

    @cached_property
    def _script(self) -> ScriptDirectory:
        config = self.config()
        source = str(self._ini) if self._has_ini else str(self._location)
        with as_the_command_sees_it(self._ini.parent if self._has_ini else Path.cwd()):
            try:
                find_scripts(config, self._ini.parent)
                script = ScriptDirectory.from_config(config)
                with revisions_unrun():
                    script.get_heads()  # reads every script, here, where their folder is in sight
            except Exception as error:
                raise self._broken(source, error) from error
        return script

    def _broken(self, source: str, error: Exception) -> UsageError:
        text = _first_line(error)
        if isinstance(error, configparser.Error):
            return UsageError(f"{source} is not a valid ini file: {text}.", "Correct it.")
        if isinstance(error, CommandError) and text.startswith("No 'script_location'"):
            return UsageError(
                f"{source} does not say where the migration scripts are.",
                "Add to its [alembic] section: script_location = %(here)s/migrations",
            )
        if isinstance(error, CommandError) and text.startswith("Path doesn't exist"):
            folder = text.partition(": ")[2].partition(".  Please")[0].strip("'")
            return UsageError(
                f"The folder of migration scripts that {source} names does not exist: {folder}.",
                "Correct script_location; a relative one starts at the folder of the ini.",
            )
        if isinstance(error, CommandError):
            return UsageError(f"Alembic cannot use {source}: {text}.", "Correct the script named here.")
        if isinstance(error, RevisionError | KeyError):
            return UsageError(
                f"The migration scripts of {source} do not fit together: {text}.",
                "Look at the down_revision of the script named here.",
            )
        return UsageError(
            f"{_place(error) or source} cannot be read: {type(error).__name__}: {text}.",
            "Run `alembic history` there to see the whole error.",
        )

    @contextmanager
    def _explained(self, target: str) -> Iterator[None]:
        try:
            yield
        except (CommandError, RevisionError) as error:
            cause = error if isinstance(error, ResolutionError) else error.__cause__
            if isinstance(cause, ResolutionError) and "multiple" not in str(cause).lower():
                raise self._unknown(target, cause.argument) from None
            raise UsageError(
                f"{target!r} cannot be reached: {_first_line(error)}.", self._known_heads()
            ) from None

    def _unknown(self, target: str, argument: str) -> UsageError:
        names = {
            name for found in self._script.walk_revisions() for name in (found.revision, *found.branch_labels)
        }
        wanted = target if argument in target else argument
        near = get_close_matches(str(wanted).partition("@")[0], sorted(names), n=3, cutoff=0.4)
        hint = f"Near it: {', '.join(near)}. " if near else ""
        where = f"scripts in {self._script.dir}"
        if argument != target and argument in self._current_or_nothing():
            return UsageError(
                f"The database is at revision {argument!r}, which is not among the {where}.",
                "The scripts belong to another release, or to another database.",
            )
        return UsageError(f"Revision {target!r} is not among the {where}.", hint + self._known_heads())

    def _current_or_nothing(self) -> tuple[str, ...]:
        """`current()`, () when the database does not answer: for messages about something else."""
        try:
            return self.current()
        except HarnessError:
            return ()

    def _known_heads(self) -> str:
        return f"Heads are {self._described(self.heads())}."

    def _described(self, revisions: Sequence[str]) -> str:
        labels = {found: sorted(self._script.get_revision(found).branch_labels) for found in revisions}
        return ", ".join(
            f"{found} ({', '.join(labels[found])})" if labels[found] else found for found in revisions
        )

    def _example(self) -> str:
        labels = sorted(
            label for head in self.heads() for label in self._script.get_revision(head).branch_labels
        )
        return f"{labels[0]}@head" if labels else self.heads()[0]

    def _resolve_relative(self, target: str, direction: Direction) -> tuple[str, ...]:
        # The public methods resolve `+1` only from a script, not from where the database is.
        revisions, current = self._script.revision_map, self.current()
        found: Sequence[Any]
        if direction == "upgrade":
            found = revisions._parse_upgrade_target(current, target, assert_relative_length=True)
        else:
            found = [revisions._parse_downgrade_target(current, target, assert_relative_length=True)[1]]
        return tuple(
            sorted(one if isinstance(one, str) else one.revision for one in found if one and one != "base")
        )

    def _path(self, target: str, direction: Direction, start: Sequence[str] | None = None) -> list[Script]:
        if start is None:
            self.resolve(target, direction)
        starts = set(self.currents()) if start is None else {tuple(start)}
        paths = [self._path_from(found, target, direction) for found in starts]
        # What one schema has behind it another may have before it.
        longest_first = sorted(paths, key=len, reverse=True)
        return list({step.revision: step for path in longest_first for step in path}.values())

    def _path_from(self, current: tuple[str, ...], target: str, direction: Direction) -> list[Script]:
        with self._explained(target):
            if direction == "upgrade":
                steps = self._script._upgrade_revs(target, current)  # type: ignore[arg-type]
            else:
                steps = self._script._downgrade_revs(target, current)  # type: ignore[arg-type]
        return [step.revision for step in steps]


def _place(error: Exception) -> str | None:
    """File and line of the script an error comes from."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno},"
    ours = (__file__, str(Path(alembic.__file__).parent), "<")
    own = [
        found for found in traceback.extract_tb(error.__traceback__) if not found.filename.startswith(ours)
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}," if own else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _listed(revisions: tuple[str, ...] | None, nothing: str) -> str:
    return "unknown" if revisions is None else ", ".join(revisions) or nothing
