"""The shapes of answers about a user's own records: which names a record has, and since when.

A release or a migration adds names. An answer that lacks one is of an old shape; whether that is in order
depends on the record. One that was written to since, and is shown without the name, says that the service
does not have it everywhere yet, as while instances are replaced, or not for every record. One that was shown
with the name before, and not written to meanwhile, has been taken from somewhere older than the database.

Folded here, as the answers come, to a line per second of what was lacking; a service whose shapes do not
change costs one comparison per record.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import KeysView
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FRESH", "OTHER", "RENEWED", "SHOWN", "TAKEN_BACK", "Shapes"]

NAMES = 20
"""How many new names of an endpoint are followed: those of a map, not of a record, never end."""

NAME_CHARACTERS = 100

SHOWN, RENEWED = "shown", "renewed"
"""An answer has the name; the record was, in the second case, written to since the name was first seen."""

FRESH, TAKEN_BACK, OTHER = "fresh", "taken_back", "other"
"""An answer lacks the name, though the record was written to since the name was first seen, though the record
itself was shown with it, or neither.
"""


@dataclass(slots=True)
class _Name:
    """A name that an endpoint's first answer did not have, and what one second's answers say of it."""

    first_at: float
    second: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    example: str = ""


@dataclass(slots=True)
class _Endpoint:
    base: frozenset[str]
    new: dict[str, _Name] = field(default_factory=dict)


class Shapes:
    """Of one process and one run; instants are whatever clock the caller has."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._written: dict[uuid.UUID, float] = {}  # since any new name was seen; infinite: nobody knows when
        self._shown: dict[uuid.UUID, set[str]] = {}
        self._lines: list[tuple[float, dict[str, Any]]] = []
        self._any_new = False

    def saw(self, endpoint: str, key: uuid.UUID, names: KeysView[str], since: float, now: float) -> None:
        """An answer that was asked for at `since` and has just come showed the record `key` with `names`."""
        known = self._endpoints.get(endpoint)
        if known is None:
            self._endpoints[endpoint] = _Endpoint(frozenset(names))
            self._lines.append((now, {"endpoint": endpoint}))
            return
        if not known.new and known.base >= names:
            return
        for name in names - known.base - known.new.keys():
            if len(known.new) < NAMES:
                known.new[name] = _Name(now)
                self._any_new = True
        for name, seen in known.new.items():
            kind = self._kind(key, name, seen, name in names, since)
            if kind:
                self._turn(endpoint, name, seen, math.floor(now))
                seen.counts[kind] += 1
                seen.example = seen.example or (str(key) if kind == TAKEN_BACK else "")

    def wrote(self, key: uuid.UUID, ended: float, certain: bool) -> None:
        """A write of the record was acknowledged, or, not `certain`, may have been done at any time."""
        if self._any_new:
            self._written[key] = ended if certain else math.inf

    def take(self, now: float) -> list[tuple[float, dict[str, Any]]]:
        """The lines of the seconds that are over, each with its instant."""
        for endpoint, known in self._endpoints.items():
            for name, seen in known.new.items():
                self._turn(endpoint, name, seen, math.floor(now))
        lines, self._lines = self._lines, []
        return lines

    def _kind(self, key: uuid.UUID, name: str, seen: _Name, shows: bool, since: float) -> str:
        """What an answer says of a name; "" where a write may have been under way."""
        written = self._written.get(key, -math.inf)
        renewed = seen.first_at < written < since
        if shows:
            self._shown.setdefault(key, set()).add(name)
            return RENEWED if renewed else SHOWN
        if written >= since:
            return ""
        if renewed:
            return FRESH
        return TAKEN_BACK if name in self._shown.get(key, ()) else OTHER

    def _turn(self, endpoint: str, name: str, seen: _Name, second: int) -> None:
        """Write down the second that was, when another has begun."""
        if seen.counts and seen.second != second:
            told = {"endpoint": endpoint, "name": name[:NAME_CHARACTERS], **seen.counts}
            if seen.example:
                told["example"] = seen.example
            self._lines.append((float(seen.second), told))
            seen.counts, seen.example = Counter(), ""
        seen.second = second
