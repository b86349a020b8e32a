"""`harness trace`: one upgrade traced on its own, without service or load, for the person who writes it.

It is recorded as a run is, into a run directory that is gone afterwards, and read back from there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.clock import Sleep, monotonic, utc_now, wait_until
from harness.core.details_migration import migration_json
from harness.core.events import Event, Kind
from harness.core.facts import migrations_in
from harness.core.migrations import Migration
from harness.core.plan import Plan
from harness.core.reached import elsewhere
from harness.core.review import advice_on
from harness.core.trace_fold import build
from harness.db.catalog import read_schema
from harness.db.guard import Identity, RunLock, check_database
from harness.db.migration import (
    MigrationChild,
    MigrationOrder,
    expectation,
    read_relfilenodes,
    terminate_backends,
)
from harness.db.migrator import RELATIVE, DatabaseMigrator
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.parsing import parse
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, NothingToMigrate, SetupError
from harness.run.commands import prepare_database, run_command
from harness.run.databases import check_started, find_database, lock_further
from harness.run.ignoring import check_ignored, ignored_by
from harness.run.migration_episode import MigrationEpisode
from harness.run.preflight import preflight
from harness.run.preparation import check_server_version
from harness.run.services import REFERENCE_ALEMBIC, end_of_log
from harness.run.steps import alembic_config
from harness.store import RunDirectory
from harness.stored_record import read_record

__all__ = ["REFERENCE_UPGRADE", "TracedMigration", "trace_migration"]

Say = Callable[[str], None]
Json = dict[str, Any]

REFERENCE_UPGRADE = "safe@head"
"""Where the reference service is upgraded to by default."""

DATABASE = "traced"
BASE = "v1"
"""The reference service's first revision, where its seed begins."""

REFERENCE_ROWS = 1_000
STEP_S = 0.02
OBSERVED_WITHIN_S = 5.0


@dataclass(frozen=True)
class TracedMigration:
    """What came of it: `migration` as in `verdict.json`, the code to exit with, and what there is to say.

    `migration` has one key more, `findings`: the advice on it, as in `verdict.json`.
    """

    migration: Json
    exit_code: int
    problem: str = ""


@dataclass(frozen=True)
class _Database:
    """Where the migration goes; `environment` is what its process needs besides its own to get there."""

    text: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> DatabaseUrl:
        return DatabaseUrl.parse(self.text)


def trace_migration(plan: Plan, say: Say, sleep: Sleep = time.sleep) -> TracedMigration:
    """Upgrade the plan's database, or an embedded one, to `plan.upgrade`, and return what its tracer saw.

    Of the plan it takes what concerns database and migration. Raises a HarnessError when it cannot begin;
    whatever was started is stopped again, however it ends.
    """
    config = alembic_config(plan.steps[0])
    reference = config.resolve() == REFERENCE_ALEMBIC.resolve()
    if not RELATIVE.fullmatch(plan.upgrade):  # +1 counts from where the database is
        DatabaseMigrator(None, alembic_config=config).resolve(plan.upgrade)
    with ExitStack() as undo:
        root = undo.enter_context(tempfile.TemporaryDirectory(prefix="mul-trace-"))
        directory = RunDirectory.create(replace(plan, run_root=root), utc_now())
        undo.callback(directory.close)
        database = _given(plan, reference) if plan.database_url else _embedded(plan, undo)
        undo.enter_context(RunLock.acquire(database.url, directory.run_id))
        if reference and not plan.database_url and plan.upgrade != BASE:
            _seed(database, directory.log("seed"))
        if plan.prepare is not None:
            prepare_database(plan.prepare, database.environment, directory.log("prepare"))
        found = find_database(plan, "", database.text, directory.run_id)  # the command may have made it anew
        check_server_version(found.identity)
        allowed = (found.identity, *found.further)
        undo.enter_context(lock_further([(database.text, allowed)], directory.run_id))
        migrator = DatabaseMigrator(database.url, alembic_config=config)
        tracing = _Tracing(plan, directory, database, migrator, allowed, sleep)
        if not reference:
            tracing.look_ahead()
        _check_there_is_work(plan, migrator)
        check_ignored(migrator.files(plan.upgrade))
        say(f"tracing the upgrade to {plan.upgrade} on {database.url.masked}")
        tracing.run()
        return _outcome(plan, directory, database)


def _given(plan: Plan, reference: bool) -> _Database:
    """The person's own database, if it may be touched."""
    text = plan.database_url or ""
    check_database(
        DatabaseUrl.parse(text),
        started_by_us=False,
        allow_hosts=plan.allow_host,
        allow_databases=plan.allow_database,
        allow_production=plan.allow_production,
    )
    return _Database(text, _environment(text, reference))


def _embedded(plan: Plan, undo: ExitStack) -> _Database:
    """A database on a server that ends with the trace."""
    server = EmbeddedServer.start(postgres_bin=Path(plan.postgres_bin) if plan.postgres_bin else None)
    undo.callback(server.stop)
    text = server.create_database(DATABASE)
    check_started(text)
    return _Database(text, _environment(text, reference=True))


def _environment(url: str, reference: bool) -> dict[str, str]:
    return {"MUL_DATABASE_URL": url} | ({"MUL_TARGET_DATABASE_URL": url} if reference else {})


