"""A container's root file system, packed from programs of this machine and the libraries they load.

Where no registry is reachable there are no base images; this makes one of a few megabytes in a second.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterable
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["Root"]

LOADED = re.compile(r"(?:=> )?(/\S+) \(0x")
"""A library in the output of ldd."""


class Root:
    """A root file system in the making. `packed` has it as a tar archive."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._archive = tarfile.open(fileobj=self._bytes, mode="w", dereference=True)  # noqa: SIM115 - `packed` closes it
        self._names: set[str] = set()
        for name in ("tmp", "var/tmp", "run"):
            self.folder(name, mode=0o1777)

    def folder(self, name: str, owner: int = 0, mode: int = 0o755) -> None:
        """An empty folder."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._add(entry)

    def file(self, name: str, content: str, mode: int = 0o644) -> None:
        """A text file."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content.encode()), mode
        self._add(entry, content.encode())

    def programs(self, names: Iterable[str]) -> None:
        """Programs of this machine, by name, with the libraries they load."""
        found = []
        for name in names:
            path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            assert path, f"this machine has no program {name}"
            self._copy(Path(path), f"bin/{name}")
            found.append(Path(path))
        self._libraries(found)

    def program(self, path: Path, name: str) -> None:
        """One program, with the libraries it loads."""
        self._copy(path, name)
        self._libraries([path])

    def libraries(self, names: Iterable[str]) -> None:
        """Libraries of this machine, by name, where the loader looks for them."""
        known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        for name in names:
            found = re.search(rf"^\s{re.escape(name)} .*=> (/\S+)$", known, re.MULTILINE)
            assert found, f"this machine has no library {name}"
            self._copy(Path(found[1]), found[1].lstrip("/"))

    def tree(self, source: Path, name: str, without: Collection[str] = ()) -> None:
        """A folder as it is here, with the libraries that what is in it loads from elsewhere.

        What bears a name like one of `without` is left out.
        """
        paths = [
            path
            for path in sorted(source.rglob("*"))
            if path.is_file() and not _any_like(path.relative_to(source).parts, without)
        ]
        for path in paths:
            self._copy(path, f"{name}/{path.relative_to(source)}")
        self._libraries({path.resolve() for path in paths if _is_elf(path)}, besides=source)

    def _libraries(self, programs: Collection[Path], besides: Path | None = None) -> None:
        """The libraries that programs load, where they look for them; not those in the folder `besides`."""
        said = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout if programs else ""
        for library in map(Path, sorted(set(LOADED.findall(said)))):
            if besides is None or not library.resolve().is_relative_to(besides.resolve()):
                self._copy(library, str(library).lstrip("/"))

    def packed(self) -> bytes:
        """The whole, as a tar archive."""
        self._archive.close()
        return self._bytes.getvalue()

    def _copy(self, path: Path, name: str) -> None:
        if name in self._names:
            return
        entry = self._archive.gettarinfo(path.resolve(), name)
        entry.type, entry.uid, entry.gid, entry.uname, entry.gname = tarfile.REGTYPE, 0, 0, "", ""
        content = _without_symbols(path) if _is_elf(path) else path.read_bytes()
        entry.size = len(content)
        self._add(entry, content)

    def _add(self, entry: tarfile.TarInfo, content: bytes = b"") -> None:
        if entry.name not in self._names:
            self._names.add(entry.name)
            self._archive.addfile(entry, io.BytesIO(content))


def _without_symbols(path: Path) -> bytes:
    """A program or library without what is there for debuggers alone, where binutils is installed."""
    with tempfile.NamedTemporaryFile() as stripped:
        strip = [shutil.which("strip") or "false", "--strip-debug", "-o", stripped.name, str(path)]
        done = subprocess.run(strip, capture_output=True)
        return Path(stripped.name).read_bytes() if done.returncode == 0 else path.read_bytes()


def _any_like(names: Iterable[str], patterns: Collection[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
