"""The reference service, started for tests: one for the session over a small database, or a test's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from harness.db.server import EmbeddedServer
from harness.target.settings import Settings
from harness.target.tokens import SigningKey, Tokens

PASSWORD = Settings.seed_password
HEALTHY_WITHIN_S = 30.0
INI = Path(__file__).parents[1] / "harness" / "target" / "alembic.ini"
ALEMBIC = [sys.executable, "-m", "alembic", "-c", str(INI)]


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    json: Any
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Client:
    """Requests to one service with one token."""

    base: str
    token: str | None = field(default=None, repr=False)

    def get(self, path: str) -> Answer:
        return self._send("GET", path)

    def post(self, path: str, json: Any = None, form: Mapping[str, str] | None = None) -> Answer:
        return self._send("POST", path, json=json, data=form)

    def put(self, path: str, json: Any) -> Answer:
        return self._send("PUT", path, json=json)

    def delete(self, path: str) -> Answer:
        return self._send("DELETE", path)

    def with_token(self, token: str | None) -> Client:
        return Client(self.base, token)

    def create_document(self, **content: Any) -> str:
        """A new document of the account; its id."""
        document = {"id": str(uuid.uuid4()), "title": "Title", "body": "Body", **content}
        assert self.post("/documents", document).status == 201
        return str(document["id"])

    def _send(self, method: str, path: str, **content: Any) -> Answer:
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        response = requests.request(method, self.base + path, headers=headers, timeout=60, **content)
        return Answer(response.status_code, response.json() if response.content else None, response.headers)


@dataclass(frozen=True)
class Service:
    """A running service and the database behind it."""

    port: int
    database_url: str = field(repr=False)

    @property
    def anonymous(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}")

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def sign_in(self, name: str, scope: str = "", password: str = PASSWORD) -> Client:
        answer = self.request_token(name, scope, password)
        assert answer.status == 200, answer
        return self.anonymous.with_token(answer.json["access_token"])

    def request_token(self, name: str, scope: str = "", password: str = PASSWORD) -> Answer:
        form = {"grant_type": "password", "username": name, "password": password, "scope": scope}
        return self.anonymous.post("/token", form=form)

    def tokens(self, issuer: str = Settings.issuer, audience: str = Settings.audience) -> Tokens:
        """Signs with the service's own key, to make tokens it must accept or refuse."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("SELECT key_id, private_pem FROM signing_keys").fetchone()
        assert row is not None
        return Tokens(SigningKey(*row), issuer, audience)


def run_alembic(database_url: str, *arguments: str, role: str = "all") -> None:
    """Alembic as the service's team runs it; fails with its output."""
    config = INI if role == "all" else INI.with_name(f"alembic-{role}.ini")
    _run([sys.executable, "-m", "alembic", "-c", str(config), *arguments], database_url)


def start_alembic(database_url: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The same, to go on while it runs."""
    return subprocess.Popen(
        [*ALEMBIC, *arguments], env=environment_of(database_url), stderr=subprocess.DEVNULL
    )


def seed(database_url: str, rows: int, accounts: int, role: str = "all") -> None:
    arguments = ["seed", "--rows", str(rows), "--accounts", str(accounts), "--role", role]
    _run([sys.executable, "-m", "harness.target", *arguments], database_url)


@contextmanager
def running_service(
    database_url: str,
    log: Path,
    workers: int = 1,
    healthy_status: int = 200,
    role: str = "all",
    flags: Sequence[str] = (),
    **settings: str,
) -> Iterator[Service]:
    """A service of `workers` processes whose /health answers `healthy_status`.

    `settings` are MUL_TARGET_* variables without the prefix.
    """
    service = Service(_free_port(), database_url)
    command = [sys.executable, "-m", "harness.target", "serve", "--port", str(service.port), "--role", role]
    environment = environment_of(database_url, **settings)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--workers", str(workers), *flags], env=environment, stdout=output, stderr=output
        )
    try:
        _await_health(service, process, log, healthy_status)
        yield service
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def service(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two processes over 300 documents of 30 accounts; tests keep to accounts of their own."""
    database_url = postgres.create_database("target_shared")
    seed(database_url, rows=300, accounts=30)
    log = tmp_path_factory.mktemp("target") / "service.log"
    with running_service(database_url, log, workers=2, ACCESS_TTL_S="77") as service:
        yield service


@pytest.fixture
def account(service: Service) -> Client:
    """A fresh account, signed in."""
    name = f"fresh-{uuid.uuid4().hex[:12]}"
    assert service.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
    return service.sign_in(name)


@pytest.fixture
def other_account(service: Service) -> Client:
    return service.sign_in("account-0001")


def _await_health(service: Service, process: subprocess.Popen[bytes], log: Path, status: int) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if service.anonymous.get("/health").status == status:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not healthy within {HEALTHY_WITHIN_S} s: {log.read_text()}")


def _run(command: list[str], database_url: str) -> None:
    done = subprocess.run(
        command, env=environment_of(database_url), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def environment_of(database_url: str, **settings: str) -> dict[str, str]:
    """`settings` are MUL_TARGET_* variables without the prefix."""
    named = {f"MUL_TARGET_{name}": value for name, value in settings.items()}
    return {**os.environ, "MUL_TARGET_DATABASE_URL": database_url, **named}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
