"""Drills against the real server and the reference service: what breaks, breaks, and is whole again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from harness.clock import utc_now, wait_until
from harness.core.drills import parse
from harness.core.events import Kind
from harness.core.plan import Plan
from harness.db.clients import HeldReader, read_left_open
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run.cache_server import EmbeddedCache
from harness.run.drills import Noted
from harness.run.faults import (
    ExpireTokens,
    Fault,
    KillCache,
    KillService,
    PauseDatabase,
    RestartDatabase,
    TerminateBackends,
)
from harness.run.hold_reader import HoldReader
from harness.run.releases import NEXT, ask
from harness.run.services import Services, end_process, free_port, start_demo
from harness.store import RunDirectory
from tests.fix_target import PASSWORD, run_alembic

pytestmark = pytest.mark.integration


@dataclass
class Stage:
    """The demo's services, and one person who uses them."""

    services: Services
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    @property
    def server(self) -> EmbeddedServer:
        assert isinstance(self.services.server, EmbeddedServer)
        return self.services.server

    @property
    def url(self) -> DatabaseUrl:
        assert self.services.database_url is not None
        return DatabaseUrl.parse(self.services.database_url)

    def connect(self) -> psycopg.Connection:
        assert self.services.database_url is not None
        return psycopg.connect(self.services.database_url, autocommit=True)

    def noted(self, drill: str) -> Noted:
        return Noted(1, parse(drill), self.note)

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        self.events.append((kind, data))
        return time.monotonic() if at is None else at

    def measure(self, name: str, _pid: int) -> None:
        self.measured.append(name)

    def run(self, fault: Fault) -> dict[str, Any]:
        """Walk it to its end, beginning it unless it has begun; what its end says."""
        if not self.events:
            fault.begin()
        deadline = time.monotonic() + 60
        while not fault.ended and time.monotonic() < deadline:
            time.sleep(0.02)
            fault.step()
        [end] = [data for kind, data in self.events if kind == Kind.DRILL_END]
        return end

    def token(self) -> dict[str, str]:
        form = {"grant_type": "password", "username": "account-0001", "password": PASSWORD}
        for _ in range(20):  # each connection that a drill broke is met once
            answer = requests.post(f"{self.services.host}/token", data=form, timeout=10)
            if answer.status_code != 503:
                break
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json()
        return found

    def status(self, path: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.services.host}{path}", headers=headers, timeout=10).status_code

    def write(self, token: str) -> str:
        """A document that the service has acknowledged."""
        document = {"id": str(uuid.uuid4()), "title": "kept", "body": "kept"}
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.post(f"{self.services.host}/documents", json=document, headers=headers, timeout=10)
        assert answer.status_code == 201
        return document["id"]

    def await_status(self, path: str, token: str, status: int) -> None:
        deadline = time.monotonic() + 15
        while (found := self.status(path, token)) != status:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


@contextmanager
def demo(root: Path, plan: Plan) -> Iterator[Services]:
    directory = RunDirectory.create(replace(plan, run_root=str(root)), utc_now())
    started = start_demo(plan, directory)
    yield started
    started.stop()
    directory.close()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with demo(tmp_path_factory.mktemp("drills"), Plan(rows=300)) as started:
        yield started


@pytest.fixture
def stage(services: Services) -> Stage:
    assert services.died() is None
    return Stage(services)


@pytest.mark.parametrize("drill", ["restart-database", "restart-database=immediate"])
def test_a_restarted_database_has_all_that_was_acknowledged(stage: Stage, drill: str) -> None:
    token = stage.token()["access_token"]
    document, before = stage.write(token), stage.server.pid
    end = stage.run(
        RestartDatabase(stage.noted(drill), stage.services, stage.server, stage.measure, time.sleep)
    )
    assert end["done"] is True, end
    assert stage.server.pid != before
    assert stage.services.died() is None
    stage.await_status(f"/documents/{document}", token, 200)
    assert stage.measured == ["postgresql"]


