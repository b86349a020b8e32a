"""Any Alembic environment, traced as it is: each shape in `tests/migrations`, in a process of its own.

What is said of a migration is compared with the server's own log.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from harness.clock import wait_until
from harness.core.trace import Trace
from harness.core.trace_fold import build
from harness.db.guard import connect, identify, identify_further
from harness.db.migration import WRONG_DATABASE, MigrationChild, MigrationOrder, expectation
from harness.db.migrator import DatabaseMigrator
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl

pytestmark = [pytest.mark.integration, pytest.mark.migration]

MIGRATIONS = Path(__file__).parents[1] / "migrations"
NOTES = (MIGRATIONS / "notes.sql").read_text()

ANY = ("psycopg2", "asyncpg")
OTHERS = ("psycopg", "psycopg-async")
ACCOUNTS = ("anna", "bert")


@dataclass(frozen=True)
class Shape:
    """A folder of `tests/migrations` and what is to be seen there.

    `command` takes the place of Alembic's own. `schemas` are those with a table `notes`, `contexts` how often
    env.py has Alembic go through its steps.
    """

    folder: str
    drivers: tuple[str, ...] = ANY
    config: str | None = "alembic.ini"
    command: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ("a1", "b2")
    heads: tuple[str, ...] = ("b2",)
    schemas: tuple[str, ...] = ("public",)
    databases: tuple[str, ...] = ("shop",)
    contexts: int = 1
    exit_code: int = 0
    locked: str | None = "notes"
    name: str = ""


ALEMBIC = (sys.executable, "-P", "-m", "alembic")
SHAPES = (
    Shape("engine_from_config", ("psycopg2", "psycopg")),
    Shape("async_engine", ("psycopg-async", "asyncpg")),
    Shape("settings_module", OTHERS),
    Shape("url_from_environment"),
    Shape(
        "x_arguments",
        OTHERS,
        command=(*ALEMBIC, "-c", "alembic.ini", "-x", "database={database}", "upgrade", "head"),
    ),
    Shape("connection_attribute", command=(sys.executable, "migrate.py")),
    Shape("file_config", OTHERS),
    Shape("version_table"),
    Shape("schemas_by_search_path", schemas=ACCOUNTS, contexts=2),
    Shape("schemas_by_translate_map", OTHERS, schemas=ACCOUNTS, contexts=2),
    Shape("transaction_per_migration", OTHERS),
    Shape("autocommit_block", revisions=("a1", "b2", "c3"), heads=("c3",)),
    Shape("batch_alter_table", OTHERS, revisions=("a1",), heads=("a1",)),
    Shape("branches", revisions=("s1", "p1", "p2"), heads=("p2",)),
    Shape("several_folders", OTHERS, revisions=("a1", "b2", "k1"), heads=("b2", "k1")),
    Shape("pyproject_toml", config="pyproject.toml"),
    Shape(
        "multidb",
        ("psycopg2", "psycopg"),
        revisions=("a1",),
        heads=("a1",),
        databases=("shop", "archive"),
        contexts=2,
    ),
    Shape("package_location", revisions=("a1",), heads=("a1",)),
    Shape("whole_application", ("psycopg2", "psycopg")),
    Shape("exits", OTHERS, exit_code=7),
    Shape("forks_and_threads", OTHERS),
    Shape("no_ini", config=None, command=(sys.executable, "migrate.py")),
    Shape(
        "flask_migrate",
        ("psycopg2", "psycopg"),
        config="migrations/alembic.ini",
        command=(sys.executable, "-m", "flask", "--app", "shop", "db", "upgrade"),
    ),
    # A folder named alembic beside the ini would shadow the library; env.py prints and closes descriptors.
    Shape(
        "chatty",
        ("psycopg2", "psycopg"),
        revisions=("a1",),
        heads=("a1",),
        locked=None,
        name="prints_beside_a_folder_named_alembic",
    ),
)
CASES = [
    pytest.param(shape, driver, id=f"{shape.name or shape.folder}-{driver}")
    for shape in SHAPES
    for driver in shape.drivers
]


@dataclass(frozen=True)
class OwnCommand(MigrationOrder):
    """An order whose command line is the person's own."""

    words: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        return self.words or super().command


class Truth(NamedTuple):
    """What the server logged of one database: the statements on `notes`, and the backends that sent any."""

    statements: Counter[str]
    backends: set[int]


