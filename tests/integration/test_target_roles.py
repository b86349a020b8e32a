"""Accounts and what they keep, served apart: two processes, two databases, two histories."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest

from harness.clock import wait_until
from harness.db.server import EmbeddedServer
from tests.fix_target import PASSWORD, Client, Service, environment_of, run_alembic, running_service, seed
from tests.integration.test_target_websocket import connected

pytestmark = pytest.mark.integration

ROLES = {"auth": ["auth1", "auth2"], "api": ["api1", "api2"]}


@dataclass(frozen=True)
class Pair:
    auth: Service
    api: Service

    def sign_in(self, name: str) -> Client:
        return self.api.anonymous.with_token(self.auth.sign_in(name).token)

    def register(self) -> str:
        name = f"apart-{uuid.uuid4().hex[:12]}"
        assert self.auth.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
        return name


@pytest.fixture(scope="module")
def pair(
    postgres: EmbeddedServer, cache_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    urls = {role: postgres.create_database(f"target_{role}") for role in ROLES}
    for role, url in urls.items():
        seed(url, rows=40, accounts=4, role=role)
    logs = tmp_path_factory.mktemp("target")
    with ExitStack() as running:
        auth = running.enter_context(
            running_service(urls["auth"], logs / "auth.log", role="auth", CACHE_URL=cache_url)
        )
        api = running.enter_context(
            running_service(
                urls["api"],
                logs / "api.log",
                role="api",
                CACHE_URL=cache_url,
                AUTH_URL=f"http://127.0.0.1:{auth.port}",
            )
        )
        yield Pair(auth, api)


def test_each_serves_its_own(pair: Pair) -> None:
    assert [each.anonymous.get("/health").json["role"] for each in (pair.auth, pair.api)] == ["auth", "api"]
    person = pair.sign_in("account-0001")
    assert person.get("/documents").status == 200
    assert pair.auth.anonymous.with_token(person.token).get("/documents").status == 404
    assert pair.api.request_token("account-0001").status == 404


def test_a_seeded_account_has_its_documents_and_wallets(pair: Pair) -> None:
    person = pair.sign_in("account-0002")
    assert len(person.get("/documents?limit=100").json["items"]) == 10
    assert len(person.get("/wallets").json) == 3


def test_an_account_that_registers_is_known_to_the_api_from_its_first_request(pair: Pair) -> None:
    person = pair.sign_in(pair.register())
    assert [wallet["balance"] for wallet in person.get("/wallets").json] == [10_000] * 3
    document = person.create_document()
    assert person.get(f"/documents/{document}").status == 200
    assert pair.sign_in("account-0001").get(f"/documents/{document}").status == 404


def test_a_token_that_was_revoked_at_the_one_is_refused_by_the_other(pair: Pair) -> None:
    person = pair.sign_in("account-0003")
    assert person.get("/wallets").status == 200
    with connected(pair.api, person.token) as socket:
        assert socket.receive()["type"] == "welcome"
    assert pair.auth.anonymous.post("/token/revoke", {"token": person.token}).status == 200
    assert person.get("/wallets").status == 401


def test_a_token_that_somebody_else_signed_is_refused(pair: Pair, service: Service) -> None:
    assert pair.api.anonymous.with_token(service.sign_in("account-0001").token).get("/wallets").status == 401


def test_the_key_is_rotated_for_both(pair: Pair, cache_url: str) -> None:
    person = pair.sign_in("account-0004")
    assert person.get("/wallets").status == 200
    subprocess.run(
        [sys.executable, "-m", "harness.target", "rotate-keys"],
        env=environment_of(pair.auth.database_url, CACHE_URL=cache_url),
        check=True,
    )
    assert wait_until(lambda: person.get("/wallets").status == 401, within=10)
    assert pair.sign_in("account-0004").get("/wallets").status == 200


@pytest.mark.migration
def test_each_has_a_history_of_its_own_that_goes_up_and_down(postgres: EmbeddedServer) -> None:
    for role, revisions in ROLES.items():
        url = postgres.create_database(f"history_{role}")
        for target in ("head", "base", "head"):
            run_alembic(url, "downgrade" if target == "base" else "upgrade", target, role=role)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
                (revisions[-1],)
            ]