def test_a_run_that_ends_in_the_middle_of_a_restart_leaves_the_database_up(stage: Stage) -> None:
    fault = RestartDatabase(
        stage.noted("restart-database"), stage.services, stage.server, stage.measure, time.sleep
    )
    fault.begin()
    fault.abort()
    assert stage.services.died() is None
    with stage.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def _states(pid: int) -> set[str]:
    root = psutil.Process(pid)
    return {process.status() for process in (root, *root.children(recursive=True))}


def test_a_paused_database_stands_still_for_its_time(stage: Stage) -> None:
    fault = PauseDatabase(stage.noted("pause-database=1s"), stage.server)
    fault.begin()
    assert wait_until(lambda: _states(stage.server.pid) == {psutil.STATUS_STOPPED}, 5)
    fault.step()
    assert fault.ended is False
    assert stage.run(fault)["done"] is True
    with stage.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture(autouse=True)
def resumed(stage: Stage) -> Iterator[None]:
    yield
    stage.server.resume()


def test_a_pause_does_not_outlast_the_run(stage: Stage) -> None:
    fault = PauseDatabase(stage.noted("pause-database=10min"), stage.server)
    fault.begin()
    fault.abort()
    assert wait_until(lambda: psutil.STATUS_STOPPED not in _states(stage.server.pid), 5)


def test_a_server_that_is_paused_can_be_stopped() -> None:
    server = EmbeddedServer.start()
    process = psutil.Process(server.pid)
    server.pause()
    server.stop()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_all_sessions_are_ended_but_the_harness_own_and_the_spared(stage: Stage) -> None:
    token = stage.token()["access_token"]
    url = stage.url.libpq()
    with (
        psycopg.connect(url, application_name="mul-run lock", autocommit=True) as ours,
        psycopg.connect(url, autocommit=True) as migration,
        psycopg.connect(url, autocommit=True) as somebody,
    ):
        spared = (migration.info.backend_pid,)
        end = stage.run(TerminateBackends(stage.noted("terminate-backends"), stage.url, lambda: spared))
        assert end["backends"] >= 2  # somebody's, and the service's
        assert ours.execute("SELECT 1").fetchone() == migration.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            somebody.execute("SELECT 1")
    stage.await_status("/wallets", token, 200)


@pytest.fixture
def meek(stage: Stage) -> DatabaseUrl:
    """The database as a role that may do nothing to others' sessions."""
    with stage.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS meek")
        connection.execute("CREATE ROLE meek LOGIN PASSWORD 'meek'")
    return DatabaseUrl.parse(f"postgresql://meek:meek@127.0.0.1:{stage.server.port}/shop")


def test_a_role_that_may_not_end_sessions_is_told_what_it_needs(stage: Stage, meek: DatabaseUrl) -> None:
    end = stage.run(TerminateBackends(stage.noted("terminate-backends"), meek, tuple))
    assert end["done"] is False
    assert "GRANT pg_signal_backend TO meek" in end["why"]


def test_a_killed_service_serves_again_with_the_tokens_it_had_issued(stage: Stage) -> None:
    token, before = stage.token()["access_token"], stage.services.pids()["service"]
    end = stage.run(KillService(stage.noted("kill-service"), stage.services, stage.measure, time.sleep))
    assert end["done"] is True, end
    assert stage.services.pids()["service"] != before
    assert not psutil.pid_exists(before)
    assert stage.status("/wallets", token) == 200


def test_a_killed_cache_is_used_again_and_a_revoked_token_stays_so(tmp_path: Path) -> None:
    with demo(tmp_path, Plan(rows=10, cache="auto")) as services:
        stage = Stage(services)
        assert services.cache is not None
        server = services.cache.server
        assert isinstance(server, EmbeddedCache)
        before = server.pid
        kept, revoked = stage.token()["access_token"], stage.token()["access_token"]
        requests.post(f"{services.host}/token/revoke", json={"token": revoked}, timeout=10).raise_for_status()
        end = stage.run(KillCache(stage.noted("kill-cache"), services, stage.measure, time.sleep))
        assert (end["done"], services.died()) == (True, None), end
        assert server.pid != before
        stage.await_status("/wallets", kept, 200)
        stage.await_status("/wallets", revoked, 401)
        assert requests.get(f"{services.host}/health", timeout=10).json()["notifications"] == "cache"


