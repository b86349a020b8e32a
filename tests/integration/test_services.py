"""What a run drives: found, started, seen dying, stopped."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from harness import environ
from harness.clock import utc_now, wait_until
from harness.core.plan import Plan
from harness.db.server import sweep
from harness.errors import SetupError
from harness.run import services
from harness.run.signing_key import provide_signing_key
from harness.store import RunDirectory

pytestmark = pytest.mark.integration


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that is taken and on which nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    directory = RunDirectory.create(Plan(run_root=str(tmp_path)), utc_now())
    yield directory
    directory.close()


def _not_found(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_error(404)


def _signing_key(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT private_pem FROM signing_keys").fetchone()
    assert row is not None
    return str(row[0])


def test_any_answer_of_the_given_service_will_do() -> None:
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {"do_GET": _not_found})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        assert services.given_services(Plan(host=host)).host == host
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_silent_service_is_named(silent_port: int, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "HEALTHY_WITHIN_S", 1.0)
    with pytest.raises(SetupError, match=f"Nothing answers at {scheme}://127.0.0.1:{silent_port}"):
        services.given_services(Plan(host=f"{scheme}://127.0.0.1:{silent_port}"))


def test_a_service_of_another_protocol_need_only_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        assert services.given_services(Plan(host=host)).host == host


def test_the_demo_serves_its_database_and_stops(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else in the environment is for another service. It signs with the key of the load."""
    monkeypatch.setattr(environ, "_provided", set())
    monkeypatch.setenv("MUL_TARGET_SIGNING_KEY", "")
    provide_signing_key()
    monkeypatch.setenv("MUL_TARGET_CACHE_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("MUL_TARGET_ROLE", "api")
    started = services.start_demo(Plan(rows=1000), directory)
    processes = [psutil.Process(pid) for pid in started.pids().values()]
    try:
        assert started.died() is None
        assert started.database_url is not None
        assert _signing_key(started.database_url) == environ.variable("MUL_TARGET_SIGNING_KEY")
        with psycopg.connect(started.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM documents").fetchone() == (1000,)
    finally:
        started.stop()
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


def test_the_demo_has_a_standby_of_its_database_that_ends_with_it(directory: RunDirectory) -> None:
    started = services.start_demo(Plan(rows=10, standby=True), directory)
    processes = [psutil.Process(pid) for pid in started.pids().values()]
    try:
        assert started.replica_url is not None
        with psycopg.connect(started.replica_url) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            assert connection.execute("SELECT count(*) FROM documents").fetchone() == (10,)
    finally:
        started.stop()
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert (len(processes), alive) == (3, [])


def test_the_demo_is_served_with_a_cache_that_ends_with_it(directory: RunDirectory) -> None:
    started = services.start_demo(Plan(rows=10, cache="auto"), directory)
    try:
        assert started.cache is not None
        with urllib.request.urlopen(f"{started.host}/health") as answer:
            assert json.load(answer)["notifications"] == "cache"
        assert started.died() is None
        started.cache.stop()
        assert started.died() == "cache died"
    finally:
        started.stop()


def test_a_service_that_dies_is_noticed(directory: RunDirectory) -> None:
    started = services.start_demo(Plan(rows=1000), directory)
    try:
        psutil.Process(started.pids()["service"]).kill()
        assert wait_until(lambda: started.died() == "service died", within=5)
    finally:
        started.stop()


def test_a_port_in_use_shows_the_end_of_the_services_log(directory: RunDirectory) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SetupError, match="address already in use"),
    ):
        services.start_demo(Plan(rows=1000), directory, port=taken.getsockname()[1])


def test_a_port_in_use_cannot_be_shared_by_instances(directory: RunDirectory) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SetupError, match="cannot be listened on: Address already in use"),
    ):
        services.start_demo(Plan(rows=1000, instances=2), directory, port=taken.getsockname()[1])


ABANDON = """
import os, signal, sys
from harness import environ
from harness.clock import utc_now
from harness.core.plan import Plan
from harness.run.services import start_demo
from harness.store import RunDirectory
plan = Plan(rows=1000, standby=True, run_root=sys.argv[1])
print(*start_demo(plan, RunDirectory.create(plan, utc_now())).pids().values(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_harness_leaves_no_service_and_no_server_after_the_next_start(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", ABANDON, str(tmp_path)], capture_output=True, text=True, check=False
    )
    postgresql, standby, service = map(int, killed.stdout.split())
    assert wait_until(lambda: _is_gone(service), within=10)
    sweep()
    assert wait_until(lambda: _is_gone(postgresql) and _is_gone(standby), within=10)


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


KEEP = """
import sys
from harness import environ
from harness.clock import utc_now
from harness.core.plan import Plan
from harness.db.server import sweep
from harness.run.services import start_demo
from harness.store import RunDirectory
plan = Plan(rows=1000, run_root=sys.argv[1])
started = start_demo(plan, RunDirectory.create(plan, utc_now()))
print(started.keep_database())
started.stop()
"""


def test_a_kept_database_outlives_its_run_until_the_next(tmp_path: Path) -> None:
    kept = subprocess.run(
        [sys.executable, "-c", KEEP, str(tmp_path)], capture_output=True, text=True, check=True
    )
    words = kept.stdout.split()
    password_file, port = Path(words[0].removeprefix("PGPASSFILE=")), words[words.index("-p") + 1]
    where = f"host=127.0.0.1 port={port} user=postgres dbname=shop passfile={password_file}"
    try:
        assert password_file.stat().st_mode & 0o077 == 0
        with psycopg.connect(where) as connection:
            assert connection.execute("SELECT count(*) FROM documents").fetchone() == (1000,)
    finally:
        assert password_file.parent in sweep()
