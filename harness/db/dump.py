"""A dump of a database: which kind of file it is, of which version, and its digest.

https://www.postgresql.org/docs/current/app-pgdump.html: plain SQL, which psql runs, or an archive (custom,
directory or tar), which pg_restore reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

__all__ = ["Dump", "dump_digest", "read_dump", "with_versions"]

CHUNK = 1 << 20
HEAD = 16_384
"""Bytes of a plain dump in which its versions are."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CUSTOM, _TAR = b"PGDMP", (257, b"ustar")
_TELLING = re.compile(
    rb"^[ \t]*--[^\n]*"
    rb"|^[ \t]*(?i:COPY)\s[^\n;]*\s(?i:FROM\s+STDIN)\b[^\n;]*;[ \t\r]*$(?P<data>)"
    rb"|(?P<elsewhere>(?<!\\)\\c(?:onnect)?(?=[\s\\]|\Z)[^\n]*"
    rb"|(?:^|;|\*/)[ \t]*(?i:CREATE|DROP)\s+(?i:DATABASE)\b[^\n]*)",
    re.MULTILINE,
)
"""A comment; what the lines of a table follow; what goes elsewhere: psql's commands may stand anywhere on a
line, and are in lower case (`\\C` sets a title); SQL may be in any."""

_END_OF_DATA = re.compile(rb"^\\\.\r?$", re.MULTILINE)
_VERSION = re.compile(r"Dumped (?P<what>from database|by pg_dump) version:? (?P<major>\d+)")


@dataclass(frozen=True)
class Dump:
    """`archive`: for pg_restore, else SQL for psql. `database` and `program` are the major versions of the
    server and of the pg_dump it comes from, None where the file does not tell.
    """

    path: Path
    archive: bool
    database: int | None = None
    program: int | None = None


def read_dump(path: Path) -> Dump:
    """Look at the head of a file or folder; raises UsageError for what is no dump.

    The versions of an archive are known to pg_restore alone, see `with_versions`.
    """
    if path.is_dir():
        if not (path / "toc.dat").is_file():
            raise UsageError(
                f"--from-dump {path} is a folder, but no dump: it has no toc.dat.",
                "Make one with: pg_dump --format=directory --file=FOLDER DATABASE.",
            )
        return Dump(path, archive=True)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise UsageError(f"--from-dump {path} cannot be read: {error.strerror}.", "Check the path.") from None
    if head.startswith((_GZIP, _ZSTD)):
        raise UsageError(
            f"--from-dump {path} is compressed as a whole.",
            "Unpack it first; pg_dump --format=custom compresses by itself.",
        )
    if head.startswith(_CUSTOM) or head[_TAR[0] :].startswith(_TAR[1]):
        return Dump(path, archive=True)
    if not head.strip() or b"\0" in head:
        raise UsageError(
            f"--from-dump {path} is no dump of PostgreSQL: it is {'binary' if head.strip() else 'empty'}.",
            "Make one with: pg_dump --format=custom --file=FILE DATABASE.",
        )
    return with_versions(Dump(path, archive=False), head.decode(errors="replace"))


def with_versions(dump: Dump, text: str) -> Dump:
    """The dump with the versions that its head, or pg_restore's list of it, tells."""
    found = {match["what"]: int(match["major"]) for match in _VERSION.finditer(text)}
    return Dump(dump.path, dump.archive, found.get("from database"), found.get("by pg_dump"))


def dump_digest(dump: Dump) -> str:
    """SHA-256 of the dump's content, in hexadecimal.

    Raises UsageError for SQL that would leave the database it is given: what follows `\\connect` would run
    elsewhere, past every guard.
    """
    digest = hashlib.sha256()
    for file in _files(dump.path):
        digest.update(str(file.relative_to(dump.path)).encode())
        data = False
        for lines in _pieces(file):
            digest.update(lines)
            if not dump.archive:
                data = _check_stays(dump, lines, data)
    return digest.hexdigest()


def _check_stays(dump: Dump, lines: bytes, data: bool) -> bool:
    """Refuse what goes elsewhere. `data`: whether the lines begin within a table's, and returned: end so."""
    at = 0
    while True:
        if data:
            end = _END_OF_DATA.search(lines, at)
            if end is None:
                return True
            at = end.end()
        found = next((match for match in _TELLING.finditer(lines, at) if match.lastgroup), None)
        if found is None:
            return False
        if found["elsewhere"] is not None:
            line = found["elsewhere"].decode(errors="replace").lstrip("*/; \t\r\n").rstrip()
            raise UsageError(
                f"--from-dump {dump.path} leaves the database it is given: {line[:80]!r}.",
                "Dump one database, without --create: pg_dump --format=custom --file=FILE DATABASE.",
            )
        at, data = found.end(), True


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _pieces(file: Path) -> Iterator[bytes]:
    """The content in pieces that end with a line, as far as the lines are of a sane length."""
    with file.open("rb") as content:
        while piece := content.read(CHUNK):
            yield piece + (b"" if piece.endswith(b"\n") else content.readline(CHUNK))
