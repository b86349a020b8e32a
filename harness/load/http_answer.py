"""One answer of a service as it comes off the wire, parsed and kept within bounds. No socket is in here.

llhttp (`httptools`) does the parsing (RFC 9112); what it leaves open is decided here:

- An answer without a length ends with its connection; any other that does was cut off.
- Interim answers (1xx) are passed over; 101 ends an exchange, as nobody asked to switch protocols.
- What comes after an answer's end belongs to no request, so its connection is not used again.
- The head and everything together have a bound, trailers are dropped: no service can fill the memory.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = [
    "MOST_HEAD_BYTES",
    "Answer",
    "AnswerError",
    "BrokenAnswerError",
    "ClosedError",
    "Http2Error",
    "too_long",
]

MOST_HEAD_BYTES = 64 * 1024
"""Of an answer's head, with the interim answers before it."""

_SWITCHED = 101
_FRAME_HEAD = 9
_SETTINGS = 4


class BrokenAnswerError(Exception):
    """What the service sent is not an answer in HTTP/1.1, or larger than the client takes."""


class AnswerError(BrokenAnswerError):
    """An answer began, and cannot be used; the text says why, the same for all of a kind."""


class Http2Error(BrokenAnswerError):
    """The service speaks HTTP/2, and this client HTTP/1.1."""


class ClosedError(ConnectionError):
    """The service closed the connection instead of an answer."""


class Answer:
    """What has come in answer to one request; `begin` makes it ready for the next on the same connection.

    Raises BrokenAnswerError or ClosedError for what can become no answer.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parser = HttpResponseParser(self)
        self._parsed_to_the_end = True
        self.begin(head_only=False)

    def begin(self, *, head_only: bool) -> None:
        """Nothing has come yet. `head_only` says that the request was a HEAD: no body will follow."""
        if not self._parsed_to_the_end:
            self._parser = HttpResponseParser(self)
        self._parsed_to_the_end = False
        self._head_only = head_only
        self._interim = False
        self._has_length = False
        self._came = 0
        self.sets_cookies = False
        """Whether `headers` may have a Set-Cookie."""
        self.is_encoded = False
        """Whether `headers` may have a Content-Encoding."""
        self._body: bytes | bytearray = b""
        self.status = 0
        """0 until the head is there."""
        self.headers: list[tuple[bytes, bytes]] = []
        """As sent, by lines; names in lower case."""
        self.complete = False
        self.keeps = False
        """Whether the connection may be used for another request."""
        self.error: Exception | None = None
        """Why the answer is incomplete."""

    @property
    def body(self) -> bytes:
        """The body as it was sent: still encoded."""
        return self._body if type(self._body) is bytes else bytes(self._body)

    def feed(self, data: bytes) -> None:
        """Take what was received next."""
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.keeps = False
        except HttpParserError as error:
            if not self.complete:
                raise _wrong(data, self._came, error) from None
            self.keeps = False
        if self._came > MOST_HEAD_BYTES and not self.status:
            raise AnswerError(f"head longer than {MOST_HEAD_BYTES // 2**10} kB")
        if self._came > self._most_bytes:
            raise too_long(self._most_bytes)

    def end(self) -> None:
        """The service has closed the connection."""
        if self.status and not self._has_length:
            self.complete = True
            self.keeps = False
        elif self._came:
            raise BrokenAnswerError("the connection was closed within the answer")
        else:
            raise ClosedError("the connection was closed without an answer")

    # what the parser calls

    def on_message_begin(self) -> None:
        """A first byte has come."""
        if self.complete:
            self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of the trailers."""
        if self.status or self.complete:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _LENGTHS:
            self._has_length = True
        elif name == b"set-cookie":
            self.sets_cookies = True
        elif name == b"content-encoding":
            self.is_encoded = True

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self.complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != _SWITCHED:
            self._interim = True
            return
        self.status = status
        if self._head_only:
            self.complete = True
            self.keeps = self._has_length and self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        if self.complete:
            self.keeps = False
        elif not self._body:
            self._body = part  # all of it, as a rule
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body) + part
        else:
            self._body += part

    def on_message_complete(self) -> None:
        """The answer is there, or an interim one is over."""
        if self._interim:
            self._interim = False
            self._has_length = False
            self.headers = []
        elif not self.complete:
            self.complete = True
            self._parsed_to_the_end = True
            self.keeps = self.status != _SWITCHED and self._parser.should_keep_alive()


_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


def too_long(most_bytes: int) -> AnswerError:
    """What is said of an answer that is longer, as it comes or once it is decoded."""
    return AnswerError(f"answer longer than {most_bytes // 2**20} MB")


def _wrong(data: bytes, came: int, error: HttpParserError) -> BrokenAnswerError:
    """In the parser's own words, unless it is HTTP/2: a connection begins with a SETTINGS frame there.

    RFC 9113 §3.4, §4.1: three bytes of length, the type, flags, and the stream's number, which is 0.
    """
    if came == len(data) >= _FRAME_HEAD and data[3] == _SETTINGS and data[5:_FRAME_HEAD] == bytes(4):
        return Http2Error("the service speaks HTTP/2, and this client HTTP/1.1")
    return BrokenAnswerError(str(error) or type(error).__name__)
