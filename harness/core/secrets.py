"""Masking: no password, token or URL credential reaches a file, a log or a page."""

from __future__ import annotations

import re

__all__ = ["MASK", "mask"]

MASK = "***"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host, where the password may itself hold an '@'
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/]*@", re.IGNORECASE), rf"\g<keep>:{MASK}@"),
    (re.compile(r"(?P<keep>\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\g<keep>{MASK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),  # a JSON Web Token
    (
        re.compile(
            r"(?P<keep>\b(?:password|passwd|secret|(?:access_|refresh_)?token)\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&,;'\"]+)",
            re.IGNORECASE,
        ),
        rf"\g<keep>{MASK}",
    ),
)


def mask(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`.

    >>> mask("postgresql://app:s3cr3t@db/shop")
    'postgresql://app:***@db/shop'
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
