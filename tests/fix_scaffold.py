"""The scaffolded service of tests/services, served as its team would, on a database of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.clock import wait_until
from harness.run.http import open_url

SCAFFOLD = Path(__file__).parent / "services" / "scaffold"
INI = SCAFFOLD / "alembic.ini"
HEALTHY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Scaffold:
    """The running service, and the database behind it."""

    host: str
    database_url: str = field(repr=False)

    @property
    def openapi(self) -> str:
        """Where it serves its document."""
        return f"{self.host}/api/v1/openapi.json"

    @property
    def environment(self) -> dict[str, str]:
        """What its env.py and the harness need to find the database."""
        return {"DATABASE_URL": self.database_url, "MUL_DATABASE_URL": self.database_url}

    def alembic(self, *arguments: str) -> None:
        """Migrate its database as its team would; fails with the command's output."""
        command = [sys.executable, "-m", "alembic", "-c", str(INI), *arguments]
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def running_scaffold(database_url: str, log: Path) -> Iterator[Scaffold]:
    """The service at its released schema."""
    environment = {**os.environ, "DATABASE_URL": database_url}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(SCAFFOLD), "main:app", "--port", str(port)]
    scaffold = Scaffold(f"http://127.0.0.1:{port}", database_url)
    scaffold.alembic("upgrade", "released")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*uvicorn, "--log-level", "warning"], env=environment, stdout=output, stderr=output
        )
    try:
        healthy = wait_until(lambda: process.poll() is not None or _answers(scaffold), HEALTHY_WITHIN_S)
        assert healthy, log.read_text()
        assert process.poll() is None, log.read_text()
        yield scaffold
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(scaffold: Scaffold) -> bool:
    try:
        with open_url(scaffold.openapi, 2) as answer:
            return answer.status == 200
    except OSError:
        return False
