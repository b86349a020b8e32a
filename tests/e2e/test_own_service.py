"""The person's own service and database: given, guarded, prepared, migrated, and left running."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.clock import utc_now
from harness.core.plan import Plan
from harness.run.services import REFERENCE_ALEMBIC, Services, start_demo
from harness.store import RunDirectory
from tests.fix_run import SHORT, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.quiet, pytest.mark.timeout(240)]

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
    assert own.database_url is not None
    prepare = runs.root / "prepare.py"
    prepare.write_text(PREPARE)
    run = runs(
        *("--host", own.host, "--alembic-config", str(REFERENCE_ALEMBIC), "--upgrade", "safe@head"),
        *("--allow-database", "shop", "--prepare", f"{sys.executable} {prepare}"),
        *SHORT[:-2],
        environment={"MUL_DATABASE_URL": own.database_url, **own.environment},
    )
    assert run.process.returncode == 0, run.output
    assert run.verdict["migration"]["to"] == "safe6"
    assert own.died() is None
    with psycopg.connect(own.database_url) as connection:
        assert connection.execute("SELECT to_regclass('prepared')::text").fetchone() == ("prepared",)
        assert connection.execute(OURS).fetchone() == (0,)


def test_its_password_is_nowhere_in_the_run_directory(runs: Runs, own: Services) -> None:
    assert own.database_url is not None
    run = runs(
        *("--host", own.host, "--alembic-config", str(REFERENCE_ALEMBIC), "--upgrade", "v1"),
        *("--allow-database", "shop"),
        environment={"MUL_DATABASE_URL": own.database_url, **own.environment},
    )
    assert run.process.returncode == 4, run.output
    password = own.database_url.split(":")[2].split("@")[0]
    assert password not in run.output
    for folder, _, names in os.walk(run.directory):
        for name in names:
            assert password.encode() not in Path(folder, name).read_bytes(), name
