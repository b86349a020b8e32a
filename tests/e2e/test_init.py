"""From a foreign service's OpenAPI document to a verdict: `harness init`, and the command that it prints."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.db.server import EmbeddedServer
from harness.help import page
from tests.fix_run import UNTIMED, without_test_settings
from tests.fix_scaffold import INI, Scaffold, running_scaffold

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

SHORT = (
    *("--warmup-time", "2s", "--baseline-time", "5s", "--recover-time", "5s", "--probe-time", "1s"),
    *("--users", "12", "--spawn-rate", "12", "--target-rate", "70"),
)


@dataclass(frozen=True)
class Project:
    """A folder in which `harness init` was run, and what it printed."""

    folder: Path
    printed: str

    def run(self, scaffold: Scaffold, *flags: str) -> tuple[int, str, dict[str, Any]]:
        """The printed command, with further flags: its exit code, its output and its verdict."""
        command = shlex.split(self.printed.strip().splitlines()[-1])
        assert command[0] == "locust"
        done = subprocess.run(
            [sys.executable, "-m", *command, *SHORT, *flags],
            cwd=self.folder,
            env={**without_test_settings(), **scaffold.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
        )
        verdict = json.loads((self.folder / "runs" / "latest" / "verdict.json").read_text())
        return done.returncode, done.stdout + done.stderr, verdict


@pytest.fixture(scope="module")
def scaffold(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaffold]:
    log = tmp_path_factory.mktemp("scaffold") / "service.log"
    with running_scaffold(postgres.create_database("scaffold"), log) as running:
        yield running


@pytest.fixture
def project(scaffold: Scaffold, tmp_path: Path) -> Project:
    """What a person has before the first run: the files as they were generated, and the released schema."""
    scaffold.alembic("downgrade", "released")
    command = [sys.executable, "-m", "harness", "init", "--openapi", scaffold.openapi]
    done = subprocess.run(
        [*command, "--alembic-config", str(INI), "--database", "scaffold"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Project(tmp_path, done.stdout)


def test_a_scaffolded_service_gets_a_verdict_without_a_changed_line(
    project: Project, scaffold: Scaffold
) -> None:
    code, output, verdict = project.run(scaffold, "--upgrade", "harmless", *UNTIMED)
    assert code == 0, output
    generated = (project.folder / "locustfile.py").read_text()
    assert generated.partition("class Person")[2] in page("own-service")
    assert verdict["migration"]["to"] == "harmless"
    assert verdict["ledger"]["acknowledged"] > 300
    assert verdict["ledger"]["indeterminate"] == 0
    assert verdict["isolation"]["probes"] > 5
    assert verdict["isolation"]["reads_checked"] > 300
    endpoints = {endpoint["name"] for endpoint in verdict["endpoints"]}
    assert {"GET /api/v1/items/", "PUT /api/v1/items/{id}", "GET /api/v1/users/me"} <= endpoints
    passed = {gate["name"] for gate in verdict["gates"] if gate["status"] == "pass"}
    assert {"lost_writes", "unexpected_writes", "leaks", "lock_wait", "migration", "errors"} <= passed


def test_its_blocking_migration_is_red_and_named(project: Project, scaffold: Scaffold) -> None:
    code, output, verdict = project.run(scaffold, "--upgrade", "blocking")
    assert code == 1, output
    assert verdict["migration"]["status"] == "ok"
    (waited,) = (gate for gate in verdict["gates"] if gate["name"] == "lock_wait")
    assert waited["status"] == "fail"
    assert waited["observed"] > 3.0
    worst = max(verdict["blame"], key=lambda blamed: blamed["longest_wait_s"])
    assert (worst["relation"], worst["mode"], worst["revision"]) == (
        "item",
        "AccessExclusiveLock",
        "blocking",
    )
    (statement,) = (one for one in verdict["migration"]["statements"] if one["n"] == worst["statement"])
    assert statement["sql"].startswith("ALTER TABLE item ADD COLUMN position")