def test_expired_tokens_are_refused_and_everybody_can_log_in_again(stage: Stage) -> None:
    assert stage.services.target is not None
    old = stage.token()
    assert stage.run(ExpireTokens(stage.noted("expire-tokens"), stage.services.target))["done"] is True
    stage.await_status("/wallets", old["access_token"], 401)
    refreshed = requests.post(
        f"{stage.services.host}/token/refresh", json={"refresh_token": old["refresh_token"]}, timeout=10
    )
    assert refreshed.status_code == 401
    assert stage.status("/wallets", stage.token()["access_token"]) == 200


def _alter(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.execute("SET lock_timeout = '200ms'")
        connection.execute("ALTER TABLE documents ALTER title SET NOT NULL")


def test_a_held_reader_keeps_ddl_waiting_until_its_time_is_over(stage: Stage) -> None:
    began: list[bool] = []
    fault = HoldReader(stage.noted("hold-reader=1s"), stage.url, lambda: bool(began), lambda: False)
    fault.begin()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        _alter(stage)
    began.append(True)
    while not fault.ended:
        time.sleep(0.02)
        fault.step()
    with stage.connect() as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.execute("ALTER TABLE documents ALTER title SET NOT NULL")
    [end] = [data for kind, data in stage.events if kind == Kind.DRILL_END]
    assert (end["done"], end["tables"]) == (True, 9)


def test_a_reader_whose_session_is_ended_has_held_nothing(stage: Stage) -> None:
    fault = HoldReader(stage.noted("hold-reader=100ms"), stage.url, lambda: True, lambda: False)
    fault.begin()
    with stage.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mul-drill%'"
        )
    end = stage.run(fault)
    assert (end["done"], "ended before its time" in end["why"]) == (False, True)


def test_a_reader_can_hold_one_table_and_says_which_there_is_not(stage: Stage) -> None:
    reader = HeldReader.begin(stage.url, "public.wallets")
    assert reader.tables == ("public.wallets",)
    reader.end()
    reader.end()
    with pytest.raises(SetupError, match="could not hold nowhere"):
        HeldReader.begin(stage.url, "nowhere")


def test_what_clients_leave_open_is_counted(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1")
        time.sleep(0.15)
        assert read_left_open(stage.url, 0.1, 60.0).long_transactions == 1
        assert read_left_open(stage.url, 60.0, 90.0).long_transactions == 0
        assert read_left_open(stage.url, 0.01, 0.1).long_transactions == 0  # it was there before


def test_sessions_that_the_role_may_not_see_are_not_taken_for_none(stage: Stage, meek: DatabaseUrl) -> None:
    with stage.connect(), pytest.raises(SetupError, match="GRANT pg_monitor TO meek"):
        read_left_open(meek, 0.1, 60.0)


def _bad(answers: dict[str, int]) -> set[str]:
    return {name for name, status in answers.items() if not 200 <= status < 300}


@pytest.mark.parametrize("branch", ["safe", "unsafe"])
def test_releases_work_on_the_schemas_they_were_made_for(stage: Stage, branch: str, tmp_path: Path) -> None:
    """On a database of its own: the other tests' stays as it is."""
    database = stage.server.create_database(f"releases_{branch}")
    target = stage.services.target
    assert target is not None
    environment = {**target.environment, "MUL_TARGET_DATABASE_URL": database}
    run_alembic(database, "upgrade", "v1")
    own = replace(target, environment=environment, log=tmp_path / "service.log")
    ports = {"n": free_port(), NEXT: free_port()}
    processes = [own.serve(port, RELEASE=release) for release, port in ports.items()]
    bases = {release: f"http://127.0.0.1:{port}" for release, port in ports.items()}
    try:
        for base in bases.values():
            deadline = time.monotonic() + 20
            while not Services(base, None).answers():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert _bad(ask(bases["n"], "old")) == set()
        assert _bad(ask(bases[NEXT], "old-next")) == {"create", "list", "read", "update", "delete"}
        run_alembic(database, "upgrade", f"{branch}@head")
        assert _bad(ask(bases["n"], "new")) == set()
        assert _bad(ask(bases[NEXT], "new-next")) == set()
    finally:
        for process in processes:
            end_process(process)
