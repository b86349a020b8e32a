"""What a request came to, as a task sees it: an answer, its content decoded, or why there is none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import brotli
from geventhttpclient.header import Headers
from locust.exception import ResponseError

from harness.load.http_answer import BrokenAnswerError

__all__ = ["ENCODINGS", "Response", "StatusError", "decoded"]

ENCODINGS = "gzip, deflate, br"
"""What `decoded` knows (RFC 9110 §8.4.1); a request offers all of it."""

_OK = range(1, 400)


class StatusError(ResponseError):
    """An answer whose status says that the request failed; Locust's `with` blocks take it for a failure."""


class Response:
    """The answer to a request; `status_code` is 0 and `error` says why when there was none.

    `error` is set besides a status when the answer broke off, was no HTTP, or could not be decoded: such an
    answer has no content.
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
        """The content as text: by `encoding`, else the charset of Content-Type, else UTF-8 or Latin-1."""
        charset = self.encoding or _charset(self._lines)
        try:
            return self.content.decode(charset or "utf-8", "replace" if charset else "strict")
        except LookupError:
            return self.content.decode("utf-8", "replace")
        except UnicodeDecodeError:
            return self.content.decode("latin-1")

    def json(self) -> Any:
        """The content, which must be JSON; raises ValueError when it is not."""
        return json.loads(self.content)

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


def _charset(lines: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in lines:
        if name == b"content-type":
            _, found, after = value.lower().partition(b"charset=")
            return after.split(b";")[0].strip(b" \"'").decode("latin-1") or None if found else None
    return None


def decoded(body: bytes, lines: Iterable[tuple[bytes, bytes]], most_bytes: int) -> bytes:
    """The content of a body as Content-Encoding says. Raises BrokenAnswerError, also when it is too large."""
    said = b",".join(value for name, value in lines if name == b"content-encoding")
    if not said or not body:
        return body
    for name in reversed([one.strip().lower() for one in said.split(b",")]):
        if name in (b"", b"identity"):
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise BrokenAnswerError(f"Content-Encoding {name[:20]!r} is none of {ENCODINGS}")
        try:
            body = decoder(body, most_bytes)
        except (zlib.error, brotli.error) as error:
            raise BrokenAnswerError(f"the body is no {name.decode()}: {error}") from None
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
        raise BrokenAnswerError(_TOO_LARGE)
    if not decoder.eof:
        raise zlib.error("it ends too early")
    return content


def _br(body: bytes, most_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    content = bytes(decoder.process(body, output_buffer_limit=most_bytes + 1))
    if len(content) > most_bytes or not decoder.can_accept_more_data():
        raise BrokenAnswerError(_TOO_LARGE)
    if not decoder.is_finished():
        raise brotli.error("it ends too early")
    return content


_TOO_LARGE = "its content is larger than the client takes"
_GZIP = b"\x1f\x8b"
_DECODERS = {b"gzip": _gzip, b"x-gzip": _gzip, b"deflate": _deflate, b"br": _br}
