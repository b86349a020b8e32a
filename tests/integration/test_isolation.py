"""Accounts set on each other's records, and forged tokens: the reference service refuses all of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import gevent
import psycopg
import pytest
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.bodies import canary, new_id
from harness.core.declaration import Declaration
from harness.core.isolation import RECORD_PROBES, TOKEN_PROBES, Isolation, judge_isolation
from harness.core.record import Probe
from harness.core.stream import Stream
from harness.db.server import EmbeddedServer
from harness.load import stream_probes
from harness.load.accounts import AccountPool, Actor, RunAccounts
from harness.load.auth import Login
from harness.load.client import MeasuredSession
from harness.load.isolation import probe_isolation
from harness.load.messages import IsolationOrder, RunSettings
from harness.load.recorder import recorder
from harness.load.stream_probes import open_for_later, opened, probe_stream
from harness.load.token_auth import PasswordGrant, Revoke
from harness.load.token_probes import outliving
from tests.fix_target import PASSWORD, Service, running_service, seed
from tests.unit.load.shop import AUTH as SHOP_AUTH
from tests.unit.load.shop import PEM, Shop

pytestmark = pytest.mark.integration

AUTH = PasswordGrant(
    "/token",
    scope="read write",
    read_scope="read",
    revoke=Revoke("/token/revoke", by="json"),
    jwks="/.well-known/jwks.json",
    signing_key="TARGET_SIGNING_KEY",
    leeway_s=0.0,
)
DOCUMENTS = Declaration(
    "/documents",
    create={"id": new_id, "title": canary, "body": canary("more")},
    version="version",
    page="limit/after",
    created={201},
    refusals={404},
)


class Person:
    account_name = "account-{:04}"
    account_password = PASSWORD
    stream = Stream("/ws", record="document", ends_with_token=True)


class Silent:
    """A user to whom nothing is pushed."""

    account_name = "account-{:04}"
    account_password = PASSWORD


def an_actor(base: str, number: int, auth: PasswordGrant, user: Person | Silent) -> Actor:
    account = Account(user.account_name.format(number), PASSWORD)
    login = Login(auth, account, MeasuredSession(base, EventHook()))
    login.credentials(login.session.unrecorded)
    return Actor(login, (DOCUMENTS,), "/documents", user=user)


@contextmanager
def recording() -> Iterator[list[dict[str, Any]]]:
    """What is said of isolation meanwhile."""
    lines: list[dict[str, Any]] = []
    recorder.begin("w", RunSettings("run", "run", 1, 1, None, 0, 1, 1), monotonic())
    try:
        yield lines
        lines += [line for _, line in recorder.take(monotonic()).lines]
    finally:
        recorder.end()
        outliving.cache_clear()
        opened.cache_clear()


def probed(base: str, auth: PasswordGrant, user: Person | Silent) -> Isolation:
    """One pass over two accounts, with a third whose session nobody minds."""
    run = RunAccounts(AccountPool(27))
    assert run.pool.take() == 1
    with recording() as lines:
        for number in (28, 29):
            actor = an_actor(base, number, auth, user)
            run.actors[actor.login.account.name] = actor
        probe_isolation(run, "run", IsolationOrder(1e9, 30.0, own_accounts=False), Random(1))
        for actor in run.actors.values():
            actor.login.session.close()
    return judge_isolation(0, [Probe(**line) for line in lines])


def test_the_reference_service_refuses_everything(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(service.database_url) as connection:
        [pem] = connection.execute("SELECT private_pem FROM signing_keys").fetchone() or [""]
    monkeypatch.setenv("TARGET_SIGNING_KEY", pem)
    found = probed(service.anonymous.base, AUTH, Person())
    rows = {row.probe: row for row in found.rows if row.tried}
    assert set(rows) == {*RECORD_PROBES, *TOKEN_PROBES} - {
        "altered_token",
        "stream_outlived_token",
    }
    assert {kind: (row.refused, row.succeeded, row.errors) for kind, row in rows.items()} == {
        kind: (row.tried, 0, 0) for kind, row in rows.items()
    }
    assert (found.leaks, found.forged_accepted, found.errors, found.forged_errors) == (0, 0, 0, 0)
    assert found.controls >= 8
    with psycopg.connect(service.database_url) as connection:
        left = connection.execute("SELECT count(*) FROM documents WHERE title LIKE '%.probe%'").fetchone()
    assert left == (0,)


@pytest.mark.parametrize(("fault", "said"), [("", "refused"), ("accept-any-token", "accepted")])
def test_a_stream_that_outlives_its_token_is_found(
    postgres: EmbeddedServer, fault: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET_SIGNING_KEY", PEM)
    monkeypatch.setattr(stream_probes, "_SHORT_S", 2.0)
    database_url = postgres.create_database(f"outlived_{said}")
    seed(database_url, rows=30, accounts=3)
    with (
        running_service(database_url, tmp_path / "log", SIGNING_KEY=PEM, FAULT=fault) as service,
        recording() as lines,
    ):
        actor = an_actor(service.anonymous.base, 1, AUTH, Person())
        for _ in range(2):
            open_for_later(actor, "run", lambda: None)
            known = opened("run")["account-0001"]
            gevent.sleep(max(0.0, known.ends_at + 0.1 - monotonic()))
            while not fault and known.listener.ended_at is None and monotonic() < known.ends_at + 10.0:
                gevent.sleep(0.02)
            for one in probe_stream(actor, None, DOCUMENTS, outliving("run"), "run", lambda: None):
                recorder.probe(*one)
        actor.login.session.close()
    found = [line["outcome"] for line in lines if line.get("probe") == "stream_outlived_token"]
    assert found == [said, said]


@contextmanager
def serving(shop: Shop) -> Iterator[str]:
    """The address at which a shop answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one segment, or each answer waits for an acknowledgement

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            payload: dict[str, Any] = {"headers": dict(self.headers)}
            if self.headers.get("Content-Type") == "application/json":
                payload["json"] = json.loads(body)
            else:
                payload["data"] = dict(parse_qsl(body))
            response = shop.answer(self.command, self.path, payload)
            content = b"" if response.status_code == 204 else response.content
            self.send_response(response.status_code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as http.server calls them

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


@pytest.mark.parametrize(
    ("careless", "found_by"),
    [
        (set(), set()),
        ({"read"}, {"foreign_read"}),
        ({"update"}, {"foreign_update"}),
        ({"delete"}, {"foreign_delete"}),
        ({"body"}, {"swapped_id"}),
        ({"none"}, {"alg_none"}),
        ({"confusion"}, {"key_confusion"}),
        ({"expiry"}, {"expired_token"}),
        ({"audience"}, {"wrong_audience"}),
        ({"issuer"}, {"wrong_issuer"}),
        ({"scope"}, {"missing_scope"}),
        ({"revocation"}, {"revoked_token"}),
    ],
)
def test_a_careless_service_is_found_by_the_probe_of_its_kind(
    careless: set[str], found_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", PEM)
    with serving(Shop(careless)) as base:
        found = probed(base, SHOP_AUTH, Silent())
    assert {row.probe for row in found.rows if row.succeeded} == found_by
    assert bool(found.leaks or found.forged_accepted) == bool(found_by)
