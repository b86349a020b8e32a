"""Masking: no password, token or URL credential reaches a file, a log or a page."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["MASK", "is_secret", "mask", "mask_command", "mask_known", "mask_texts", "password_in"]

MASK = "***"

_SHORTEST = 6

_NAME = r"(?:password|passwd|secret|secret_?key|token|api[_-]?key)"
"""The end of a name, so that PGPASSWORD, client_secret and access_token are names too."""

_QUOTED = r"'(?:[^']|'')*'?|\"(?:[^\"\\]|\\.)*\"?"
"""A quoted value; a text that was cut off may lack its end."""

_VALUE = rf"(?:{_QUOTED}|[^\s&,;'\"]+)"

_OPTION = re.compile(rf"--(?!no-)[\w-]*{_NAME}", re.IGNORECASE)
"""PostgreSQL's programs have a `--no-password`, which no value follows."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        # scheme://user:password@host, where the password may itself hold an '@' or a '/';
        # bounded, as a text of many URLs would take quadratic time
        # the colon after the scheme may have been forgotten: then it is quoted in an error message
        (r"(?P<keep>[a-z][a-z0-9+.-]{0,30}:?//[^\s:/@'\"]*):[^\s'\"]{0,1000}@", rf"\g<keep>:{MASK}@"),
        (r"(?P<keep>\bBearer\s+)[\w.~+/=-]+", rf"\g<keep>{MASK}"),
        (r"\b(?-i:eyJ)[\w-]+\.[\w-]+\.[\w-]*", MASK),  # a JSON Web Token
        # name=value, name: value, "name": "value"
        (rf"(?P<keep>{_NAME}['\"]?\s*[=:][=>]?\s*){_VALUE}", rf"\g<keep>{MASK}"),
        # --name value
        (rf"(?P<keep>--(?!no-)[\w-]{{0,30}}{_NAME}\s+)(?!--|[=:]){_VALUE}", rf"\g<keep>{MASK}"),
        # SQL: ALTER ROLE app PASSWORD 'value'
        (rf"(?P<keep>\bpassword\s+)(?:E|U&)?(?:{_QUOTED})", rf"\g<keep>{MASK}"),
    )
)

_SIGNS = re.compile(r"[\s=:]|eyJ")
"""One of these is in every text that a pattern finds; most names in a trace have none."""


def mask(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`.

    >>> mask("postgresql://app:s3cr3t@db/shop")
    'postgresql://app:***@db/shop'
    """
    if not _SIGNS.search(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def mask_command(arguments: Iterable[str]) -> list[str]:
    """The arguments with every credential masked, also one that follows its option as its own argument.

    >>> mask_command(["tool", "--password", "s3cr3t", "up"])
    ['tool', '--password', '***', 'up']
    """
    masked: list[str] = []
    option = ""
    for argument in arguments:
        masked.append(MASK if _OPTION.fullmatch(option) else mask(argument))
        option = argument
    return masked


def mask_known(text: str, known: Iterable[str]) -> str:
    """`text` masked, and in it every one of the `known` secrets, whatever stands around it.

    Not those of fewer than six characters: they would be found in the middle of words.

    >>> mask_known("connecting as app, s3cr3t", ["s3cr3t"])
    'connecting as app, ***'
    """
    return mask(_without(text, known))


def _without(text: str, known: Iterable[str]) -> str:
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def mask_texts(value: Any, known: Iterable[str] = (), parsed: Container[str] = ()) -> Any:
    """A JSON value with every text in it masked as `mask_known` does.

    Of the texts under the keys in `parsed` only the `known` secrets are taken out: SQL that is to be parsed
    must stay SQL, and `SET token = ***` is none.

    >>> mask_texts({"query": "SET x = 'y' /* api_key=s3cr3t */", "pid": 7})
    {'query': "SET x = 'y' /* api_key=*** */", 'pid': 7}
    """
    if isinstance(value, str):
        return mask_known(value, known)
    if isinstance(value, dict):
        return {
            key: _without(inner, known)
            if key in parsed and isinstance(inner, str)
            else mask_texts(inner, known, parsed)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_texts(inner, known, parsed) for inner in value]
    return value


def is_secret(setting: str) -> bool:
    """Whether `NAME=VALUE`, or a command, looks as if it held a credential.

    >>> is_secret("API_KEY=abc"), is_secret("APP_ENV=staging")
    (True, False)
    """
    return mask(setting) != setting


def password_in(url: str | None) -> set[str]:
    """The password of a database URL, as it stands there and decoded; empty when it has none, or none that
    is a secret: `postgres:postgres`.

    >>> sorted(password_in("postgresql://app:s3%40cr3t@db/shop"))
    ['s3%40cr3t', 's3@cr3t']
    """
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return set()
    password = parts.password
    return {password, unquote(password)} if password and password != parts.username else set()
