"""PgBouncer in transaction mode between a test and its database, from Debian's package `pgbouncer`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

import psycopg
import pytest

from harness.clock import wait_until
from harness.db.binaries import server_account
from harness.db.local_server import free_port

Pooled = Callable[..., str]
"""From the URL of a database, and settings of PgBouncer's own, to a URL of the same through a PgBouncer."""

SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": "2",
    "query_wait_timeout": "10",
    "server_round_robin": "1",  # each transaction by the other process: what busy neighbours do by chance
}


@pytest.fixture
def pooled() -> Iterator[Pooled]:
    """Starts a PgBouncer for the test; without the program such a test fails, as it would otherwise seem to
    have passed."""
    with ExitStack() as stack:

        def start(database: str, **settings: str) -> str:
            return stack.enter_context(_Pooler(database, settings)).url

        yield start


class _Pooler:
    def __init__(self, database: str, settings: dict[str, str]) -> None:
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
        assert program, "PgBouncer is not installed: apt-get install pgbouncer"
        self._server = urlsplit(database)
        self._port = free_port()
        self._folder = Path(mkdtemp(prefix="mul-pooler-"))
        account = server_account()  # it refuses to run as root, as PostgreSQL does
        self._size = int({**SETTINGS, **settings}["default_pool_size"])
        self._write(settings)
        if account is not None:
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, account.uid, account.gid)
        self._process = subprocess.Popen(
            [program, "-q", self._folder / "pgbouncer.ini"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )

    def _write(self, settings: dict[str, str]) -> None:
        users = self._folder / "users"
        users.touch(mode=0o600)
        users.write_text(f'"{self._server.username}" "{self._server.password}"\n')
        own = {"listen_port": str(self._port), "auth_file": str(users)}
        own["logfile"] = str(self._folder / "pgbouncer.log")
        lines = "".join(f"{name} = {value}\n" for name, value in {**SETTINGS, **own, **settings}.items())
        server = f"host={self._server.hostname} port={self._server.port}"
        (self._folder / "pgbouncer.ini").write_text(f"[databases]\n* = {server}\n[pgbouncer]\n{lines}")

    @property
    def url(self) -> str:
        return self._server._replace(
            netloc=f"{self._server.username}:{self._server.password}@127.0.0.1:{self._port}"
        ).geturl()

    def __enter__(self) -> _Pooler:
        def serves() -> bool:
            assert self._process.poll() is None, f"PgBouncer ended: {self._log()}"
            try:
                psycopg.connect(self.url, connect_timeout=2, prepare_threshold=None).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            assert wait_until(serves, within=20), f"PgBouncer does not serve: {self._log()}"
            self._open_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open_all(self) -> None:
        """It opens a further connection to the server only when all others are taken."""
        with ExitStack() as stack:
            for _ in range(self._size):
                client = stack.enter_context(psycopg.connect(self.url, prepare_threshold=None))
                client.execute("SELECT 1")

    def _log(self) -> str:
        log = self._folder / "pgbouncer.log"
        return log.read_text()[-2000:] if log.exists() else "it wrote no log"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder)
