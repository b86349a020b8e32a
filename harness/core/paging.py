"""Paging: how the pages of a list are asked for, and where the list stands in an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from harness.core.bodies import ShapeError, names_in, value_at
from harness.errors import UsageError

__all__ = ["Paging", "PlaceKind", "records_of"]


class PlaceKind(Enum):
    """What says where a page begins."""

    OFFSET = "how many records come before it"
    NUMBER = "the number of the page, from 1"
    AFTER = "the last record of the page before, or a cursor from its answer"


PLACES = {
    **dict.fromkeys(("skip", "offset", "start"), PlaceKind.OFFSET),
    **dict.fromkeys(("page", "page_number", "pageNumber"), PlaceKind.NUMBER),
    **dict.fromkeys(("after", "cursor", "starting_after", "page_token", "pageToken"), PlaceKind.AFTER),
}
SIZES = ("limit", "size", "page_size", "pageSize", "per_page", "perPage", "take", "count")

LISTS = ("items", "data", "results", "records", "content", "rows")
"""Names for the list in an answer, used where it holds several lists."""
NEXTS = ("next", "next_cursor", "nextCursor", "next_page_token", "nextPageToken", "cursor")


@dataclass(frozen=True, slots=True)
class Paging:
    """The two query parameters of a list: `place` says where a page begins, `size` how long it is."""

    place: str
    size: str

    @classmethod
    def parse(cls, text: str) -> Paging:
        """From `skip/limit`, `limit/after` and the like, in either order; raises UsageError."""
        names = text.split("/")
        places = [name for name in names if name in PLACES]
        sizes = [name for name in names if name in SIZES]
        if len(names) != 2 or len(places) != 1 or len(sizes) != 1:
            raise UsageError(
                f"page is {text!r}.",
                "Give the two query parameters of the list, as in 'skip/limit', 'page/size' or"
                f" 'limit/after': where a page begins ({', '.join(PLACES)}) and how long it is"
                f" ({', '.join(SIZES)}). Leave it out where the list comes whole.",
            )
        return cls(places[0], sizes[0])

    @property
    def kind(self) -> PlaceKind:
        """What `place` counts."""
        return PLACES[self.place]

    @property
    def start(self) -> int | None:
        """The place of the first page; None: it is not named."""
        return {PlaceKind.OFFSET: 0, PlaceKind.NUMBER: 1, PlaceKind.AFTER: None}[self.kind]

    def query(self, place: int | str | None, size: int) -> str:
        """The query string of a page."""
        return urlencode({self.size: size} | ({} if place is None else {self.place: place}))

    def following(
        self, place: int | str | None, answer: Any, records: Sequence[Mapping[str, Any]], key: str
    ) -> int | str | None:
        """The place of the page after that with `records`; None when the answer says that was the last.

        A page by number or offset never says so: an empty one comes after the last.
        """
        if self.kind is PlaceKind.AFTER:
            return self._cursor(answer, records, key)
        step = len(records) if self.kind is PlaceKind.OFFSET else 1
        return int(place or 0) + step

    def _cursor(self, answer: Any, records: Sequence[Mapping[str, Any]], key: str) -> str | None:
        names = [name for name in NEXTS if name in answer] if isinstance(answer, Mapping) else []
        if not names:
            return str(records[-1][key]) if records and key in records[-1] else None
        following = answer[names[0]]
        if isinstance(following, str) and "?" in following:  # the next page's address
            return parse_qs(urlsplit(following).query).get(self.place, [None])[0]
        return None if following in (None, "") else str(following)


def records_of(answer: Any, where: str | None = None) -> list[Mapping[str, Any]]:
    """The list of records in an answer: at `where` (names with dots between), else the one list it holds.

    Raises ShapeError when there is none, several that could be meant, or one that is not of objects.
    """
    found = value_at(answer, where) if where else _only_list(answer)
    if not isinstance(found, list) or not all(isinstance(record, Mapping) for record in found):
        raise ShapeError(f"no list of objects{f' at {where!r}' if where else ''}")
    return found


def _only_list(answer: Any) -> Any:
    if isinstance(answer, list) or not isinstance(answer, Mapping):
        return answer
    lists = [name for name, value in answer.items() if isinstance(value, list)]
    known = [name for name in LISTS if name in lists]
    if len(lists) == 1 or known:
        return answer[(known or lists)[0]]
    inner = [value for value in answer.values() if isinstance(value, Mapping)]
    if not lists and len(inner) == 1:
        return _only_list(inner[0])
    raise ShapeError(f"{'several lists' if lists else 'no list'} among {names_in(answer)}")
