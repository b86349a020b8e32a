"""Answers of a service that may send anything: bounded in size, unpacked and read by what they say of
themselves, and refused by name where that is not so.

geventhttpclient reads an answer to its end, however far that is, and unpacks what it holds at once: a few
kilobytes of gzip may become gigabytes. FastHttpUser guesses the charset of a text that names none, which
takes seconds for a large body and may end in none at all.
"""

from __future__ import annotations

import json
import re
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

from locust.contrib.fasthttp import FastResponse

from harness.clock import utc_now

__all__ = ["LONGEST_ANSWER", "Answer", "AnswerError", "BoundedConnection", "service_clock"]

LONGEST_ANSWER = 8 * 2**20
"""Bytes of an answer that are read, and of a body that are unpacked; a longer one is given up."""

_CHARSET = re.compile(r'charset\s*=\s*["\']?([^\s;"\']+)', re.IGNORECASE)
_GZIP, _ZLIB, _DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PACKED = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _DEFLATE)}


class AnswerError(OSError):
    """An answer began, and cannot be used; the text says why, the same for all of a kind."""


class BoundedConnection:
    """A connection on which no answer, its headers included, may be longer than `LONGEST_ANSWER`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._received = 0

    def sendall(self, data: bytes) -> None:
        """Send; what is received from now on belongs to another answer."""
        self._received = 0
        self._connection.sendall(data)

    def recv(self, size: int) -> bytes:
        """Receive; raises AnswerError when that is too much."""
        data: bytes = self._connection.recv(size)
        self._received += len(data)
        if self._received > LONGEST_ANSWER:
            raise _too_long()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Answer(FastResponse):
    """A response whose body is known to be what its headers say.

    `content` raises AnswerError, or what broke the answer off, when it is first asked for; from then on it is
    what had come.
    """

    def _content(self) -> bytes:
        packed = self._cached_content = self._came()
        self.release()
        for encoding in reversed(self._encodings()):
            packed = _unpacked(packed, encoding)
        return packed

    def _came(self) -> bytes:
        if self._response is None:
            return b""
        try:
            return bytes(self._response.read())
        except BaseException:
            self._cached_content = self._response.read()  # it is released: nothing more is waited for
            raise

    @property
    def text(self) -> str:
        """The body by the charset that is named, else UTF-8; what is none of it is replaced."""
        try:
            return self.content.decode(self._charset() or "utf-8", "replace")
        except (LookupError, ValueError):  # no charset of a text
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body's JSON; raises ValueError where it is none, in whatever way."""
        charset = self._charset()
        try:
            return _parsed(self.content if charset is None else self.content.decode(charset))
        except LookupError:
            return _parsed(self.content)

    def _charset(self) -> str | None:
        named = _CHARSET.search(self._header("content-type"))
        return named[1] if named else None

    def _encodings(self) -> list[str]:
        names = (name.strip().lower() for name in self._header("content-encoding").split(","))
        return [name for name in names if name not in ("", "identity")]

    def _header(self, name: str) -> str:
        """A header's value; its lines in one where there are several."""
        return ", ".join(self.headers.getlist(name)) if self.headers is not None else ""


def _parsed(body: bytes | str) -> Any:
    try:
        tree = json.loads(body)
        if "\\u" in body if isinstance(body, str) else b"\\u" in body:
            json.dumps(tree, ensure_ascii=False).encode()  # half of a surrogate pair can be written nowhere
    except RecursionError:
        raise ValueError("nested too deep") from None
    return tree


def service_clock(response: FastResponse) -> float:
    """The service's wall clock when it answered, in seconds since 1970, by `Date` (RFC 9110 §6.6.1, whole
    seconds); ours where it says nothing.
    """
    date = response.headers.get("Date") if response.headers is not None else None
    try:
        return parsedate_to_datetime(date).timestamp() if isinstance(date, str) else utc_now().timestamp()
    except (OverflowError, ValueError):
        return utc_now().timestamp()


def _unpacked(packed: bytes, encoding: str) -> bytes:
    if not packed:
        return packed
    if encoding not in _PACKED:
        raise AnswerError("a content encoding that was not offered")
    for window in _PACKED[encoding]:
        try:
            return _inflated(packed, zlib.decompressobj(window))
        except zlib.error:
            continue
    raise AnswerError(f"a body that is not {encoding}")


def _inflated(packed: bytes, inflating: Any) -> bytes:
    """Raises zlib.error when that is not what it is, or it breaks off."""
    body: bytes = inflating.decompress(packed, LONGEST_ANSWER)
    if inflating.unconsumed_tail:
        raise _too_long()
    if not inflating.eof:
        raise zlib.error("cut off")
    return body


def _too_long() -> AnswerError:
    return AnswerError(f"answer longer than {LONGEST_ANSWER // 2**20} MB")
