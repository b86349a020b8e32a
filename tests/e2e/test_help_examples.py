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

EXAMPLES = {
    topic: re.findall(r"^```sh\n(.*?)^```$", page(topic), re.MULTILINE | re.DOTALL) for topic in topics()
}

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

    `bare` has the files that pages name, `planned` a plan file too, `new` only Alembic's; `checkout` is one
    of this repository.
    """

    root: Path
    scaffold: Scaffold
    environment: dict[str, str] = field(repr=False)

    def folder(self, topic: str) -> Path:
        """The folder that the commands of a page are run in."""
        commands = "\n".join(EXAMPLES[topic])
        for sign, name in (("harness init", "new"), ("harness plan", "planned"), ("harness.toml", "planned")):
            if sign in commands:
                return self.root / name
        return self.root / ("checkout" if "locustfiles/" in commands else "bare")

    def run(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a block of a page, with this service and database in place of the page's."""
        script = script.replace("http://127.0.0.1:8000/openapi.json", self.scaffold.openapi)
        script = script.replace("http://127.0.0.1:8000", self.scaffold.host)
        script = script.replace("postgresql://app@127.0.0.1/shop", self.scaffold.database_url)
        own = {"MUL_DATABASE_URL": self.scaffold.database_url} if folder.name != "checkout" else {}
        return subprocess.run(
            ["bash", "-uo", "pipefail", "-c", script],
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
    for name in ("bare", "planned", "new", "checkout"):
        (root / name).mkdir()
        (root / name / "alembic.ini").write_text(INI.read_text().replace("%(here)s", str(INI.parent)))
    (root / "checkout" / "locustfiles").symlink_to(ROOT / "locustfiles")
    project = Project(root, scaffold, _environment(scaffold))
    _fill(root / "bare")
    _fill(root / "planned")
    (root / "planned" / "harness.toml").write_text(PLAN.format(host=scaffold.host))
    made = project.run("locust -f locustfile.py --headless --upgrade harmless", root / "planned")
    assert (root / "planned" / "runs" / "latest" / "verdict.json").is_file(), made.stdout
    project.run("alembic downgrade released", root / "planned")
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
    locustfile = re.findall(r"^```python\n(.*?)^```$", page("own-service"), re.MULTILINE | re.DOTALL)[0]
    (folder / "locustfile.py").write_text(locustfile)
    (folder / "accounts.csv").write_text("\n".join(["username,password", *(f"a{n},s" for n in range(50))]))
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)


def test_there_are_examples() -> None:
    assert sum(map(len, EXAMPLES.values())) > 20


@pytest.mark.parametrize("topic", [topic for topic, blocks in EXAMPLES.items() if blocks])
def test_the_commands_of_a_page_work(topic: str, project: Project) -> None:
    for script in EXAMPLES[topic]:
        done = project.run(script, project.folder(topic))
        judging = re.search(r"^harness (analyze|compare)", script, re.MULTILINE)
        assert done.returncode in ((0, 1, 4) if judging else (0,)), f"{script}\n{done.stdout}"
