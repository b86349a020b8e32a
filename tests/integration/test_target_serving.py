"""How the reference service ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from harness.clock import wait_until
from tests.fix_target import Service, running_service, seed

pytestmark = pytest.mark.integration


def _ask(connection: HTTPConnection) -> tuple[int, str | None]:
    """The status of an answer, and what it says of the connection."""
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def _end(service: Service) -> psutil.Process:
    """Have it end; returned when it takes no connection any more."""
    listening = [one for one in psutil.net_connections("tcp4") if one.laddr[1] == service.port]
    [pid] = {one.pid for one in listening if one.status == psutil.CONN_LISTEN}
    process = psutil.Process(pid)
    process.send_signal(signal.SIGTERM)

    def refused() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", service.port)) != 0

    assert wait_until(refused, within=10)
    return process


def test_a_kept_connection_is_served_once_more_by_one_that_drains_and_closed_by_one_that_does_not(
    database: str, tmp_path: Path
) -> None:
    seed(database, rows=10, accounts=1)
    with (
        running_service(database, tmp_path / "log", flags=["--drain"]) as draining,
        running_service(database, tmp_path / "log") as plain,
        closing(HTTPConnection("127.0.0.1", draining.port, timeout=10)) as kept,
        closing(HTTPConnection("127.0.0.1", plain.port, timeout=10)) as lost,
    ):
        assert _ask(kept) == _ask(lost) == (200, None)
        process = _end(draining)
        assert _ask(kept) == (200, "close")
        assert wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, within=10)  # it has ended
        _end(plain)
        with pytest.raises(ConnectionError):
            _ask(lost)


def test_only_one_process_drains() -> None:
    command = [sys.executable, "-m", "harness.target", "serve", "--port", "1", "--drain", "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "--drain and --shared are of one process" in ended.stderr