class LoggingServer:
    """A server that logs every statement with its backend, database and application."""

    def __init__(self, server: EmbeddedServer, log: Path) -> None:
        self.server = server
        self._log = log

    def database(self, name: str, schemas: tuple[str, ...]) -> str:
        """A database of the release before."""
        url = self.server.create_database(name)
        with psycopg.connect(url, application_name="test") as connection:
            for schema in schemas:
                identifier = sql.Identifier(schema)
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier))
                connection.execute(sql.SQL("SET search_path TO {}").format(identifier))
                connection.execute(NOTES.encode())
        return url

    def truth(self, database: str) -> Truth:
        logged = re.findall(
            rf"^<(\d+)\|{database}\|(?!test>|mul-migrator>)[^>]*> LOG:  duration: [\d.]+ ms  "
            r"(?:statement|execute [^:]*): (.*?)(?=^<|\Z)",
            self._log.read_text(),
            re.MULTILINE | re.DOTALL,
        )
        ours = "pg_catalog.json_build_object('"
        own = Counter(beginning(text) for _, text in logged if is_own(text) and ours not in text)
        return Truth(own, {int(pid) for pid, _ in logged})


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggingServer]:
    log = tmp_path_factory.mktemp("logging") / "postgres.log"
    settings = {"log_min_duration_statement": "0", "log_line_prefix": "<%p|%d|%a> "}
    with EmbeddedServer.start(log=log, settings=settings) as server:
        yield LoggingServer(server, log)


def is_own(text: str) -> bool:
    """Whether a statement is about the tables of the revisions, not about the catalog."""
    return re.search(r"\b(notes|chatter)\b", text) is not None and "pg_catalog" not in text


def beginning(text: str) -> str:
    """What the driver's text and the server's have in common before the first parameter."""
    return re.split(r"[%$']", " ".join(text.split()), maxsplit=1)[0][:60].strip()


def order_for(shape: Shape, driver: str, urls: list[str], folder: Path) -> OwnCommand:
    name, _, asynchronous = driver.partition("-")
    given = [DatabaseUrl.parse(url).sqlalchemy(name) for url in urls]
    home = MIGRATIONS / shape.folder
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",
        # A script finds the modules beside it, and `engines`; Alembic's ini says so itself.
        "PYTHONPATH": f"{home}:{MIGRATIONS}" if shape.command else "",
        "ASYNC": "1" if asynchronous or driver == "asyncpg" else "",
        "DATABASE_URL": given[0],
        "TEST_DATABASE_URL": given[0],
        **{f"{name.upper()}_URL": url for name, url in zip(shape.databases, given, strict=True)},
    }
    database = urls[0].rpartition("/")[2]
    return OwnCommand(
        direction="upgrade",
        target="heads",
        alembic_config=home / (shape.config or "none").rpartition("/")[2],
        run_id="test",
        trace_file=folder / "trace.ndjson",
        log_file=folder / "migration.log",
        environment=environment,
        words=tuple(word.format(database=database) for word in shape.command),
    )


def run(order: MigrationOrder) -> tuple[int, Trace]:
    child = MigrationChild(order)
    child.start()
    ended = wait_until(lambda: child.poll() is not None, within=60)
    code = child.poll()
    if not ended or code is None:
        child.stop(lambda _: None, grace_s=0.1)
        pytest.fail(f"the migration did not end: {order.log_file.read_text()}")
    return code, build(child.records(), unreadable=child.unreadable)


@pytest.mark.parametrize(("shape", "driver"), CASES)
def test_environment(shape: Shape, driver: str, logging_server: LoggingServer, tmp_path: Path) -> None:
    names = [f"{name}_{shape.folder}_{driver}".replace("-", "_") for name in shape.databases]
    urls = [logging_server.database(name, shape.schemas) for name in names]
    order = order_for(shape, driver, urls, tmp_path)
    migrator = None
    if shape.config is not None:
        migrator = DatabaseMigrator(urls[0], alembic_config=MIGRATIONS / shape.folder / shape.config)
        assert migrator.needs_migration("heads")
        assert set(migrator.path("heads")) == set(shape.revisions)

    code, trace = run(order)

    assert code == shape.exit_code, order.log_file.read_text()
    assert trace.why_incomplete is None
    check_revisions(trace, shape)
    check_statements(trace, [logging_server.truth(name) for name in names])
    check_locks(trace, shape)
    check_version_tables(trace, shape, names)
    found = migrator or DatabaseMigrator(urls[0], script_location=MIGRATIONS / "plain")
    found.learn(context.table for context in trace.contexts)
    assert found.currents() == (shape.heads,) * shape.contexts
    assert migrator is None or migrator.needs_migration("heads") is False


