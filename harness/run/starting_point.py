"""The starting point: the database where the release before left it, at every run the same.

    nothing given                      the database as it stands
    --prepare CMD                      what the command makes of it
    --from-dump FILE                   restored into the empty database, then prepared
    … with --recreate-database         dropped and made anew; what came out is kept as a template, and later
                                       runs copy it (`harness/db/template.py`)

A run holds its lock inside its database. Whoever drops that database takes the lock first and loses it with
the drop; from before that to the end of the run another lock, outside of it, keeps others from doing the
same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg

from harness.clock import Sleep, monotonic
from harness.core.plan import Plan
from harness.core.secrets import mask
from harness.db.dump import dump_digest, read_dump
from harness.db.guard import RunLock, connect
from harness.db.pooling import set_if_direct
from harness.db.restore import Contents, check_versions, read_contents, restore
from harness.db.template import Recreated, check_recreatable, maintenance
from harness.db.url import DatabaseUrl
from harness.errors import SetupError, UsageError
from harness.run.commands import command_words, prepare_database
from harness.run.services import Services
from harness.store import RunDirectory

__all__ = ["StartingPoint", "check_starting_point"]

Say = Callable[[str], None]


def check_starting_point(plan: Plan) -> None:
    """Refuse a dump that is none, a command that cannot be read, a database that may not be dropped. Touches
    nothing.
    """
    if plan.prepare is not None:
        command_words(plan.prepare)
    if plan.from_dump is not None:
        _contents(plan.from_dump, plan)
    if plan.recreate_database and plan.database_url is not None:
        check_recreatable(DatabaseUrl.parse(plan.database_url), plan.allow_database)


class StartingPoint:
    """What is done with the run's own database before the load: `recreate`, then, under the run's lock,
    `fill`; of the two at most one has something to do.
    """

    def __init__(
        self, plan: Plan, services: Services, directory: RunDirectory, say: Say, sleep: Sleep
    ) -> None:
        self._plan = plan
        self._services = services
        self._directory = directory
        self._say = say
        self._sleep = sleep
        self._url = services.database_url and DatabaseUrl.parse(services.database_url)
        self._contents = None if plan.from_dump is None else _contents(plan.from_dump, plan)
        self._digest = self._read_dump()

    def fill(self) -> None:
        """Restore the dump into the empty database, and run the command; raises a HarnessError."""
        if self._plan.recreate_database:
            return
        self._fill()
        if self._contents is not None:
            self._vacuum()

    def recreate(self, undo: ExitStack) -> None:
        """Make the database anew: from the template where that is of the same dump and command.

        Until `undo` is closed nobody else does. Raises a HarnessError; nothing is dropped before its
        successor can be made.
        """
        if not self._plan.recreate_database or not self._url:
            return
        outside, name = maintenance(self._url), self._url.resolved().dbname
        run_id = self._directory.run_id
        undo.callback(RunLock.acquire(outside, run_id, of=name).release)
        with connect(outside, f"mul-run {run_id} re-creating {name}") as connection:
            database = Recreated(name, connection)
            database.check_leads_here(self._url)
            self._check_versions(connection)
            database.check_may()
            database.finish()
            with ExitStack() as held:  # its connection ends with the database that is dropped
                if database.connectable():
                    held.callback(RunLock.acquire(self._url, run_id).release)
                try:
                    if database.made_from() != self._made_from():
                        self._make(self._url, database)
                    self._copy(database)
                except BaseException:
                    self._say_if_gone(database)
                    raise

    def _read_dump(self) -> str:
        """The digest of the dump; SQL is read in any case, for what it may not hold."""
        if self._contents is None or (self._contents.dump.archive and not self._plan.recreate_database):
            return "none"
        self._say(f"reading {self._contents.dump.path.name}")
        return dump_digest(self._contents.dump)

    def _make(self, url: DatabaseUrl, database: Recreated) -> None:
        why = "there is no template yet" if database.made_from() is None else "the dump or --prepare changed"
        self._say(f"making {database.name} anew: {why}")
        database.empty()
        with RunLock.acquire(url, self._directory.run_id):
            self._fill()
            self._vacuum()
            database.keep(self._made_from(), self._sleep)

    def _copy(self, database: Recreated) -> None:
        self._say(f"copying {database.name} from {database.template} ({database.size() / 2**20:,.1f} MB)")
        began = monotonic()
        database.copy()
        self._say(f"{database.name} is at its starting point after {monotonic() - began:.1f} s")

    def _say_if_gone(self, database: Recreated) -> None:
        with suppress(psycopg.Error):  # of a connection that is lost: then why is said by what is raised
            if words := database.gone():
                self._say(words)

    def _made_from(self) -> str:
        """What the template is made from, by digests: a dump's content, a command's words and files."""
        command = "none" if self._plan.prepare is None else _command_digest(self._plan.prepare)
        return f"dump {self._digest}, prepare {command}"

    def _fill(self) -> None:
        if self._contents is not None and self._url:
            with connect(self._url, f"mul-run {self._directory.run_id} restore") as connection:
                self._check_versions(connection)
                _check_empty(connection)
                log = self._directory.log("restore")
                restore(self._contents, self._url, connection, log, self._say, self._sleep)
        self._prepare()

    def _prepare(self) -> None:
        if self._plan.prepare is None:
            return
        self._say(f"preparing: {mask(self._plan.prepare)}")
        url = self._services.database_url
        environment = {**self._services.environment, **({"MUL_DATABASE_URL": url} if url else {})}
        prepare_database(self._plan.prepare, environment, self._directory.log("prepare"))

    def _vacuum(self) -> None:
        """Else the planner knows nothing of the tables, and autovacuum does this during the baseline."""
        if self._url:
            self._say("vacuuming and analyzing")
            with connect(self._url, f"mul-run {self._directory.run_id} vacuum") as connection:
                set_if_direct(connection, statement_timeout=0)
                try:
                    connection.execute("VACUUM (ANALYZE)")
                except psycopg.Error as error:
                    reason = error.diag.message_primary or type(error).__name__
                    raise SetupError(f"{self._url.masked} could not be vacuumed: {reason}.") from None

    def _check_versions(self, connection: psycopg.Connection) -> None:
        if self._contents is not None:
            check_versions(self._contents.dump, connection.info.server_version)


def _contents(dump: str, plan: Plan) -> Contents:
    return read_contents(read_dump(Path(dump)), Path(plan.postgres_bin) if plan.postgres_bin else None)


def _command_digest(command: str) -> str:
    """Of the command's words, and of the content of those that are files: a changed script makes another."""
    digest = hashlib.sha256()
    for word in command_words(command):
        digest.update(word.encode() + b"\0")
        if Path(word).is_file():
            digest.update(Path(word).read_bytes())
    return digest.hexdigest()


def _check_empty(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
    ).fetchone()
    if found is None or found[0]:
        name = connection.info.dbname
        raise UsageError(
            f"--from-dump: the database {name} is not empty, it has {found[0] if found else 'some'} tables.",
            f"To have it dropped and made anew, add --recreate-database --allow-database {name}.",
        )
