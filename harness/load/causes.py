"""Why a request failed, in a few words, the same for equal failures: a record has room for 255 causes.

What they say of the database (a SQLSTATE) tells `harness/core/error_classes.py` the class of the error.
"""

from __future__ import annotations

import re

from geventhttpclient.response import HTTPConnectionClosed
from psycopg import errors

from harness.core.secrets import mask

__all__ = ["cause_of", "http_cause", "is_dropped", "shape_cause"]

_CAUSE_LENGTH = 80
_VARYING = re.compile(
    r"https?://\S+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\d{4,}",
    re.IGNORECASE,
)
_SQLSTATE = re.compile(rb'"sqlstate"\s*:\s*"([0-9A-Z]{5})"')
_TITLE = re.compile(rb'"title"\s*:\s*"([^"\\]+)"')
_BODY_LENGTH = 4096
_TOO_MANY = 429
_DROPPED = (ConnectionResetError, BrokenPipeError, HTTPConnectionClosed)  # http.client's is one of the first


def http_cause(status: int, body: bytes = b"") -> str:
    """`HTTP 500`, with what a problem's body says of it where it does: `HTTP 500 (42703)`.

    That is its `sqlstate`, or its `title`, which is the same for every problem of a kind
    (https://www.rfc-editor.org/rfc/rfc9457#section-3.1.3).
    """
    start = body[:_BODY_LENGTH]
    said = _SQLSTATE.search(start) or _TITLE.search(start)
    if said is None:
        return f"HTTP {status}"
    return f"HTTP {status} ({_without_varying(said[1].decode(errors='replace'))})"[:_CAUSE_LENGTH]


def shape_cause(status: int, found: str) -> str:
    """`HTTP 200, but no JSON`: the status was expected, and the body is not what it should be."""
    return f"HTTP {status}, but {_without_varying(found)}"[:_CAUSE_LENGTH]


def cause_of(exception: object, response: object = None) -> str:
    """A short cause without ids, so that equal failures have equal causes: `HTTP 503`, `TimeoutError`.

    A text that the task gave (`response.failure("…")`) is kept with what varies in it replaced by `#`; a
    SQLSTATE stays, as it tells what became of the request, and so does a 429 of the `response`.
    """
    status = getattr(getattr(exception, "response", None), "status_code", None)
    if status:
        return http_cause(status, _body_of(response))
    if isinstance(exception, str) or type(exception).__name__ == "CatchResponseError":
        said = _without_varying(str(exception))
        limited = getattr(response, "status_code", None) == _TOO_MANY
        return (f"HTTP {_TOO_MANY} ({said})" if limited else said)[:_CAUSE_LENGTH]
    inner = getattr(exception, "original", None) or exception
    return type(inner).__name__


def _body_of(response: object) -> bytes:
    """The body of a response as far as it was read: asking for `content` would fetch one that is streamed.

    requests keeps it in `_content`, geventhttpclient in `_cached_content`.
    """
    read = getattr(response, "_cached_content", None) or getattr(response, "_content", None)
    return read if isinstance(read, bytes) else b""


def is_dropped(exception: object) -> bool:
    """Whether a request failed because its connection ended under it, whatever library says so.

    requests and geventhttpclient wrap the error in others, as cause, as `original` or among the arguments.
    """
    seen: list[object] = []
    found = [exception]
    while found:
        error = found.pop()
        if isinstance(error, _DROPPED):
            return True
        if isinstance(error, BaseException) and not any(error is one for one in seen):
            seen.append(error)
            found += [error.__cause__, error.__context__, getattr(error, "original", None), *error.args]
    return False


def _without_varying(text: str) -> str:
    return _VARYING.sub(lambda found: found[0] if _is_sqlstate(found[0]) else "#", mask(text))


def _is_sqlstate(text: str) -> bool:
    """Whether it is a code that PostgreSQL has: few numbers are, so they leave few causes apart."""
    try:
        errors.lookup(text)
    except KeyError:
        return False
    return True
