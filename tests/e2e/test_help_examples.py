"""Every command of the help pages is run as it stands, in a project like the one they speak of.

Runs print their plan and stop there (`MUL_DRY_RUN`), which reads all their flags and files; what a page looks
at has been made by one real run. The suite that a page starts only collects its tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.db.server import EmbeddedServer, find_binaries
from harness.help import page, topics
from tests.fix_run import ROOT, without_test_settings
from tests.fix_scaffold import INI, Scaffold, running_scaffold

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def _blocks(topic: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(topic), re.MULTILINE | re.DOTALL)


EXAMPLES = {topic: _blocks(topic, "sh") for topic in topics()}

SHORT = {"MUL_WARMUP_TIME": "2s", "MUL_BASELINE_TIME": "5s", "MUL_RECOVER_TIME": "5s", "MUL_PROBE_TIME": "0s"}

EARLIER = ("20260101T000000Z-own-abc123", "../main-run")
"""What pages call the run directories of earlier runs, from `runs`."""

PLAN = """
[service]
host = "{host}"

[load]
locustfile = "locustfile.py"

[migration]
alembic-config = "alembic.ini"

[safety]
databases = ["shop"]
"""


@dataclass(frozen=True)
class Project:
    """The folders of somebody's project, and what its commands find in their environment.

    `bare` has the files that pages name, `planned` a plan file too, `new` only Alembic's, `several` the plan
    file of the page on several services; `checkout` is one of this repository.
    """

    root: Path
    scaffold: Scaffold
    environment: dict[str, str] = field(repr=False)

    def folder(self, topic: str) -> Path:
        """The folder that the commands of a page are run in."""
        commands = "\n".join(EXAMPLES[topic])
        if topic == "several-services":
            return self.root / "several"
        for sign, name in (("harness init", "new"), ("harness plan", "planned"), ("harness.toml", "planned")):
            if sign in commands:
                return self.root / name
        return self.root / ("checkout" if "locustfiles/" in commands else "bare")

    def run(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a block of a page, with this service and database in place of the page's."""
        script = script.replace("http://127.0.0.1:8000/openapi.json", self.scaffold.openapi)
        script = script.replace("http://127.0.0.1:8000", self.scaffold.host)
        url = self.scaffold.database_url
        for name in ("shop", "billing"):
            script = script.replace(f"postgresql://app@127.0.0.1/{name}", url.replace("/shop", f"/{name}"))
        own = {"MUL_DATABASE_URL": url} if folder.name != "checkout" else {}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**self.environment, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
        )


@pytest.fixture(scope="module")
def scaffold(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaffold]:
    log = tmp_path_factory.mktemp("scaffold") / "service.log"
    with running_scaffold(postgres.create_database("shop"), log) as running:
        yield running


@pytest.fixture(scope="module")
def project(scaffold: Scaffold, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with what one real run and its copies left behind."""
    root = tmp_path_factory.mktemp("project")
    for name in ("bare", "planned", "new", "several", "checkout", "several/billing"):
        (root / name).mkdir()
        (root / name / "alembic.ini").write_text(INI.read_text().replace("%(here)s", str(INI.parent)))
    (root / "checkout" / "locustfiles").symlink_to(ROOT / "locustfiles")
    project = Project(root, scaffold, _environment(scaffold))
    for name in ("bare", "planned", "several"):
        _fill(root / name)
    (root / "planned" / "harness.toml").write_text(PLAN.format(host=scaffold.host))
    (several,) = re.findall(
        r"^```toml\n(.*?)^```$.*?^```sh", page("several-services"), re.MULTILINE | re.DOTALL
    )
    (root / "several" / "harness.toml").write_text(several)
    made = project.run("locust -f locustfile.py --headless --upgrade harmless", root / "planned")
    assert (root / "planned" / "runs" / "latest" / "verdict.json").is_file(), made.stdout
    back = project.run("alembic downgrade released", root / "planned")
    assert back.returncode == 0, back.stdout
    shutil.copytree(root / "planned" / "runs", root / "bare" / "runs", symlinks=True)
    for earlier in EARLIER:
        shutil.copytree(root / "bare" / "runs" / "latest", root / "bare" / "runs" / earlier)
    project.environment["MUL_DRY_RUN"] = "true"
    return project


def _environment(scaffold: Scaffold) -> dict[str, str]:
    """Of a person whose virtual environment is active, and who has PostgreSQL's programs and a password."""
    parts = urlsplit(scaffold.database_url)
    programs = (Path(sys.executable).parent, find_binaries().bin_dir)
    return {
        **without_test_settings(),
        **SHORT,
        "DATABASE_URL": scaffold.database_url,
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PGHOST": str(parts.hostname),
        "PGPORT": str(parts.port),
        "PGUSER": str(parts.username),
        "PGPASSWORD": str(parts.password),
        "PYTEST_ADDOPTS": "--collect-only",
    }


def _fill(folder: Path) -> None:
    """The files that the pages name."""
    (folder / "locustfile.py").write_text(_blocks("own-service", "python")[0])
    (folder / "accounts.csv").write_text("\n".join(["username,password", *(f"a{n},s" for n in range(50))]))
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)


def test_there_are_examples() -> None:
    assert sum(map(len, EXAMPLES.values())) > 20


@pytest.mark.parametrize("topic", [topic for topic, blocks in EXAMPLES.items() if blocks])
def test_the_commands_of_a_page_work(topic: str, project: Project) -> None:
    for script in EXAMPLES[topic]:
        judging = re.match(r"harness (analyze|compare)", script)
        for command in script.splitlines() if judging else [script]:
            done = project.run(command, project.folder(topic))
            assert done.returncode in ((0, 1, 4) if judging else (0,)), f"{command}\n{done.stdout}"
            assert "Traceback" not in done.stdout
