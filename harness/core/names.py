"""Names of SQL objects, as PostgreSQL prints them: quoted only where they must be, schema before a dot."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["among", "last_part", "parts", "quoted", "same", "schema_of"]

_RESERVED = """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
    except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
    is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
    only or order outer overlaps placing primary references returning right select session_user similar some
    symmetric system_user table tablesample then to trailing true union unique user using variadic verbose
    when where window with
"""
RESERVED = frozenset(_RESERVED.split())
"""Words that name nothing unquoted: https://www.postgresql.org/docs/current/sql-keywords-appendix.html"""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_PART = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')


def quoted(part: str) -> str:
    """One identifier as SQL, quoted where its letters or its meaning demand it."""
    if _PLAIN.fullmatch(part) and part not in RESERVED:
        return part
    return '"' + part.replace('"', '""') + '"'


@lru_cache(maxsize=10_000)
def parts(name: str) -> tuple[str, ...]:
    """The identifiers of a printed name without their quotes: `s."My Table"` is `s` and `My Table`."""
    return tuple(
        found[1].replace('""', '"') if found[2] is None else found[2] for found in _PART.finditer(name)
    )


def last_part(name: str) -> str:
    """The object's own name without schema and quotes."""
    return (parts(name) or (name,))[-1]


def schema_of(name: str) -> str | None:
    """The schema it was written with, without quotes."""
    found = parts(name)
    return found[-2] if len(found) > 1 else None


def same(one: str | None, other: str | None) -> bool:
    """Whether two names can mean the same object: a schema that only one of them names may be any."""
    if one is None or other is None:
        return False
    if one == other:
        return True
    a, b = parts(one), parts(other)
    shared = min(len(a), len(b))
    return shared > 0 and a[-shared:] == b[-shared:]


def among(name: str | None, names: Iterable[str]) -> bool:
    """Whether `name` means one of `names`."""
    return any(same(name, item) for item in names)
