"""The person's own service and database: given, guarded, prepared, migrated, and left running."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.clock import utc_now
from harness.core.plan import Plan
from harness.db.binaries import find_binaries
from harness.db.url import DatabaseUrl
from harness.run.services import REFERENCE_ALEMBIC, Services, start_demo
from harness.store import RunDirectory
from tests.fix_run import BRIEF, UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

PREPARE = """
import os, psycopg
with psycopg.connect(os.environ["MUL_DATABASE_URL"]) as connection:
    connection.execute("CREATE TABLE prepared (i int)")
"""

OURS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'mul-%' OR application_name LIKE 'migrate-under-load%'
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Services]:
    """The reference service, started by somebody else."""
    plan = Plan(rows=20_000, run_root=str(tmp_path / "own"))
    directory = RunDirectory.create(plan, utc_now())
    services = start_demo(plan, directory)
    yield services
    services.stop()
    directory.close()


def test_an_own_service_is_judged_and_left_running(runs: Runs, own: Services) -> None:
    """Its migration is a command of its own, which takes a secret from the environment."""
    assert own.database_url is not None
    prepare = runs.root / "prepare.py"
    prepare.write_text(PREPARE)
    command = f"{sys.executable} -m alembic -c {REFERENCE_ALEMBIC} upgrade safe@head"
    run = runs(
        *("--host", own.host, "--alembic-config", str(REFERENCE_ALEMBIC), "--upgrade", "safe@head"),
        *("--allow-database", "shop", "--prepare", f"{sys.executable} {prepare}"),
        *("--migration-command", f"sh -c '{command}'", "--migration-env", "MUL_TARGET_DATABASE_URL"),
        *("--deploy", "sh -c 'echo rolled out'", "--expect-from", "v1", *BRIEF[:-2], *UNTIMED),
        environment={"MUL_DATABASE_URL": own.database_url, **own.environment},
    )
    assert run.process.returncode == 0, run.output
    assert run.error_ratios == {0.0}
    migration = run.verdict["migration"]
    assert (migration["command"][:2], migration["traced"], migration["to"]) == (["sh", "-c"], True, "safe6")
    check_that_no_password_is_in(run, own.database_url)
    assert (run.directory / "logs" / "deploy.log").read_text() == "rolled out\n"
    assert (run.gate("deploy")["status"], run.verdict["deploy"]["when"]) == ("pass", "after")
    assert own.died() is None
    with psycopg.connect(own.database_url) as connection:
        assert connection.execute("SELECT to_regclass('prepared')::text").fetchone() == ("prepared",)
        assert connection.execute(OURS).fetchone() == (0,)


SAFE = Path(__file__).parents[1] / "migrations" / "safe" / "alembic.ini"

TWO_MIGRATIONS = """
[safety]
databases = ["shop", "billing"]

[[migration]]
name = "shop"
alembic-config = "{shop}"
upgrade = "safe@head"

[[migration]]
name = "billing"
alembic-config = "{billing}"
upgrade = "head"
database-url-variable = "BILLING_DATABASE_URL"
"""


def test_two_migrations_run_one_after_the_other_from_a_dump(runs: Runs, own: Services) -> None:
    """The database of the first is migrated already, and put back to its dump."""
    assert own.database_url is not None
    assert own.server is not None
    billing = own.server.create_database("billing")
    dump = runs.root / "shop.dump"
    pg_dump = str(find_binaries().program("pg_dump"))
    subprocess.run([pg_dump, "--format=custom", f"--file={dump}", own.database_url], check=True)
    with psycopg.connect(own.database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'safe6'")
    plan = runs.root / "harness.toml"
    plan.write_text(TWO_MIGRATIONS.format(shop=REFERENCE_ALEMBIC, billing=SAFE))
    urls = {"MUL_DATABASE_URL": own.database_url, "BILLING_DATABASE_URL": billing}
    run = runs(
        *("--host", own.host, "--from-dump", str(dump), "--recreate-database", *BRIEF[:-2]),
        *("--probe-time", "0s", *UNTIMED),
        environment={**own.environment, **urls, "TEST_DATABASE_URL": DatabaseUrl.parse(billing).sqlalchemy()},
    )
    assert run.process.returncode == 0, run.output
    assert run.error_ratios == {0.0}
    assert "restoring shop.dump" in run.output
    told = [(m["name"], m["to"], m["traced"]) for m in run.verdict["migrations"]]
    assert told == [("shop", "safe6", True), ("billing", "d4", True)]
    assert run.verdict["waits"]["elsewhere"]["billing"]["complete"]
    assert "the schema of shop went from v1 to safe6" in run.output
    assert own.died() is None
    for url in (own.database_url, billing):
        with psycopg.connect(url) as connection:
            assert connection.execute(OURS).fetchone() == (0,)
            named = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1"
            )
            assert named.fetchall() == [("shop",), ("shop_mul_template",)]
    check_that_no_password_is_in(run, own.database_url)


def check_that_no_password_is_in(run: Run, url: str) -> None:
    password = url.split(":")[2].split("@")[0]
    assert password not in run.output
    for folder, _, names in os.walk(run.directory):
        for name in names:
            assert password.encode() not in Path(folder, name).read_bytes(), name
