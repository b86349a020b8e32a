"""JSON as the standard library reads and writes it, in half its time.

`json.dumps` makes its encoder anew for each value, and `json.loads` looks for the encoding of each text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from json import encoder
from typing import Any

__all__ = ["encoded", "parsed"]

_WHITE = " \t\r\n"
_decode: Callable[[str], tuple[Any, int]] = json.JSONDecoder().raw_decode
_parts: Callable[[Any, int], Iterable[str]] = encoder.c_make_encoder(  # type: ignore[attr-defined] # undocumented
    None,  # not looked for: values within themselves
    json.JSONEncoder().default,
    encoder.encode_basestring_ascii,
    None,  # no indentation
    ": ",
    ", ",
    False,  # as they come: keys
    False,  # not skipped: keys that JSON has not
    True,  # written: NaN and infinities
)


def encoded(value: Any) -> bytes:
    """What `json.dumps` writes. Raises TypeError for what JSON has not, ValueError for what has no end."""
    try:
        return "".join(_parts(value, 0)).encode()
    except RecursionError:
        raise ValueError("nested too deep, or within itself") from None


def parsed(body: bytes | str) -> Any:
    """What `json.loads` reads. Raises ValueError, also for half of a surrogate pair: it can be written
    nowhere.
    """
    try:
        try:
            return _read_at_once(body)
        except ValueError:
            return _read_and_checked(body)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _read_at_once(body: bytes | str) -> Any:
    """Raises ValueError also for what takes a second look: another encoding, white space before it, halves
    of surrogate pairs.
    """
    text = body if isinstance(body, str) else body.decode()
    tree, end = _decode(text)
    if (end != len(text) and text[end:].strip(_WHITE)) or "\\ud" in text or "\\uD" in text:
        raise ValueError
    return tree


def _read_and_checked(body: bytes | str) -> Any:
    tree = json.loads(body)
    json.dumps(tree, ensure_ascii=False).encode()
    return tree
