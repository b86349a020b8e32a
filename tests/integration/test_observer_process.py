"""The observer's process: what it outlives, how it ends, and what it keeps to itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.clock import monotonic, wait_until
from harness.core.waits import Wait
from harness.db.server import EmbeddedServer
from tests.fix_observer import MIGRATION, Client, Start, blocked, connect

pytestmark = pytest.mark.integration


def test_it_goes_on_after_the_server_was_restarted(watch: Start) -> None:
    with EmbeddedServer.start() as server:
        with connect(server.url) as setup:
            setup.execute("CREATE TABLE busy (id int)")
        watching = watch(server.url, log=server.log)
        with connect(server.url) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)  # then the postmaster restarts all of it
        assert wait_until(lambda: bool(watching.state.gaps), within=10)
        with connect(server.url) as holder, holder.transaction():
            holder.execute("LOCK TABLE busy")
            client = Client(server.url, "SELECT * FROM busy")
            assert wait_until(lambda: blocked(server.url, 1), within=5)
            time.sleep(0.2)
        client.join()
        (wait,) = watching.waits()
    ((begun, ended),) = watching.state.gaps
    assert 0 < ended - begun < 5
    assert (wait.pid, wait.relation, watching.state.complete) == (client.pid, "busy", True)


def test_a_server_that_is_gone_does_not_keep_it_from_ending(tmp_path: Path, watch: Start) -> None:
    with EmbeddedServer.start() as server:
        watching = watch(server.url, log=None)
    begun = monotonic()
    watching.child.stop()
    assert monotonic() - begun < 5
    (gap,) = watching.state.gaps
    assert gap[1] == watching.state.ended_at


def test_it_ends_with_its_parents_pipe_and_writes_what_it_knows(database: str, watch: Start) -> None:
    with connect(database) as holder:
        holder.execute("CREATE TABLE busy ()")
        watching = watch()
        holder.execute("BEGIN; LOCK TABLE busy")
        client = Client(database, "SELECT * FROM busy")
        assert wait_until(lambda: blocked(database, 1), within=5)
        time.sleep(0.2)
        process = watching.child._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert wait_until(lambda: process.poll() is not None, within=5)
        holder.execute("COMMIT")
    client.join()
    (wait,) = [Wait.from_json(line) for line in watching.lines("locks.ndjson")]
    assert (wait.pid, wait.ended_at) == (client.pid, None)
    assert (process.returncode, watching.state.ended_at is not None) == (0, True)


def test_a_migration_whose_harness_was_killed_is_ended_with_its_session(database: str, watch: Start) -> None:
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.SIG_IGN); signal.pause()"]
    with subprocess.Popen(command, start_new_session=True) as migration, connect(database) as bystander:
        watching = watch(migration=migration.pid)
        client = Client(database, "SELECT pg_sleep(600)", MIGRATION)
        watching.child.migrating(True, [client.pid])
        process = watching.child._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        ended = bystander.execute("SELECT pg_terminate_backend(%s)", [client.pid]).fetchone() == (False,)
        client.join()
        code = migration.poll()
        migration.kill()
    assert (ended, code, process.returncode) == (True, -signal.SIGKILL, 0)


def test_one_that_is_killed_says_so_and_never_ended(watch: Start) -> None:
    watching = watch()
    process = watching.child._process
    assert process is not None
    assert os.getsid(process.pid) == process.pid  # Ctrl-C in the terminal does not reach it
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: watching.child.died != "", within=5)
    assert watching.child.died == "it was killed by signal 9"
    assert (watching.state.began_at is not None, watching.state.ended_at) == (True, None)


def test_one_that_stood_still_says_when_and_how_many_lines_it_wrote(watch: Start) -> None:
    watching = watch()
    process = watching.child._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    begun = watching.now
    time.sleep(0.8)
    os.kill(process.pid, signal.SIGCONT)
    watching.child.stop()
    state = watching.state
    assert [(start, end) for start, end in state.blind if start <= begun + 0.1 and end - start > 0.7]
    assert state.late_max_s is not None
    assert state.late_max_s > 0.6
    assert (state.waits, state.lines) == (0, len(watching.lines("database.ndjson")))


def test_the_password_is_neither_on_the_command_line_nor_in_a_file(
    postgres: EmbeddedServer, tmp_path: Path, watch: Start
) -> None:
    password = postgres.url.partition("postgres:")[2].partition("@")[0]
    watching = watch()
    process = watching.child._process
    assert process is not None
    running = psutil.Process(process.pid)
    assert password not in " ".join(running.cmdline())
    assert password not in str(running.environ())
    watching.child.stop()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert [file.name for file in files if password in file.read_text()] == []


def test_it_holds_no_lock_and_no_transaction(database: str, watch: Start) -> None:
    watching = watch()
    with connect(database) as connection:
        for _ in range(20):
            rows = connection.execute(
                "SELECT state, backend_xid, backend_xmin, wait_event_type FROM pg_stat_activity"
                " WHERE application_name LIKE 'mul-observer%' AND state LIKE '%transaction%'"
            ).fetchall()
            assert rows == []
            time.sleep(0.01)
    watching.child.stop()


def test_asked_by_a_signal_it_ends_as_ordered(watch: Start) -> None:
    watching = watch()
    process = watching.child._process
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    assert wait_until(lambda: process.poll() is not None, within=5)
    assert (process.returncode, watching.state.complete) == (0, True)


def test_one_that_hangs_is_killed_in_bounded_time(watch: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.db.observer_child.STOP_WITHIN_S", 0.3)
    monkeypatch.setattr("harness.db.observer_child.TERMINATE_WITHIN_S", 0.3)
    watching = watch()
    process = watching.child._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    begun = monotonic()
    watching.child.stop()
    assert monotonic() - begun < 3
    assert process.poll() == -signal.SIGKILL
    assert watching.state.ended_at is None