def _seed(database: _Database, log: Path) -> None:
    """The reference service's schema of release N with few rows."""
    command = [sys.executable, "-P", "-m", "harness.target", "seed", "--rows", str(REFERENCE_ROWS)]
    if run_command(command, database.environment, log) != 0:
        raise SetupError(f"The reference service's database could not be filled.\n{end_of_log(log)}")


def _check_there_is_work(plan: Plan, migrator: DatabaseMigrator) -> None:
    if not migrator.needs_migration(plan.upgrade):
        where = ", ".join(migrator.current()) or "base"
        raise NothingToMigrate(
            f"The database already is at {where}: upgrade {plan.upgrade} has nothing to do.",
            "Restore a database of the release before, or stamp it, with --prepare CMD.",
        )


class _Tracing:
    """The migration's process and its observer, from their start until both have ended."""

    def __init__(
        self,
        plan: Plan,
        directory: RunDirectory,
        database: _Database,
        migrator: DatabaseMigrator,
        allowed: tuple[Identity, ...],
        sleep: Sleep,
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._database = database
        self._migrator = migrator
        self._allowed = allowed
        self._sleep = sleep
        self._zero = monotonic()
        self._order = MigrationOrder(
            "upgrade",
            plan.upgrade,
            alembic_config(plan.steps[0]),
            run_id=directory.run_id,
            trace_file=directory.path / "logs" / "migration.trace",
            log_file=directory.log("migration"),
            environment=database.environment,
            expect_database=expectation(*allowed),
        )
        watch = Order(directory.path, database.text, self._zero, None, {}, self._order.application_name)
        self._observer = ObserverChild(watch, directory.log("observer"))

    def look_ahead(self) -> None:
        """Run the environment once, before anything is migrated."""
        logs = self._directory.path / "logs"
        order = replace(
            self._order, trace_file=logs / "preflight.trace", log_file=self._directory.log("preflight")
        )
        url, allowed = self._database.url, self._allowed
        preflight(order, self._migrator, self._plan.upgrade, url, self._sleep, allowed=allowed)

    def run(self) -> None:
        """Until the migration has ended; an interruption ends it."""
        self._note(Kind.RUN_START, 0.0, run_id=self._directory.run_id, monotonic=self._zero)
        episode = self._episode()
        try:
            self._observe()
            episode.begin()
            while not episode.ended:
                self._sleep(STEP_S)
                episode.step()
        finally:
            episode.abort()
            self._observer.stop(self._sleep)

    def _observe(self) -> None:
        """Statements outside a transaction are seen by the observer alone, so it must be there first."""
        self._observer.start()
        begun = self._directory.path / "observer.json"
        wait_until(lambda: begun.exists() or bool(self._observer.died), OBSERVED_WITHIN_S, self._sleep)

    def _note(self, kind: str, at: float | None = None, **data: Any) -> float:
        at = monotonic() - self._zero if at is None else at
        self._directory.append_event(Event(at, kind, data))
        return at

    def _episode(self) -> MigrationEpisode:
        url, plan, own = self._database.url, self._plan, self._allowed[0]
        names = [identity.database for identity in self._allowed]
        return MigrationEpisode(
            1,
            "upgrade",
            plan.upgrade,
            child=lambda _: MigrationChild(self._order),
            terminate=lambda pids: terminate_backends(url, pids, names),
            revisions=self._migrator.current,
            tables=lambda records: self._migrator.tables(build(records)),
            elsewhere=lambda records: elsewhere(build(records), own.database),
            known_as={"database_oid": own.database_oid},
            resolve=lambda: self._migrator.resolve(plan.upgrade),
            ignored=lambda: ignored_by(self._migrator.files(plan.upgrade)),
            relfilenodes=lambda: read_relfilenodes(url),
            read_schema=self._read_schema,
            observe=self._observer.migrating,
            note=self._note,
            announce=lambda *_, **__: None,
            zero=self._zero,
            sleep=self._sleep,
            retries=0,
            deadline_s=plan.migration_deadline_s,
        )

    def _read_schema(self, when: str) -> None:
        if when == "before":  # how large tables were, by which advice is a finding or a note
            state = read_schema(self._database.url, monotonic() - self._zero)
            self._directory.write_json("catalog_before.json", asdict(state))


def _outcome(plan: Plan, directory: RunDirectory, database: _Database) -> TracedMigration:
    """What the directory says of the migration.

    Raises GuardError when env.py went elsewhere: then nothing was migrated, or traced.
    """
    record = read_record(directory.path)
    [migration] = migrations_in(record)
    if migration.status == "wrong_database":
        raise GuardError(
            f"The migration went to another database than {database.url.masked} and was stopped.",
            "Have env.py read MUL_DATABASE_URL, or set that variable to the database it goes to.",
        )
    advice = advice_on(migration, parse, record.schema_before, plan.ignored)
    found = {**(migration_json(migration, advice) or {}), "findings": [asdict(one) for one in advice]}
    return TracedMigration(found, *_judged(migration, plan, directory.log("migration")))


def _judged(migration: Migration, plan: Plan, log: Path) -> tuple[int, str]:
    """The exit code, and what there is to say besides the trace."""
    if migration.status != "ok":
        return 1, f"{migration.message}\n{end_of_log(log)}".strip()
    if migration.reached is False:
        return 1, migration.message or f"The database is not at {plan.upgrade} afterwards."
    if not migration.traced:
        return 4, f"Not every statement was seen: {migration.why_untraced}"
    return 0, ""
