"""A server's folder: its data, and the lock that says whether the process that started it lives.

The folder is made in memory (`/dev/shm`) where that is roomy: a shared machine's disk stalls by itself for up
to a second after a burst of writes, and such a stall is not the migration's. Where TMPDIR names a place, or
memory is scarce, it is made in the temporary folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from harness.clock import wait_until
from harness.db.binaries import Account, check_reach

__all__ = ["PREFIX", "Folder", "parents"]

PREFIX = "mul-pg-"
MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is made by mkdtemp
DEFAULT = Path("/tmp")  # noqa: S108 - only compared
ROOM = 6 * 2**30
"""Bytes that must be free in memory: the demo's data and its write-ahead log need a third of it."""


def parents() -> tuple[Path, ...]:
    """Where servers' folders may be, the place for a new one first."""
    temporary = Path(tempfile.gettempdir()).resolve()
    if temporary != DEFAULT or not MEMORY.is_dir():
        return (temporary,)
    return (MEMORY, temporary) if _is_roomy(MEMORY) else (temporary, MEMORY)


def _is_roomy(memory: Path) -> bool:
    return shutil.disk_usage(memory).free >= ROOM and psutil.virtual_memory().available >= ROOM


@dataclass
class Folder:
    """One server's folder and the lock that says its owner lives."""

    path: Path
    owner: IO[str] = field(repr=False)

    @property
    def data(self) -> Path:
        return self.path / "data"

    @classmethod
    def create(cls, account: Account | None) -> Folder:
        """Made under a hidden name and renamed once the lock is held, so `sweep` never sees it ownerless."""
        parent = parents()[0]
        if account:
            check_reach(parent, account, "Point TMPDIR to a folder it may enter, such as /tmp.")
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
        owner = (hidden / "owner").open("w")
        owner.write(f"{os.getpid()}\n")
        owner.flush()
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = hidden.rename(parent / hidden.name.removeprefix("."))
        (path / "data").mkdir(mode=0o700)
        if account:
            path.chmod(0o711)
            os.chown(path / "data", account.uid, account.gid)
        return cls(path, owner)

    @classmethod
    def abandoned(cls, path: Path) -> Folder | None:
        """The folder of an owner that is gone, locked for us; None when it lives or is not ours to judge."""
        with contextlib.ExitStack() as stack:
            try:
                if path.is_symlink() or path.stat().st_uid != os.geteuid():
                    return None
                owner = stack.enter_context((path / "owner").open())
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # locked by its owner, or removed by another sweep a moment ago
                return None
            stack.pop_all()
            return cls(path, owner)

    def postmaster(self) -> psutil.Process | None:
        """The running server of this data folder, if it is one: a pid alone may be somebody else's by now."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            is_ours = process.name() == "postgres" and str(self.data) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return process if is_ours else None

    def remove(self) -> bool:
        """Whether it is gone. Backends of a killed server may write for another moment, hence the retries."""

        def gone() -> bool:
            shutil.rmtree(self.path, ignore_errors=True)
            return not self.path.exists()

        removed = wait_until(gone, within=5, every=0.1)
        self.owner.close()
        return removed
