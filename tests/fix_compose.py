"""The stack of compose/compose.yaml, from images built for it, with a name and ports of the tests' own.

`.ci/docker-engine` sees to it that `docker compose` is there.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.db.local_server import free_port
from tests.containers import stand_ins
from tests.containers.images import Index, build

ROOT = Path(__file__).parents[1]
UP = "docker compose -f compose/compose.yaml --profile services up --detach --wait"
DOWN = "docker compose -f compose/compose.yaml --profile '*' down --volumes"
LOGS = "docker compose -f compose/compose.yaml --profile services logs --tail 20"
RUN = "docker compose -f compose/compose.yaml --profile services --profile load run --rm load"
WITH_WEB_PAGE = (
    "docker compose -f compose/compose.yaml --profile services --profile load"
    " up --detach --wait --scale worker=2"
)
UP_WITH_BOTH = (
    "docker compose -f compose/compose.yaml --profile services --profile pooler --profile replica"
    " up --detach --wait"
)
RUN_WITH_REPLICA = (
    "docker compose -f compose/compose.yaml --profile services --profile load run --rm"
    " -e MUL_REPLICA_URL_FILE=/run/secrets/replica_url load"
)
APART = "docker compose -f compose/compose.yaml -f compose/apart.yaml"
RUN_APART = f"{APART} --profile services --profile load run --rm load"
DOWN_APART = f"{APART} --profile '*' down --volumes"
CALLER = (os.getuid(), os.getgid()) if os.getuid() else (1234, 1234)
"""Whose the run directories are to be: never root's."""


@dataclass
class Stack:
    """The stack: commands as README has them, with what keeps it apart from another one."""

    project: str
    runs: Path
    port: int
    web_port: int
    up_s: float = 0.0

    def __call__(self, command: str, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of README's to its end, with flags behind it, and with `more` in the environment."""
        environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "MUL_PORT": str(self.port),
            "MUL_ROWS": "5000",
            "MUL_RUNS": str(self.runs),
            "MUL_USER": "{}:{}".format(*CALLER),
            "MUL_WEB_PORT": str(self.web_port),
        }
        return subprocess.run(
            [*shlex.split(command), *flags],
            cwd=ROOT,
            env={**os.environ, **environment, **more},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def containers(self, client: Any) -> list[Any]:
        """Its containers, ended ones too."""
        filters = {"label": f"com.docker.compose.project={self.project}"}
        found: list[Any] = client.containers.list(all=True, filters=filters)
        return found

    def left(self, client: Any) -> list[str]:
        """The names of all that there is of it."""
        filters = {"label": f"com.docker.compose.project={self.project}"}
        networks, volumes = client.networks.list(filters=filters), client.volumes.list(filters=filters)
        return [thing.name for thing in [*self.containers(client), *networks, *volumes]]


@pytest.fixture(scope="session")
def package_index(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Index | None:
    """Builds the project's images; the package index that they were built from, if it was the tests' own."""
    return build(engine, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def images(engine: Any, package_index: Index | None) -> None:
    """What the stack is made of."""
    stand_ins.postgres(engine, "18")
    stand_ins.valkey(engine)
    stand_ins.haproxy(engine)
    stand_ins.pgbouncer(engine)


@contextmanager
def a_stack(engine: Any, runs: Path, down: str) -> Iterator[Stack]:
    """A stack that the command `down` ends; afterwards nothing may be left of it."""
    os.chown(runs, *CALLER)
    stack = Stack(f"mul-test-{secrets.token_hex(4)}", runs, free_port(), free_port())
    try:
        yield stack
        assert stack.left(engine)
    finally:
        done = stack(down)
    assert (done.returncode, stack.left(engine)) == (0, [])


@pytest.fixture(scope="module")
def stack(engine: Any, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up and well."""
    with a_stack(engine, tmp_path_factory.mktemp("runs"), DOWN) as stack:
        begun = time.monotonic()
        up = stack(UP)
        stack.up_s = time.monotonic() - begun
        assert up.returncode == 0, up.stderr[-2000:] + stack(LOGS).stdout
        yield stack


@pytest.fixture
def stack_apart(engine: Any, images: None, tmp_path: Path) -> Iterator[Stack]:
    """The stack whose accounts are a service of their own, not yet up."""
    with a_stack(engine, tmp_path, DOWN_APART) as stack:
        yield stack
