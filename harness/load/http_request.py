"""A request as it goes over the wire: one HTTP/1.1 message, made from what a task gives."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from harness.load.http_json import encoded

__all__ = [
    "Head",
    "basic_auth",
    "body_of",
    "is_target",
    "message",
    "refuse",
    "target_of",
    "without_account",
]

Fields = Mapping[str, str | int | None]
"""Header fields by name. One that is None is not sent, even where it is a default."""

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_UNSAFE = re.compile(r"[^!-~]")
_RESERVED = "!#$%&'()*+,/:;=?@[]~"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_KNOWN = _WITH_BODY | {"GET", "HEAD", "DELETE", "OPTIONS"}


is_target = re.compile(r"/[!\"$-~]*").fullmatch
"""Whether a path goes over the wire as it is."""


class Head:
    """The lines of a head that messages to a service have in common.

    What a message adds to `fields` is most often what the one before added: the lines of the latest of each
    media type are kept.
    """

    def __init__(self, fields: Fields) -> None:
        """Raises ValueError for a line break in a field."""
        self._lines = _lines(fields)
        self._latest: dict[str | None, _Common] = {}

    def common(self, headers: Fields | None, kind: str | None) -> _Common:
        """The lines with `headers`, and with `kind`, the media type of a body. Raises ValueError."""
        latest = self._latest.get(kind)
        if latest is None or latest.headers != headers:
            latest = self._latest[kind] = self._made(headers, kind)
        return latest

    def _made(self, headers: Fields | None, kind: str | None) -> _Common:
        given = dict(headers or {})
        own = {"Content-Type": kind, "Accept": _JSON if kind == _JSON else None}
        lines: dict[str, str | None] = {**self._lines, **_lines(own)}
        for name, value in given.items():
            lines[name.lower()] = None if value is None else _line(name, value)
        if lines.get("transfer-encoding") is not None:
            raise ValueError("Transfer-Encoding is given, but bodies are sent by their length")
        claims_length = lines.pop("content-length", None) is not None
        text = "".join(f"{line}\r\n" for line in lines.values() if line is not None)
        return _Common(headers and given, text, "traceparent" in lines, claims_length)


@dataclass(frozen=True, slots=True, repr=False)
class _Common:
    """The lines that came of `headers`; not shown, as they hold secrets."""

    headers: Fields | None
    text: str
    has_traceparent: bool
    claims_length: bool


def message(
    method: str,
    target: str,
    head: Head,
    headers: Fields | None = None,
    body: bytes | None = None,
    kind: str | None = None,
    traceparent: str | None = None,
) -> bytes:
    """The request in full. `target` is one of `target_of`; over the fields of `head`, over `kind`, the media
    type of the body, and over `traceparent`, the field of that name, `headers` win.

    Raises ValueError for what would be another message than it seems: a line break within the head, a body of
    which another length is claimed.
    """
    if method not in _KNOWN and not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no HTTP method")
    common = head.common(headers, kind)
    text = f"{method} {target} HTTP/1.1\r\n{common.text}"
    if traceparent is not None and not common.has_traceparent:
        text = f"{text}traceparent: {traceparent}\r\n"
    if body is not None or method in _WITH_BODY:
        text = f"{text}Content-Length: {len(body or b'')}\r\n"
    elif common.claims_length:
        raise ValueError("Content-Length is given, but no body")
    return f"{text}\r\n".encode("latin-1") + (body or b"")


def _lines(fields: Fields) -> dict[str, str]:
    """Lines of a head by their names in lower case."""
    return {name.lower(): _line(name, value) for name, value in fields.items() if value is not None}


def _line(name: str, value: str | int) -> str:
    line = f"{name}: {value}"
    if "\n" in line or "\r" in line or "\0" in line:
        raise ValueError("a header field holds a line break or a zero")
    return line


def target_of(path: str, params: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> str:
    """A path with its query, percent-encoded where it must be; a fragment stays here (RFC 9110 §4.2.5)."""
    if "#" in path:
        path = path.partition("#")[0]
    if params:
        pairs = params.items() if isinstance(params, Mapping) else params
        query = urlencode([(name, value) for name, value in pairs if value is not None], doseq=True)
        path = f"{path}{'&' if '?' in path else '?'}{query}" if query else path
    if not path.startswith("/"):
        path = f"/{path}"
    return quote(path, safe=_RESERVED) if _UNSAFE.search(path) else path


def basic_auth(name: str | bytes, password: str | bytes) -> str:
    """The field `Authorization` of an account with a password (RFC 7617)."""
    given = (part.encode() if isinstance(part, str) else part for part in (name, password))
    return f"Basic {b64encode(b':'.join(given)).decode()}"


def without_account(url: str) -> tuple[str, str | None]:
    """An URL without the name and password in it, and the field `Authorization` that they make, if any."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return plain, basic_auth(unquote(parts.username), unquote(parts.password or ""))


def refuse(options: Mapping[str, Any]) -> None:
    """Raise TypeError for options that other clients take and that ask for something; it says what to do."""
    for name, value in options.items():
        if name not in _INSTEAD:
            raise TypeError(f"{name}= is no option of a request")
        if value is not None and value is not (name == "verify"):
            raise TypeError(f"{name}= is not taken: {_INSTEAD[name]}")


_INSTEAD = {
    "cert": "the client shows no certificate of its own",
    "cookies": "the client keeps those that the service sets; give others as headers={'Cookie': …}",
    "files": "give the encoded body as data=, and its Content-Type in headers=",
    "hooks": "look at the response that is returned",
    "proxies": "requests go to the service directly",
    "stream": "answers are read to their end, which is what is measured; FastHttpUser reads them in parts",
    "timeout": "set `self.client.http.deadline_s`, which is for each request as a whole",
    "verify": "set `insecure = True` in the class, for any certificate",
}


def body_of(data: Any, json: Any) -> tuple[bytes | None, str | None]:
    """The body, None for none, and its media type where the way it is given says so.

    `data` is bytes or text, sent as they are, or a mapping or pairs, sent as a form; `json` is anything that
    becomes JSON. Raises TypeError for both, and for other data, ValueError for JSON that would have no end.
    """
    if json is not None:
        if data:
            raise TypeError("a request takes data= or json=, not both")
        return encoded(json), _JSON
    if data is None:
        return None, None
    if isinstance(data, str):
        return data.encode(), None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), None
    if isinstance(data, (Mapping, list, tuple)):
        return urlencode(data, doseq=True).encode(), _FORM
    raise TypeError(f"data= takes bytes, text, a mapping or pairs, not {type(data).__name__}: read it first")
