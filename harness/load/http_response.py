"""What a request came to, as a task sees it: an answer, its content decoded, or why there is none."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import brotli
from geventhttpclient.header import Headers
from locust.exception import ResponseError

from harness.clock import utc_now
from harness.load.http_answer import AnswerError, too_long
from harness.load.http_json import parsed

__all__ = ["ENCODINGS", "Response", "StatusError", "decoded", "service_clock"]

ENCODINGS = "gzip, deflate, br"
"""What `decoded` knows (RFC 9110 §8.4.1); a request offers all of it."""

_OK = range(1, 400)


class StatusError(ResponseError):
    """An answer whose status says that the request failed; Locust's `with` blocks take it for a failure."""


class Response:
    """The answer to a request; `status_code` is 0 and `error` says why when there was none.

    `error` is set besides a status when the answer broke off, was no HTTP, or could not be decoded: the
    content is what had come of it then, as it came.
    """

    def __init__(
        self,
        status_code: int = 0,
        content: bytes = b"",
        lines: Sequence[tuple[bytes, bytes]] = (),
        *,
        method: str = "",
        url: str = "",
        error: BaseException | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        self.status_code = status_code
        self.content = content
        self.method = method
        self.url = url
        self.error = error
        self.elapsed_s = elapsed_s
        self.encoding: str | None = None
        """The character set of `text`; set it before, where the service names none or a wrong one."""
        self._lines = lines
        self._headers: Headers | None = None

    def __repr__(self) -> str:
        said = f"HTTP {self.status_code}" if self.status_code else "no answer"
        return f"<{type(self).__name__} {self.method} {self.url}: {said}>"

    @property
    def headers(self) -> Headers:
        """The header fields, whatever the case of their names; one sent more than once is a list."""
        if self._headers is None:
            self._headers = Headers(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._lines
            )
        return self._headers

    @property
    def text(self) -> str:
        """The content by `encoding`, else by the charset it names, else UTF-8, with what is none replaced."""
        try:
            return self.content.decode(self._charset() or "utf-8", "replace")
        except (LookupError, ValueError):  # no charset of a text
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The content's JSON; raises ValueError where it is none, in whatever way."""
        charset = None if self.content.isascii() else self._charset()  # to most charsets, ASCII is the same
        try:
            return parsed(self.content if charset is None else self.content.decode(charset))
        except LookupError:
            return parsed(self.content)

    def _charset(self) -> str | None:
        if self.encoding is not None:
            return self.encoding
        for name, value in self._lines:
            if name == b"content-type":
                named = _CHARSET.search(value) if b"=" in value else None
                return named[1].decode("latin-1") if named else None
        return None

    @property
    def ok(self) -> bool:
        """Whether there was an answer, and its status is below 400."""
        return self.error is None and self.status_code in _OK

    def raise_for_status(self) -> None:
        """Raise what kept the answer from coming, or StatusError for a status of 400 and more."""
        if self.error is not None:
            raise self.error
        if not self.ok:
            raise StatusError(f"HTTP {self.status_code}")

    @property
    def elapsed(self) -> timedelta:
        """From the send to the end of the answer."""
        return timedelta(seconds=self.elapsed_s)


def service_clock(response: Response) -> float:
    """The service's wall clock when it answered, in seconds since 1970, by `Date` (RFC 9110 §6.6.1, whole
    seconds); ours where it says nothing.
    """
    date = response.headers.get("Date")
    try:
        return parsedate_to_datetime(date).timestamp() if isinstance(date, str) else utc_now().timestamp()
    except (OverflowError, ValueError):
        return utc_now().timestamp()


def decoded(body: bytes, lines: Iterable[tuple[bytes, bytes]], most_bytes: int) -> bytes:
    """The content of a body as Content-Encoding says. Raises AnswerError, also when it is too long."""
    said = b",".join(value for name, value in lines if name == b"content-encoding")
    if not said or not body:
        return body
    for name in reversed([one.strip().lower() for one in said.split(b",")]):
        if name in (b"", b"identity"):
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise AnswerError("a content encoding that was not offered")
        try:
            body = decoder(body, most_bytes)
        except (zlib.error, brotli.error):
            raise AnswerError(f"a body that is not {name.decode()}") from None
    return body


def _gzip(body: bytes, most_bytes: int) -> bytes:
    """One member or several (RFC 1952 §2.2); what follows the last is passed over, as browsers do."""
    content = bytearray()
    while True:
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content += _inflated(decoder, body, most_bytes - len(content))
        body = decoder.unused_data
        if not body.startswith(_GZIP):
            return bytes(content)


def _deflate(body: bytes, most_bytes: int) -> bytes:
    """With zlib's head, or without, as some services send it."""
    try:
        return _inflated(zlib.decompressobj(), body, most_bytes)
    except zlib.error:
        return _inflated(zlib.decompressobj(-zlib.MAX_WBITS), body, most_bytes)


def _inflated(decoder: zlib._Decompress, body: bytes, most_bytes: int) -> bytes:
    content = decoder.decompress(body, most_bytes + 1)
    if len(content) > most_bytes:
        raise too_long(most_bytes)
    if not decoder.eof:
        raise zlib.error("it ends too early")
    return content


def _br(body: bytes, most_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    content = bytes(decoder.process(body, output_buffer_limit=most_bytes + 1))
    if len(content) > most_bytes or not decoder.can_accept_more_data():
        raise too_long(most_bytes)
    if not decoder.is_finished():
        raise brotli.error("it ends too early")
    return content


_CHARSET = re.compile(rb"""charset\s*=\s*["']?([^\s;"']+)""", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_DECODERS = {b"gzip": _gzip, b"x-gzip": _gzip, b"deflate": _deflate, b"br": _br}
