"""`harness init` on the reference service's own OpenAPI document, and the command that it prints."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fix_run import without_test_settings
from tests.fix_target import INI, Service

pytestmark = pytest.mark.integration


def run(folder: Path, *command: str, database_url: str) -> str:
    """What it prints; fails with that when it fails."""
    variables = {"MUL_DATABASE_URL": database_url, "MUL_TARGET_DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**without_test_settings(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_reference_service_gets_files_whose_plan_is_whole(service: Service, tmp_path: Path) -> None:
    host, url = service.anonymous.base, service.database_url
    given = ("--alembic-config", str(INI), "--database", "target_shared")
    printed = run(tmp_path, "harness", "init", "--openapi", f"{host}/openapi.json", *given, database_url=url)
    assert "/documents" in (tmp_path / "locustfile.py").read_text()
    command = shlex.split(printed.strip().splitlines()[-1])
    assert command[0] == "locust"
    planned = run(tmp_path, *command, "--upgrade", "safe@head", "--dry-run", database_url=url)
    plan = json.loads(planned[planned.index("{") :])
    assert (plan["host"], plan["upgrade"], plan["allow_database"]) == (host, "safe@head", ["target_shared"])
