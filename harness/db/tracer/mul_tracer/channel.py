"""The file the records go to: one JSON object per line, one line per write.

A record that could not be written leaves a gap, which the next one that can be written is preceded by: a
`hookfail` of `channel`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .sql import masked

_Result = TypeVar("_Result")


class Channel:
    """Appends lines to `path`. Never raises: the first failure is said once on stderr, the rest are
    silent."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._descriptor: int | None = None
        self._identity: tuple[int, int] = (0, 0)
        self._complained = False
        self._lost: str | None = None
        self._cut = False

    def write(self, line: bytes) -> None:
        try:
            if self._descriptor is None or not self._is_still_ours(self._descriptor):
                self._descriptor = self._open()
            if self._lost is not None:
                gap = _line("hookfail", where="channel", error=f"records were lost: {self._lost}")
                self._write_all(self._descriptor, gap)
                self._lost = None
            self._write_all(self._descriptor, line)
        except OSError as error:
            self._lost = f"{type(error).__name__}: {error}"
            self._complain(error)

    def _write_all(self, descriptor: int, line: bytes) -> None:
        rest = b"\n" + line if self._cut else line
        while rest:
            written = os.write(descriptor, rest)
            rest = rest[written:]
            self._cut = bool(rest)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        return descriptor

    def _is_still_ours(self, descriptor: int) -> bool:
        # A program that closes all descriptors lets the database's socket take our number; writing there
        # would put our text into the protocol.
        try:
            found = os.fstat(descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"migrate-under-load: cannot write the trace to {self._path}: {error}\n")


_channel: Channel | None = None
_failures: set[str] = set()


def open_channel(path: str) -> None:
    global _channel
    _channel = Channel(path)


def emit(kind: str, **fields: Any) -> None:
    """Append one record; `mono` may be given for something that happened earlier."""
    if _channel is None:
        return
    _channel.write(_line(kind, **fields))


def _line(kind: str, **fields: Any) -> bytes:
    record = {"kind": kind, "mono": time.monotonic(), "process": os.getpid()}
    record.update(fields)
    return json.dumps(record, default=str, separators=(",", ":")).encode() + b"\n"


def fail(where: str, error: BaseException) -> None:
    """Say once per place that something of ours failed there."""
    if where not in _failures:
        _failures.add(where)
        emit("hookfail", where=where, error=masked(f"{type(error).__name__}: {error}")[:500])


def harmless(function: Callable[..., _Result]) -> Callable[..., _Result | None]:
    """The same function, but a failure of ours becomes a record and None instead of an exception."""

    def guarded(*args: Any, **kwargs: Any) -> _Result | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            fail(function.__qualname__, error)
            return None

    return guarded


def first_line(error: BaseException) -> str:
    """The primary message alone, masked: detail and context may hold rows of the user's data, and a message
    may quote a URL."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    lines = str(primary or error).strip().splitlines()
    return masked(lines[0] if lines else type(error).__name__)[:2000]
