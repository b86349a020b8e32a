"""PostgreSQL in a container: a real engine starts it, and nothing of it is left."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.cli import main
from harness.clock import wait_until
from harness.core.backend import POSTGRES_VERSIONS
from harness.db.local_server import SETTINGS
from harness.errors import SetupError
from harness.run.docker_engine import LABEL, Engine
from harness.run.postgres_container import ContainerServer
from tests.containers import stand_ins
from tests.fix_docker import Leftovers

pytestmark = [pytest.mark.docker, pytest.mark.integration]

DIES = """
import os, signal, sys
from pathlib import Path
from harness.run import docker_engine, postgres_container

image, run_id, log, kind, step = sys.argv[1:]
kind = getattr(docker_engine, kind, None) or getattr(postgres_container, kind)
act = getattr(kind, step)

def die_after(*given, **named):
    act(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(kind, step, die_after)
postgres_container.ContainerServer.start(image, run_id=run_id, log=Path(log)).settle()
"""
"""A run that is killed right after one step: a method of a class."""


@pytest.fixture(scope="module")
def server(postgres_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerServer]:
    log = tmp_path_factory.mktemp("container") / "postgres.log"
    with ContainerServer.start(postgres_image, run_id="shared", log=log) as started:
        yield started


def ask(server: ContainerServer, question: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def test_the_doctor_finds_the_engine(
    engine: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUL_DATABASE_URL", raising=False)
    assert main(["doctor", "--services", "docker"]) == 0
    assert f"ok    Docker engine: version {engine.version()['Version']}" in capsys.readouterr().out


def test_it_has_the_settings_of_the_embedded_server(server: ContainerServer) -> None:
    for name, value in SETTINGS.items():
        assert ask(server, f"SHOW {name}") == value
    assert ask(server, "SHOW max_connections") == "200"
    assert ask(server, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'") == "C"


def test_it_listens_on_the_loopback_address_only(engine: Any, server: ContainerServer) -> None:
    (container,) = engine.containers.list(filters={"label": f"{LABEL}=shared"})
    published = container.attrs["NetworkSettings"]["Ports"]
    assert published == {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(server.port)}]}
    assert list(container.attrs["NetworkSettings"]["Networks"]) == ["mul-shared"]


def test_a_wrong_password_is_refused_and_the_right_one_not_shown(server: ContainerServer) -> None:
    password = server.url.split(":")[2].split("@")[0]
    assert password not in repr(server)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(password, "wrong"))


def test_its_process_is_known_where_the_engine_is_on_this_kernel(server: ContainerServer) -> None:
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}/comm").read_text().strip() == "postgres"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_after_a_restart_it_has_the_same_data_at_the_same_address(
    server: ContainerServer, how: signal.Signals
) -> None:
    with psycopg.connect(server.create_database(f"kept_{how.name.lower()}"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    starts = _starts(server)
    server.shut_down(how)
    assert wait_until(lambda: not server.alive(), 10)
    assert not server.answers()
    server.launch()
    assert wait_until(server.answers, 20)
    with psycopg.connect(server.database_url(f"kept_{how.name.lower()}")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert wait_until(lambda: _starts(server) == starts + 1, 5)


def _starts(server: ContainerServer) -> int:
    """How often its log says that it has started."""
    return server.log.read_text().count("database system is ready to accept connections")


def test_paused_it_answers_nobody_and_lives(server: ContainerServer) -> None:
    server.pause()
    try:
        assert server.alive()
        assert not server.answers()
    finally:
        server.resume()
    assert wait_until(server.answers, 5)
    server.resume()  # does nothing


def test_what_it_says_is_in_the_log(server: ContainerServer) -> None:
    ask(server, "SELECT 'a line' FROM pg_log_backend_memory_contexts(pg_backend_pid())")
    with pytest.raises(psycopg.errors.DivisionByZero):
        ask(server, "SELECT 1 / 0 -- said aloud")
    assert wait_until(lambda: "said aloud" in server.log.read_text(), 5)


def test_nothing_is_left_of_it(postgres_image: str, tmp_path: Path, leftovers: Leftovers) -> None:
    server = ContainerServer.start(postgres_image, run_id="gone", log=tmp_path / "postgres.log")
    assert len(leftovers.of("gone")) == 3  # a container, its network, and the volume of its data
    server.pause()
    server.stop()
    assert leftovers.of("gone") == []
    server.stop()  # does nothing


@pytest.mark.parametrize(
    ("step", "left"),
    [("Engine.network", 1), ("Engine.container", 3), ("Container.start", 3), ("ContainerServer.settle", 3)],
)
def test_what_a_killed_run_left_is_removed_at_the_next_start_and_a_living_ones_is_not(
    step: str, left: int, postgres_image: str, server: ContainerServer, tmp_path: Path, leftovers: Leftovers
) -> None:
    command = [sys.executable, "-c", DIES, postgres_image, "killed", str(tmp_path / "killed.log")]
    assert subprocess.run([*command, *step.split(".")], timeout=120).returncode == -signal.SIGKILL
    assert len(leftovers.of("killed")) == left
    with ContainerServer.start(postgres_image, run_id="next", log=tmp_path / "next.log"):
        assert not [name for name in leftovers.of("killed") if "killed" in name]
    assert leftovers.of("killed") == []
    assert server.answers()


@pytest.mark.parametrize("major", POSTGRES_VERSIONS)
def test_every_supported_version(major: str, engine: Any, tmp_path: Path, leftovers: Leftovers) -> None:
    image = stand_ins.postgres(engine, major)
    with ContainerServer.start(image, run_id="version", log=tmp_path / "postgres.log") as server:
        assert int(ask(server, "SHOW server_version_num")) // 10000 == int(major)
        server.settle()
    assert leftovers.of("version") == []


def test_kept_it_runs_on_after_its_process_and_the_command_opens_it(
    postgres_image: str, tmp_path: Path, leftovers: Leftovers, engine: Any
) -> None:
    server = ContainerServer.start(postgres_image, run_id="kept", log=tmp_path / "postgres.log")
    assert server.keep("postgres") == "docker exec -it mul-kept psql -U postgres postgres"
    server.stop()  # does nothing
    (container,) = engine.containers.list(filters={"label": f"{LABEL}=kept"})
    opened = container.exec_run("psql -U postgres postgres -tAc 'SELECT 42'")
    assert (opened.exit_code, opened.output) == (0, b"42\n")
    Engine.connect("kept").remove_all()
    assert leftovers.of("kept") == []


def test_a_port_that_somebody_took_meanwhile(
    postgres_image: str, tmp_path: Path, leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], free.getsockname()[1]]
        free.close()
        monkeypatch.setattr("harness.run.docker_engine.free_port", iter(ports).__next__)
        with ContainerServer.start(postgres_image, run_id="ports", log=tmp_path / "postgres.log") as server:
            assert server.port == ports[1]
    assert leftovers.of("ports") == []


def test_an_image_that_is_nowhere(tmp_path: Path, leftovers: Leftovers, engine: Any) -> None:
    with pytest.raises(SetupError, match="There is no image migrate-under-load-nowhere:1 here") as refused:
        ContainerServer.start("migrate-under-load-nowhere:1", run_id="nowhere", log=tmp_path / "postgres.log")
    assert "--postgres-image" in refused.value.remedy
    assert leftovers.of("nowhere") == []


def test_an_image_that_is_nowhere_is_built_from_the_dockerfile_given(
    postgres_image: str, tmp_path: Path, leftovers: Leftovers, engine: Any
) -> None:
    dockerfile, name = tmp_path / "Dockerfile.ours", "migrate-under-load-built:1"
    dockerfile.write_text(f"FROM {postgres_image}\nCOPY ours /ours\n")
    log = tmp_path / "postgres.log"
    with pytest.raises(SetupError, match=r"Dockerfile\.ours cannot be built.*ours"):
        ContainerServer.start(name, run_id="built", log=log, dockerfile=dockerfile)
    (tmp_path / "ours").touch()
    try:
        with ContainerServer.start(name, run_id="built", log=log, dockerfile=dockerfile) as server:
            assert server.image == f"{name} {engine.images.get(name).id}"
        with pytest.raises(SetupError, match="There is no Dockerfile"):
            ContainerServer.start(name, run_id="built", log=log, dockerfile=tmp_path / "Dockerfile")
    finally:
        engine.images.remove(name, force=True)
    assert leftovers.of("built") == []


def test_an_image_whose_container_ends_at_once_is_told_with_its_last_words(
    engine: Any, postgres_image: str, tmp_path: Path, leftovers: Leftovers
) -> None:
    image = stand_ins.derived(
        engine, postgres_image, "ends", 'CMD ["sh", "-c", "echo no such thing; exit 3"]'
    )
    with pytest.raises(SetupError, match=r"ended at once: .*no such thing"):
        ContainerServer.start(image, run_id="ends", log=tmp_path / "postgres.log")
    assert leftovers.of("ends") == []


def test_off_its_network_it_is_out_of_reach_and_comes_back_at_the_same_address(
    server: ContainerServer,
) -> None:
    with psycopg.connect(server.url, autocommit=True) as kept:
        pid = kept.info.backend_pid
        server.disconnect()
        try:
            with pytest.raises(psycopg.OperationalError):
                kept.execute("SELECT 1")
            assert server.alive()
            assert not server.answers()
        finally:
            server.connect()
    assert wait_until(server.answers, 10)
    assert wait_until(
        lambda: ask(server, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == 0, 10
    )
    server.connect()  # does nothing


BUSY = "SELECT count(*) FROM generate_series(1, 300000)"


def test_its_share_of_the_cpu_is_limited_and_given_back(engine: Any, server: ContainerServer) -> None:
    (container,) = engine.containers.list(filters={"label": f"{LABEL}=shared"})

    def throttled() -> int:
        files = "/sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat"
        words = container.exec_run(["sh", "-c", f"cat {files} 2>/dev/null"]).output.split()
        return int(words[words.index(b"nr_throttled") + 1])

    ask(server, BUSY)
    before = throttled()
    server.limit_cpu(0.05)
    try:
        ask(server, BUSY)
        limited = throttled()
    finally:
        server.limit_cpu(None)
    assert limited > before
    ask(server, BUSY)
    after = throttled()
    ask(server, BUSY)
    assert throttled() == after


def test_a_full_disk_ends_it_and_with_room_again_it_has_all_that_was_committed(
    postgres_image: str, tmp_path: Path, leftovers: Leftovers
) -> None:
    """What it refuses first are new pages; without room for its log it cannot go on, nor recover."""
    log = tmp_path / "postgres.log"
    with ContainerServer.start(postgres_image, run_id="full", log=log, disk_mb=256) as server:
        assert len(leftovers.of("full")) == 6  # two containers, each with its image's volume; network, disk
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            server.fill_disk()
            with pytest.raises(psycopg.errors.DiskFull):
                connection.execute("INSERT INTO kept SELECT generate_series(1, 10000)")
            with pytest.raises(psycopg.OperationalError):
                _fill_its_log(connection)
        assert wait_until(lambda: not server.alive(), 30)
        server.free_disk()
        server.launch()
        assert wait_until(server.answers, 30)
        assert ask(server, "SELECT array_agg(answer) FROM kept") == [42]
        assert "PANIC:  could not write to file" in log.read_text()
    assert leftovers.of("full") == []


def _fill_its_log(connection: psycopg.Connection) -> None:
    for _ in range(1000):
        connection.execute("SELECT pg_logical_emit_message(true, '', repeat('x', 900000))")


def test_only_a_disk_of_its_own_can_be_filled(server: ContainerServer) -> None:
    with pytest.raises(SetupError, match="no disk of their own"):
        server.fill_disk()


DIES_WITH_A_FULL_DISK = """
import os, signal, sys
from pathlib import Path
from harness.run.postgres_container import ContainerServer

image, log = sys.argv[1:]
ContainerServer.start(image, run_id="filled", log=Path(log), disk_mb=128).fill_disk()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_disk_that_a_killed_run_left_full_is_removed_at_the_next_start(
    postgres_image: str, tmp_path: Path, leftovers: Leftovers
) -> None:
    command = [sys.executable, "-c", DIES_WITH_A_FULL_DISK, postgres_image, str(tmp_path / "filled.log")]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    assert "mul-filled-disk" in leftovers.of("filled")
    with ContainerServer.start(postgres_image, run_id="next", log=tmp_path / "next.log"):
        assert not [name for name in leftovers.of("filled") if "filled" in name]
    assert leftovers.of("filled") == []
