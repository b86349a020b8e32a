"""The project's own images, built from compose/Dockerfile as a person builds them."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.containers import stand_ins

__all__ = ["BUILT", "Index", "build", "builder", "package_index"]

ROOT = Path(__file__).parents[2]
BUILT = ("service", "harness")
"""The targets of the Dockerfile; the images are migrate-under-load/TARGET."""


class Index:
    """A package index that asks for a password: where it is, and what pip must be told."""

    def __init__(self, port: int, password: str) -> None:
        self.password = password
        self.pip_conf = f"[global]\nno-index = true\nfind-links = http://pip:{password}@127.0.0.1:{port}/\n"


class _Files(SimpleHTTPRequestHandler):
    """A folder, for who knows the password."""

    def __init__(self, *given: Any, password: str, **named: Any) -> None:
        self._expected = f"Basic {base64.b64encode(f'pip:{password}'.encode()).decode()}"
        super().__init__(*given, **named)

    def do_GET(self) -> None:
        if self.headers.get("Authorization") == self._expected:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing: the tests' output is the tests' own."""


@contextmanager
def package_index(folder: Path, packages: Sequence[str]) -> Iterator[Index]:
    """Packages and all that they need, as wheels for this machine, behind a password on 127.0.0.1."""
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", str(folder), *packages]
    done = subprocess.run(wheel, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    password = secrets.token_urlsafe(12)
    handler = partial(_Files, directory=str(folder), password=password)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Index(server.server_port, password)
        finally:
            server.shutdown()
            thread.join()


def builder() -> tuple[str, ...]:
    """The command of a client that builds with BuildKit: one with buildx, else one from before version 23."""
    for folder in os.get_exec_path():
        client = Path(folder) / "docker"
        if not client.exists():
            continue
        if subprocess.run([client, "buildx", "version"], capture_output=True).returncode == 0:
            return str(client), "buildx", "build", "--load"
        said = subprocess.run(
            [client, "version", "--format", "{{.Client.Version}}"], capture_output=True, text=True
        )
        if int(said.stdout.split(".")[0]) < 23:
            return str(client), "build"
    raise AssertionError("no client on the PATH builds with BuildKit: install docker-buildx")


def build(client: Any, folder: Path) -> Index | None:
    """Have both images; returns the index that they were built from, if it was one of ours. It has ended.

    An official base image has another C library than this machine, so it gets its packages from elsewhere.
    """
    base = stand_ins.python(client)
    if stand_ins.LABEL not in (client.images.get(base).labels or {}):
        _build(base, [])
        return None
    with package_index(folder / "wheels", [".[service]", "hatchling"]) as index:
        pip_conf = folder / "pip.conf"
        pip_conf.write_text(index.pip_conf)
        _build(base, ["--network", "host", "--secret", f"id=pip,src={pip_conf}"])
    return index


def _build(base: str, options: Sequence[str]) -> None:
    for target in BUILT:
        command = [*builder(), "--build-arg", f"PYTHON_IMAGE={base}", *options, "--target", target]
        done = subprocess.run(
            [*command, "-f", "compose/Dockerfile", "-t", f"migrate-under-load/{target}", "."],
            cwd=ROOT,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