def check_revisions(trace: Trace, shape: Shape) -> None:
    for number in range(1, shape.contexts + 1):
        steps = [step for step in trace.revisions if step.context == number]
        assert sorted((step.revision, step.ok) for step in steps) == sorted(
            (r, True) for r in shape.revisions
        )
    assert len(trace.revisions) == shape.contexts * len(shape.revisions)


def check_statements(trace: Trace, truths: list[Truth]) -> None:
    assert trace.backends == set().union(*(truth.backends for truth in truths))
    told = Counter[str]()
    for statement in trace.statements:
        if is_own(statement.sql):
            told[beginning(statement.sql)] += statement.executions
    assert told == sum((truth.statements for truth in truths), Counter())
    own = trace.migration_statements
    assert [statement.n for statement in own] == list(range(1, len(own) + 1))
    assert all(statement.revision and statement.committed_mono for statement in own)


def check_locks(trace: Trace, shape: Shape) -> None:
    for number in range(1, shape.contexts + 1):
        own = [statement for statement in trace.migration_statements if statement.context == number]
        strong = {
            lock.relation.rpartition(".")[2]
            for statement in own
            for lock in statement.locks
            if lock.mode == "AccessExclusiveLock"
        }
        assert own
        assert shape.locked is None or shape.locked in strong


def check_version_tables(trace: Trace, shape: Shape, names: list[str]) -> None:
    assert [context.number for context in trace.contexts] == list(range(1, shape.contexts + 1))
    assert {context.table.database for context in trace.contexts} == set(names)
    assert all(context.ok and context.heads_before == () for context in trace.contexts)
    assert {tuple(sorted(context.heads_after or ())) for context in trace.contexts} == {shape.heads}
    tables = {(context.table.database, context.table.schema_oid) for context in trace.contexts}
    assert len(tables) == shape.contexts
    assert None not in {schema_oid for _, schema_oid in tables}


def test_two_databases_when_both_are_named(logging_server: LoggingServer, tmp_path: Path) -> None:
    order, urls = two_databases(logging_server, tmp_path, "named")
    with connect(DatabaseUrl.parse(urls[0]), "test") as connection:
        both = (identify(connection), *identify_further(connection, ["archive_named", "shop_named", "none"]))

    code, trace = run(replace(order, expect_database=expectation(*both)))

    assert [found.database for found in both] == ["shop_named", "archive_named"]
    assert (code, trace.why_incomplete) == (0, None)
    assert [context.table.database for context in trace.contexts] == ["shop_named", "archive_named"]


def test_a_second_database_that_is_not_named(logging_server: LoggingServer, tmp_path: Path) -> None:
    order, urls = two_databases(logging_server, tmp_path, "unnamed")
    with connect(DatabaseUrl.parse(urls[0]), "test") as connection:
        first = identify(connection)

    code, trace = run(replace(order, expect_database=expectation(first)))

    assert code == WRONG_DATABASE
    assert trace.wrong_database is not None
    assert trace.migration_statements == ()
    assert logging_server.truth("archive_unnamed").statements == Counter()


def two_databases(server: LoggingServer, folder: Path, suffix: str) -> tuple[OwnCommand, list[str]]:
    shape = next(shape for shape in SHAPES if shape.folder == "multidb")
    urls = [server.database(f"{name}_{suffix}", shape.schemas) for name in shape.databases]
    return order_for(shape, "psycopg", urls, folder), urls


@pytest.mark.parametrize("driver", ANY)
def test_an_env_that_swallows_errors(driver: str, logging_server: LoggingServer, tmp_path: Path) -> None:
    url = logging_server.database(f"swallowed_{driver}", ("public",))
    order = order_for(Shape("swallows_errors"), driver, [url], tmp_path)

    code, trace = run(order)

    migrator = DatabaseMigrator(url, alembic_config=order.alembic_config)
    migrator.learn(context.table for context in trace.contexts)
    assert code == 0  # it hides what happened
    assert trace.why_incomplete is None
    assert [(step.revision, step.ok) for step in trace.revisions] == [
        ("a1", True),
        ("b2", True),
        ("c3", False),
    ]
    assert "moons" in (trace.revisions[-1].error or "")
    (context,) = trace.contexts
    assert (context.ok, context.error) == (False, trace.revisions[-1].error)
    assert migrator.currents() == (("b2",),)
    assert migrator.resolve("head") == ("c3",)
