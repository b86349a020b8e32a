"""A migration by the person's own command: traced through scripts and other interpreters, observed where it
cannot be traced, refused where nobody could tell which database it changes."""

from __future__ import annotations

import http.server
import shlex
import site
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest

from harness.clock import wait_until
from harness.core.plan import Plan
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, HarnessError, UsageError
from harness.run.preparation import prepare
from harness.run.session import Session
from tests.fix_controller import FakeLoad

pytestmark = [pytest.mark.integration, pytest.mark.migration]

SAFE = Path(__file__).parents[1] / "migrations" / "safe" / "alembic.ini"
UPGRADE = ("-m", "alembic", "-c", str(SAFE), "upgrade", "head")

EXCLUSIVELY = "relation = 'notes'::regclass AND mode = 'AccessExclusiveLock'"

HOLD = """
import os, sys
sys.path[:0] = {path!r}
import psycopg
with psycopg.connect({url!r}) as connection:
    connection.execute("SELECT pg_advisory_xact_lock(42)")  # one deployer at a time
    connection.execute("ALTER TABLE notes ADD COLUMN stars int")
    connection.execute("SELECT pg_sleep({hold_s})")
"""
"""A migration that only the observer sees where its Python is started without our environment."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Something that answers HTTP."""
    answers = {"do_GET": lambda request: request.send_error(404), "log_message": lambda *_: None}
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), answers)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass
class Project:
    """A person's project: where it is, its database, and how a run of its command ends."""

    folder: Path
    database: str
    host: str

    @property
    def name(self) -> str:
        return DatabaseUrl.parse(self.database).resolved().dbname

    def plan(self, *command: str, **changes: Any) -> Plan:
        given: dict[str, Any] = {
            "host": self.host,
            "database_url": self.database,
            "migration_command": shlex.join(command),
            "migration_cwd": str(self.folder),
            "migration_environment": (
                ("TEST_DATABASE_URL", DatabaseUrl.parse(self.database).sqlalchemy("psycopg")),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ),
            "allow_database": (self.name,),
            "run_root": str(self.folder / "runs"),
        }
        return Plan(**{**given, **changes})

    def run(self, *command: str, **changes: Any) -> dict[str, Any]:
        """The verdict of a run without users, whose phases are as short as can be."""
        prepared = prepare(self.plan(*command, **changes), lambda _: None)
        prepared.plan = replace(prepared.plan, warmup_s=0.0, baseline_s=0.2, recover_s=0.0)
        finished = Session(prepared, FakeLoad(), time.sleep, lambda _: None).run()
        return finished.verdict.as_json()

    def script(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(dedent(text))
        return str(path)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def holding(self, hold_s: float) -> str:
        """A script that keeps `notes` locked for so long; it finds psycopg by itself."""
        self.query("CREATE TABLE notes (id int)")
        return self.script("hold.py", HOLD.format(path=site_packages(), url=self.database, hold_s=hold_s))


@pytest.fixture
def project(tmp_path: Path, database: str, service: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr("harness.run.controller.IMPACT_MINIMUM_S", 0.5)
    monkeypatch.setattr("harness.run.migration_episode.IMPACT_TAIL_S", 0.2)
    return Project(tmp_path, database, service)


def site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")] or site.getsitepackages()


def gate(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(gate for gate in verdict["gates"] if gate["name"] == name)
    return found


def revisions(verdict: dict[str, Any]) -> list[str]:
    return [run["revision"] for run in verdict["migration"]["revisions"]]


# traced


def test_a_deploy_script_that_spawns_alembic_is_traced(project: Project) -> None:
    deploy = project.script(
        "deploy.py",
        f"""
        import subprocess, sys
        sys.exit(subprocess.call([sys.executable, *{UPGRADE!r}]))
        """,
    )
    verdict = project.run(sys.executable, deploy)

    migration = verdict["migration"]
    assert (migration["status"], migration["traced"]) == ("ok", True), verdict["limits"]
    assert revisions(verdict) == ["a1", "b2", "c3", "d4"]
    assert len(migration["statements"]) > 10
    assert (migration["target"], migration["from"], migration["to"]) == (None, "base", "d4")
    assert gate(verdict, "migration")["status"] == "pass"
    assert any("known to its command alone" in limit for limit in verdict["limits"])


def test_its_target_is_judged_and_nothing_to_do_is_inconclusive(project: Project) -> None:
    to_b2 = (sys.executable, *UPGRADE[:-1], "b2")
    verdict = project.run(*to_b2, alembic_config=str(SAFE), upgrade="head")
    result = gate(verdict, "migration")
    assert (verdict["migration"]["target"], verdict["migration"]["to"]) == ("head", "b2")
    assert (result["status"], result["why"]) == ("fail", "it ended, but the database is at b2, not at head")

    verdict = project.run(*to_b2)
    result = gate(verdict, "migration")
    assert (verdict["migration"]["status"], result["status"]) == ("nothing", "inconclusive")
    assert "left the revision as it was" in result["why"]


def test_a_rollback_by_command(project: Project) -> None:
    back = shlex.join([sys.executable, *UPGRADE[:-2], "downgrade", "a1"])
    verdict = project.run(sys.executable, *UPGRADE, rollback_command=back, downgrade="a1")
    assert (verdict["rollback"]["traced"], verdict["rollback"]["to"]) == (True, "a1")
    results = [found for found in verdict["gates"] if found["name"] == "migration"]
    assert [found["status"] for found in results] == ["pass", "pass"]


def environment_at(folder: Path, *paths: str) -> str:
    """Another interpreter, which sees nothing but these folders; returns its Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    found = next((folder / "lib").glob("python*/site-packages"))
    (found / "theirs.pth").write_text("\n".join(paths))
    return str(folder / "bin" / "python")


def test_it_runs_in_their_interpreter(project: Project) -> None:
    python = environment_at(project.folder / "theirs", *site_packages())
    program = project.script(
        "migrate", f"#!{python}\nimport sys\nfrom alembic.config import main\nmain(sys.argv[1:])\n"
    )
    Path(program).chmod(0o755)

    verdict = project.run("./migrate", *UPGRADE[2:])

    assert verdict["migration"]["traced"], verdict["limits"]
    trace = next(project.folder.glob("runs/latest/logs/migration-1.trace"))
    assert '"library":"alembic"' in trace.read_text()
    assert f'"argv":["{python}"' in trace.read_text()


@pytest.mark.slow
def test_with_an_older_alembic_and_sqlalchemy_it_is_traced_as_with_ours(project: Project) -> None:
    older = project.folder / "older"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = ("alembic==1.8.1", "sqlalchemy==1.4.54", "psycopg2-binary")
    subprocess.run([*pip, "--no-compile", "--target", str(older), *wanted], check=True, timeout=120)
    url = DatabaseUrl.parse(project.database).sqlalchemy("psycopg2")
    python = environment_at(project.folder / "theirs", str(older))

    verdict = project.run(python, *UPGRADE, migration_environment=(("TEST_DATABASE_URL", url),))

    migration = verdict["migration"]
    assert (migration["status"], migration["traced"]) == ("ok", True), verdict["limits"]
    assert revisions(verdict) == ["a1", "b2", "c3", "d4"]
    assert any(found["locks"] for found in migration["statements"])
    trace = next(project.folder.glob("runs/latest/logs/migration-1.trace"))
    assert '"library":"alembic","version":"1.8.1"' in trace.read_text()


def test_a_python_script_without_alembic_is_guarded_by_its_driver(project: Project) -> None:
    project.query("CREATE TABLE notes (id int)")
    script = project.script(
        "add.py",
        """
        import os, psycopg
        with psycopg.connect(os.environ["MUL_DATABASE_URL"]) as connection:
            connection.execute("ALTER TABLE notes ADD COLUMN stars int")
        """,
    )
    verdict = project.run(sys.executable, script)
    assert (verdict["migration"]["status"], verdict["migration"]["traced"]) == ("ok", False)
    assert gate(verdict, "migration")["status"] == "pass"
    assert any("Alembic was not imported" in limit for limit in verdict["limits"])


def test_one_that_goes_to_another_database_is_stopped(project: Project) -> None:
    other = (
        (
            "TEST_DATABASE_URL",
            DatabaseUrl.parse(project.database.rpartition("/")[0] + "/postgres").sqlalchemy(),
        ),
    )
    in_a_shell = ("sh", "-c", " ".join((sys.executable, *UPGRADE)))  # which no `current` is known of
    verdict = project.run(*in_a_shell, migration_environment=other)
    assert (verdict["migration"]["status"], verdict["exit_code"]) == ("wrong_database", 3)
    with pytest.raises(GuardError, match="goes to another database"):  # seen before any load
        project.run(sys.executable, *UPGRADE, migration_environment=other)


# not traced


def test_what_surely_cannot_be_traced_is_refused_before_anything_runs(project: Project) -> None:
    for command in (
        ("env", "-i", sys.executable, *UPGRADE),
        (sys.executable, "-I", *UPGRADE),
        ("psql", "-f", "up.sql"),
    ):
        (project.folder / "psql").touch(0o755)
        path = (("PATH", f"{project.folder}:/usr/bin:/bin"),)
        with pytest.raises(GuardError, match=f"--allow-untraced-database {project.name}"):
            project.run(*command, migration_environment=path)
    assert not (project.folder / "runs").exists()
    assert project.query("SELECT to_regclass('notes')") == [(None,)]


def test_untraced_it_is_observed_and_what_waits_is_charged_to_it(project: Project) -> None:
    hold = project.holding(2.0)
    reader = Waiting(project.database, "SELECT count(*) FROM notes")
    deployer = Waiting(project.database, "SELECT pg_advisory_lock(42)")

    verdict = project.run(sys.executable, "-I", hold, allow_untraced_database=(project.name,))
    reader.join()
    deployer.join()

    migration, [blamed] = verdict["migration"], verdict["blame"]
    assert (migration["status"], migration["traced"], migration["statements"]) == ("ok", False, [])
    assert gate(verdict, "migration")["status"] == "pass"
    assert (blamed["statement"], blamed["relation"], blamed["mode"]) == (None, "notes", "AccessExclusiveLock")
    assert verdict["waits"]["sessions"] == 2
    assert (blamed["blocked_sessions"], [query["query"] for query in blamed["queries"]]) == (
        1,
        [reader.query],
    )
    assert blamed["provenance"].startswith("observed")
    assert blamed["running"] == "SELECT pg_sleep(?)"
    assert gate(verdict, "lock_wait")["status"] == "fail"
    said = " ".join(verdict["limits"])
    assert "was not traced" in said
    assert "start to the end of its process" in said
    assert migration["first_statement_at"] is None


class Waiting(threading.Thread):
    """A session that asks for something of the migration's, once that has locked `notes`."""

    def __init__(self, database: str, query: str) -> None:
        super().__init__(daemon=True)
        self.database, self.query = database, query
        self.start()

    def run(self) -> None:
        with psycopg.connect(self.database, autocommit=True, application_name="shop") as connection:
            held = f"SELECT count(*) FROM pg_locks WHERE {EXCLUSIVELY}"
            assert wait_until(lambda: connection.execute(held).fetchone() != (0,), within=20)
            connection.execute(self.query.encode())


RETRYING = """
    import time
    from alembic import op
    from sqlalchemy.exc import OperationalError

    revision, down_revision = "r1", None

    def upgrade():
        for _ in range(20):
            try:
                with op.get_context().autocommit_block():
                    op.execute("SET lock_timeout = '300ms'")
                    op.execute("ALTER TABLE notes ADD COLUMN stars int")
                return
            except OperationalError:
                time.sleep(0.1)
"""


def test_each_attempt_of_one_that_retries_by_itself_is_told_and_all_are_summed(project: Project) -> None:
    project.query("CREATE TABLE notes (id int)")
    (project.folder / "versions").mkdir()
    project.script("versions/r1.py", RETRYING)
    project.script("alembic.ini", SAFE.read_text().replace("%(here)s/..", str(SAFE.parents[1])))
    with psycopg.connect(project.database, application_name="reader") as reader:
        reader.execute("SELECT * FROM notes")
        behind = Behind(project.database, attempts=2, then=reader.rollback)
        try:
            verdict = project.run(sys.executable, "-m", "alembic", "upgrade", "head")
        finally:
            behind.join()

    tries = [found for found in verdict["migration"]["statements"] if found["sql"].startswith("ALTER")]
    assert len(tries) >= 3
    assert [found["sqlstate"] for found in tries] == ["55P03"] * (len(tries) - 1) + [None]
    assert [found["attempt_of"] for found in tries] == [None] + [tries[0]["n"]] * (len(tries) - 1)
    [blamed] = verdict["blame"]
    told = blamed["attempts"]
    assert len(told) >= 2
    assert {one["statement"] for one in told} <= {found["n"] for found in tries}
    in_all = sum(one["session_seconds"] for one in told)
    assert blamed["blocked_session_seconds"] == pytest.approx(in_all, abs=1e-4)  # each is rounded
    assert blamed["longest_wait_s"] == max(one["longest_s"] for one in told) < 1.0
    assert blamed["root"].startswith("session ")


class Behind(threading.Thread):
    """A session that reads `notes` again and again; once it has waited `attempts` times, or after 20 s, it
    calls `then`."""

    def __init__(self, database: str, attempts: int, then: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.database, self.attempts, self.then = database, attempts, then
        self.start()

    def run(self) -> None:
        try:
            with psycopg.connect(self.database, autocommit=True, application_name="shop") as connection:
                wait_until(lambda: self._has_waited(connection), within=20)
        finally:
            self.then()

    def _has_waited(self, connection: psycopg.Connection) -> bool:
        began = time.monotonic()
        connection.execute("SELECT count(*) FROM notes")
        self.attempts -= time.monotonic() - began > 0.2
        return self.attempts <= 0


def test_one_that_turns_out_untraced_is_stopped_in_time(project: Project) -> None:
    hold = project.holding(60.0)
    began = time.monotonic()

    verdict = project.run("sh", "-c", f"exec env -i {sys.executable} -I {hold}")

    assert time.monotonic() - began < 45  # the command would hold its lock for 60 s
    assert (verdict["migration"]["status"], verdict["exit_code"]) == ("untraced", 3)
    assert "--allow-untraced-database" in gate(verdict, "migration")["why"]
    assert project.query(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60%' AND pid <> pg_backend_pid()"
    ) == [(0,)]
    assert project.query("SELECT count(*) FROM information_schema.columns WHERE column_name = 'stars'") == [
        (0,)
    ]


def test_one_that_ends_untraced_before_it_could_be_stopped_is_said(project: Project) -> None:
    hold = project.holding(0.0)
    verdict = project.run("sh", "-c", f"exec env -i {sys.executable} -I {hold}")
    assert (verdict["migration"]["status"], verdict["exit_code"]) == ("untraced", 3)
    assert "ended before it could be stopped" in gate(verdict, "migration")["why"]


# refused, failed


def test_a_python_without_alembic_is_named(project: Project) -> None:
    python = environment_at(project.folder / "bare")
    with pytest.raises(UsageError, match=f"has no Alembic: {python}"):
        project.run(python, *UPGRADE)


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        (("no-such-program", "up"), {}, "--migration-command: there is no program no-such-program in PATH"),
        (("./no-such-program",), {}, "there is no program ./no-such-program in /"),
        (
            ("true",),
            {"migration_cwd": "no/such/folder"},
            "--migration-cwd: there is no folder no/such/folder",
        ),
        (("'",), {"migration_command": "'"}, "--migration-command cannot be read"),
        (("true",), {"upgrade": "main@head"}, "only the migration scripts can resolve"),
        (("true",), {"downgrade": "a1"}, "--rollback-command"),
        (("true",), {"expect_from": "a1"}, "The database is at base, not at a1 as --expect-from says"),
    ],
)
def test_what_is_wrong_is_refused_before_the_load(
    project: Project, command: tuple[str, ...], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(HarnessError, match=message) as refused:
        project.run(*command, **changes)
    assert refused.value.exit_code == 2


def test_a_command_that_fails_is_told_by_its_exit_code(project: Project) -> None:
    verdict = project.run("sh", "-c", "exit 7")
    result = gate(verdict, "migration")
    assert (verdict["migration"]["status"], result["status"]) == ("failed", "fail")
    assert result["why"] == "Its process ended with exit code 7; its output is in logs/migration-1.log."


# where it starts


def test_create_all_and_stamp_prepare_a_database(project: Project) -> None:
    prepare_it = project.script(
        "prepare.py",
        f"""
        import os, subprocess, sys
        from sqlalchemy import BigInteger, Column, MetaData, Table, create_engine
        url = os.environ["MUL_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
        models = MetaData()
        Table("notes", models, Column("id", BigInteger, primary_key=True), Column("stars", BigInteger))
        models.create_all(create_engine(url))
        os.environ["TEST_DATABASE_URL"] = url
        sys.exit(subprocess.call([sys.executable, "-m", "alembic", "-c", {str(SAFE)!r}, "stamp", "b2"]))
        """,
    )
    verdict = project.run(
        *(sys.executable, *UPGRADE[:-1], "c3"),
        prepare=f"{sys.executable} {prepare_it}",
        expect_from="b2",
        upgrade="c3",
    )
    assert (verdict["migration"]["from"], revisions(verdict)) == ("b2", ["c3"]), verdict["gates"]
    assert gate(verdict, "migration")["status"] == "pass"
