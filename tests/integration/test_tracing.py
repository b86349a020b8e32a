"""`harness trace`, as a person runs it: on the reference service's history and on a project of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import psycopg
import pytest

from harness.clock import wait_until
from harness.db.server import EmbeddedServer

pytestmark = [pytest.mark.integration, pytest.mark.migration]

HARNESS = [sys.executable, "-m", "harness"]
ENV_PY = """
import os
from alembic import context
from sqlalchemy import create_engine

url = os.environ["{variable}"].replace("postgresql:", "postgresql+psycopg:")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
GOOD = """
op.execute("CREATE TABLE notes (id bigint PRIMARY KEY, stars int)")
op.execute("INSERT INTO notes SELECT n, 1 FROM generate_series(1, 100) n")
"""
MANY = 'op.execute("INSERT INTO notes SELECT n, 1 FROM generate_series(1000, 600000) n")'
CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY notes_stars ON notes (stars)")
"""
REWRITE = "alter-type-rewrite"
WIDER = 'op.execute("ALTER TABLE notes ALTER COLUMN stars TYPE bigint")'
BROKEN = 'op.execute("ALTER TABLE notes ADD COLUMN x int"); op.execute("UPDATE nowhere SET x = 1")'
HANGING = 'op.execute("LOCK TABLE notes"); op.execute("SELECT pg_sleep(60)")'


class Project:
    """A folder with an alembic.ini, its env.py and its revisions, one after the other."""

    def __init__(self, folder: Path, variable: str = "MUL_DATABASE_URL") -> None:
        self.ini = folder / "alembic.ini"
        self._versions = folder / "scripts" / "versions"
        self._versions.mkdir(parents=True)
        self.ini.write_text("[alembic]\nscript_location = %(here)s/scripts\npath_separator = os\n")
        (folder / "scripts" / "env.py").write_text(ENV_PY.format(variable=variable))
        self._last: str | None = None

    def add(self, revision: str, body: str) -> Project:
        head = f"from alembic import op\nrevision = {revision!r}\ndown_revision = {self._last!r}\n"
        lines = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
        (self._versions / f"{revision}.py").write_text(f"{head}\ndef upgrade():\n{lines}\n")
        self._last = revision
        return self


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "own").add("a1", GOOD).add("b2", WIDER)


def environment(**more: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MUL_")}
    return {**mine, "PYTHONDONTWRITEBYTECODE": "1", **more}


def trace(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARNESS, "trace", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def found(*arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    """The `migration` object that it prints."""
    done = trace("--json", *arguments, **variables)
    assert done.returncode == code, done.stderr
    migration = json.loads(done.stdout)
    assert isinstance(migration, dict)
    return migration


def locks(statement: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(lock["relation"], lock["mode"]) for lock in statement["locks"]}


def blocked(statement: Mapping[str, Any]) -> dict[str, list[str]]:
    return {block["relation"]: block["operations"] for block in statement["blocks"]}


EVERYTHING = ["SELECT", "INSERT", "UPDATE", "DELETE", "SELECT FOR UPDATE"]


def test_with_nothing_given_it_traces_the_reference_service() -> None:
    migration = found("--upgrade", "unsafe@head")
    assert (migration["from"], migration["to"], migration["status"]) == ("v1", "unsafe1", "ok")
    column = next(s for s in migration["statements"] if "ADD COLUMN" in s["sql"])
    assert ("documents", "AccessExclusiveLock") in locks(column)
    assert blocked(column)["documents"] == EVERYTHING
    assert max(lock["hold_s"] for lock in column["locks"]) > column["duration_s"]
    assert column["blocked"] == {"sessions": None, "session_seconds": None, "longest_s": None}


def test_from_base_its_first_revision_is_traced_too() -> None:
    migration = found("--upgrade", "v1")
    assert (migration["from"], migration["to"]) == ("base", "v1")
    assert migration["statements"][0]["sql"].split()[:2] == ["CREATE", "TABLE"]


def test_an_own_project_is_traced_on_an_embedded_server(project: Project) -> None:
    migration = found("--alembic-config", str(project.ini))
    assert (migration["from"], migration["to"]) == ("base", "b2")
    assert [statement["revision"] for statement in migration["statements"]] == ["a1", "a1", "b2"]


def test_what_runs_outside_a_transaction_is_seen_too(project: Project) -> None:
    project.add("c3", MANY).add("d4", CONCURRENTLY)
    migration = found("--alembic-config", str(project.ini))
    [index] = [s for s in migration["statements"] if "CONCURRENTLY" in s["sql"]]
    assert index["transaction"] is None
    assert index["provenance"] == "observed"
    assert ("notes", "ShareUpdateExclusiveLock") in locks(index)
    assert blocked(index) == {}


def test_an_own_database_is_traced_once_it_is_named(project: Project, database: str) -> None:
    name = database.rpartition("/")[2]
    found("--alembic-config", str(project.ini), "--upgrade", "a1", "--allow-database", name,
          MUL_DATABASE_URL=database)  # fmt: skip
    migration = found(
        "--alembic-config", str(project.ini), "--allow-database", name, MUL_DATABASE_URL=database
    )
    [wider] = migration["statements"]
    assert wider["rewrites"] == ["notes"]
    assert ("notes", "AccessExclusiveLock") in locks(wider)
    assert "alter-type-rewrite" in wider["advice"]
    [advice] = [one for one in migration["findings"] if one["rule"] == "alter-type-rewrite"]
    assert (advice["statement"], advice["severity"]) == (1, "note")  # a small table


def test_as_text_it_names_statement_lock_and_what_waits(project: Project, database: str) -> None:
    name = database.rpartition("/")[2]
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('a1')")
        connection.execute("CREATE TABLE notes (id bigint PRIMARY KEY, stars int)")
    done = trace("--alembic-config", str(project.ini), "--allow-database", name, MUL_DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    for word in ("ALTER TABLE notes", "AccessExclusiveLock", "SELECT"):
        assert word in done.stdout
    assert "***" in done.stderr  # which database, without its password
    assert database.split(":")[2].split("@")[0] not in done.stdout + done.stderr


def test_a_database_that_was_not_named_is_refused(project: Project, database: str) -> None:
    done = trace("--alembic-config", str(project.ini), MUL_DATABASE_URL=database)
    assert done.returncode == 3
    assert "--allow-database" in done.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('notes')").fetchone() == (None,)


def test_a_migration_that_goes_elsewhere_is_stopped(tmp_path: Path, database: str) -> None:
    project = Project(tmp_path / "own", variable="OWN_URL").add("a1", GOOD)
    done = trace("--alembic-config", str(project.ini), OWN_URL=database)
    assert done.returncode == 3
    assert "MUL_DATABASE_URL" in done.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('notes')").fetchone() == (None,)


def test_one_that_goes_to_a_further_database_alone_is_refused(tmp_path: Path, database: str) -> None:
    project = Project(tmp_path / "own", variable="OWN_URL").add("a1", GOOD)
    server, _, name = database.rpartition("/")
    both = ("--allow-database", name, "--allow-database", "postgres")
    urls = {"MUL_DATABASE_URL": database, "OWN_URL": f"{server}/postgres"}
    done = trace("--alembic-config", str(project.ini), *both, **urls)
    assert done.returncode == 3
    assert f"went to postgres alone, never to {name}" in done.stderr


def test_a_failing_migration_is_shown_as_far_as_it_came(project: Project) -> None:
    project.add("c3", BROKEN)
    done = trace("--json", "--alembic-config", str(project.ini))
    assert done.returncode == 1
    migration = json.loads(done.stdout)
    assert (migration["status"], migration["to"]) == ("failed", "base")
    assert migration["statements"][-1]["sqlstate"] == "42P01"
    assert 'relation "nowhere" does not exist' in done.stderr


def test_what_a_revision_ignores_stays_visible(tmp_path: Path, database: str) -> None:
    comment = f"# migrate-under-load: ignore {REWRITE}: a hundred rows"
    project = Project(tmp_path / "own").add("a1", GOOD).add("b2", f"{comment}\n{WIDER}")
    arguments = ("--alembic-config", str(project.ini), "--allow-database", database.rpartition("/")[2])
    found(*arguments, "--upgrade", "a1", MUL_DATABASE_URL=database)
    findings = found(*arguments, MUL_DATABASE_URL=database)["findings"]
    [told] = [one for one in findings if one["rule"] == REWRITE]
    assert (told["severity"], told["reason"]) == ("ignored", "a hundred rows")


@pytest.mark.parametrize(
    ("comment", "words"),
    [(REWRITE, "but not why"), ("no-such-rule: a hundred rows", "there is no such rule")],
)
def test_a_comment_that_ignores_nothing_is_refused(project: Project, comment: str, words: str) -> None:
    project.add("c3", f"# migrate-under-load: ignore {comment}\n{WIDER}")
    done = trace("--alembic-config", str(project.ini))
    assert done.returncode == 2
    assert "c3.py says to ignore" in done.stderr
    assert words in done.stderr
    assert done.stdout == ""


def test_preparation_runs_on_the_same_database(project: Project, tmp_path: Path) -> None:
    script = tmp_path / "prepare.py"
    script.write_text(
        "import os, psycopg\n"
        "with psycopg.connect(os.environ['MUL_DATABASE_URL']) as connection:\n"
        "    connection.execute('CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)')\n"
        "    connection.execute(\"INSERT INTO alembic_version VALUES ('b2')\")\n"
    )
    done = trace("--alembic-config", str(project.ini), "--prepare", f"{sys.executable} {script}")
    assert done.returncode == 4
    assert "already is at b2" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("false", "exit code 1"),
        ("no-such-program", "cannot be run"),
        ("'", "cannot be read"),
        ("", "names no command"),
    ],
)
def test_a_preparation_that_fails_is_bad_usage(project: Project, command: str, words: str) -> None:
    done = trace("--alembic-config", str(project.ini), "--prepare", command)
    assert done.returncode == 2
    assert "--prepare" in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--alembic-config", "nowhere.ini"), ("--upgrade", "nowhere"), ("--upgrade", "head")],
)
def test_what_cannot_be_traced_is_refused_before_anything_starts(arguments: tuple[str, ...]) -> None:
    done = trace(*arguments)
    assert done.returncode == 2
    assert arguments[1] in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def hanging(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A trace whose migration sleeps."""
    project.add("c3", HANGING)
    process = subprocess.Popen(
        [*HARNESS, "trace", "--alembic-config", str(project.ini)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_migration_and_server(
    hanging: subprocess.Popen[str], number: signal.Signals
) -> None:
    own = psutil.Process(hanging.pid)

    def sleeps() -> bool:
        """Whether a backend says that it is executing the SELECT."""
        with suppress(psutil.NoSuchProcess):  # also one that ended a moment ago
            return any("SELECT" in " ".join(child.cmdline()) for child in own.children(recursive=True))
        return False

    assert wait_until(sleeps, within=30)
    children = own.children(recursive=True)
    hanging.send_signal(number)
    assert hanging.wait(timeout=20) == 130
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert "Traceback" not in (hanging.stderr.read() if hanging.stderr else "")


def test_one_trace_at_a_time_works_on_a_database(
    project: Project, database: str, postgres: EmbeddedServer
) -> None:
    name = database.rpartition("/")[2]
    with psycopg.connect(database, application_name="mul-run other") as holder:
        holder.execute("SELECT pg_advisory_lock(%s, %s)", (0x4D554C31, 1))
        done = trace(
            "--alembic-config", str(project.ini), "--allow-database", name, MUL_DATABASE_URL=database
        )
    assert done.returncode == 2
    assert "mul-run other" in done.stderr


SHAPES = Path(__file__).parents[1] / "migrations"


def notes_in(database: str, *schemas: str) -> dict[str, str]:
    """A database of the release before, and what a migration needs to get there."""
    with psycopg.connect(database) as connection:
        for schema in schemas:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
            connection.execute(f"SET search_path TO {schema}".encode())
            connection.execute((SHAPES / "notes.sql").read_bytes())
    url = database.replace("postgresql:", "postgresql+psycopg:")
    return {"MUL_DATABASE_URL": database, "DATABASE_URL": url}


def upgraded(
    shape: str, variables: Mapping[str, str], code: int, *further: str
) -> tuple[dict[str, Any], str]:
    """The `migration` object of a shape's upgrade, and what it said."""
    names = (variables["MUL_DATABASE_URL"].rpartition("/")[2], *further)
    allowed = [word for name in names for word in ("--allow-database", name)]
    ini = str(SHAPES / shape / "alembic.ini")
    done = trace("--json", "--alembic-config", ini, "--upgrade", "head", *allowed, **variables)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_revisions_kept_in_a_table_of_another_name(database: str) -> None:
    variables = notes_in(database, "public")

    migration, _ = upgraded("version_table", variables, 0)

    assert (migration["from"], migration["to"], migration["status"]) == ("base", "b2", "ok")
    (context,) = migration["contexts"]
    assert (context["version_table_schema"], context["version_table"]) == ("house", "revisions")
    assert (context["from"], context["to"], context["error"]) == ("base", "b2", None)
    _, said = upgraded("version_table", variables, 4)
    assert "already is at b2" in said


def test_one_schema_after_the_other(database: str) -> None:
    migration, _ = upgraded("schemas_by_search_path", notes_in(database, "anna", "bert"), 0)

    assert migration["to"] == "b2"
    steps = [(step["context"], step["revision"]) for step in migration["revisions"]]
    assert steps == [(1, "a1"), (1, "b2"), (2, "a1"), (2, "b2")]
    assert [statement["context"] for statement in migration["statements"]] == [1, 1, 1, 2, 2, 2]


def test_an_env_that_hides_an_error_of_its_migration(database: str) -> None:
    migration, said = upgraded("swallows_errors", notes_in(database, "public"), 1)

    assert migration["to"] == "b2"
    assert "revision c3 failed" in said
    assert "moons" in said


@pytest.fixture
def archive(postgres: EmbeddedServer, database: str) -> Iterator[str]:
    """A second database, dropped like the first."""
    name = database.rpartition("/")[2].replace("test_", "archive_")
    yield postgres.create_database(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_two_databases_of_one_env(database: str, archive: str) -> None:
    variables = notes_in(database, "public")
    variables["ARCHIVE_URL"] = notes_in(archive, "public")["DATABASE_URL"]
    variables["SHOP_URL"] = variables["DATABASE_URL"]

    _, said = upgraded("multidb", variables, 3)
    assert "--allow-database" in said

    migration, _ = upgraded("multidb", variables, 0, archive.rpartition("/")[2])
    assert migration["to"] == "a1"
    assert [step["revision"] for step in migration["revisions"]] == ["a1", "a1"]
    assert [one["sql"].split()[-2] for one in migration["statements"]] == ["stars", "archived"]
    with psycopg.connect(archive) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]
