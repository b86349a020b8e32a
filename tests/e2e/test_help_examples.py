"""Every command of the help pages is run as it stands, in a project like the one they speak of.

Runs print their plan and stop there (`MUL_DRY_RUN`), which reads all their flags and files; what a run needs
to look at has been made by one real run. The suite that a page starts only collects its tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.db.server import EmbeddedServer
from harness.help import page, topics
from tests.fix_run import ROOT, without_test_settings
from tests.fix_scaffold import INI, Scaffold, running_scaffold

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

EXAMPLES = {
    topic: re.findall(r"^```sh\n(.*?)^```$", page(topic), re.MULTILINE | re.DOTALL) for topic in topics()
}

SHORT = {"MUL_WARMUP_TIME": "2s", "MUL_BASELINE_TIME": "5s", "MUL_RECOVER_TIME": "5s", "MUL_PROBE_TIME": "0s"}

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
    """The folder of somebody's project, and what its commands find in their environment."""

    folder: Path
    scaffold: Scaffold
    environment: dict[str, str] = field(repr=False)

    def run(self, script: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a block of a page, with this service and database in place of the page's."""
        script = script.replace("http://127.0.0.1:8000/openapi.json", self.scaffold.openapi)
        script = script.replace("http://127.0.0.1:8000", self.scaffold.host)
        script = script.replace("postgresql://app@127.0.0.1/shop", self.scaffold.database_url)
        return subprocess.run(
            ["bash", "-uo", "pipefail", "-c", script],
            cwd=folder or self.folder,
            env=self.environment,
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
    """A project with the files that the pages name, in which one real run was made."""
    folder = tmp_path_factory.mktemp("project")
    locustfile = re.findall(r"^```python\n(.*?)^```$", page("own-service"), re.MULTILINE | re.DOTALL)[0]
    (folder / "locustfile.py").write_text(locustfile)
    (folder / "alembic.ini").write_text(INI.read_text().replace("%(here)s", str(INI.parent)))
    (folder / "accounts.csv").write_text("\n".join(["username,password", *(f"a{n},s" for n in range(50))]))
    (folder / "harness.toml").write_text(PLAN.format(host=scaffold.host))
    environment = {
        **without_test_settings(),
        **scaffold.environment,
        **SHORT,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "--collect-only",
    }
    project = Project(folder, scaffold, environment)
    made = project.run(
        "locust -f locustfile.py --headless --upgrade harmless || true; alembic downgrade released"
    )
    assert "verdict.json" in {file.name for file in (folder / "runs" / "latest").iterdir()}, made.stdout
    environment["MUL_DRY_RUN"] = "true"
    return project


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this repository's locustfiles, as in a checkout of it."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "locustfiles").symlink_to(ROOT / "locustfiles")
    return folder


def test_there_are_examples() -> None:
    assert sum(map(len, EXAMPLES.values())) > 20


@pytest.mark.parametrize("topic", [topic for topic, blocks in EXAMPLES.items() if blocks])
def test_the_commands_of_a_page_work(topic: str, project: Project, checkout: Path) -> None:
    for script in EXAMPLES[topic]:
        done = project.run(script, checkout if "locustfiles/" in script else None)
        judging = re.search(r"^harness (analyze|compare)", script, re.MULTILINE)
        assert done.returncode in ((0, 1, 4) if judging else (0,)), f"{script}\n{done.stdout}"
